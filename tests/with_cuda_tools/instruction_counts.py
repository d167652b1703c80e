"""Instruction counts of each kernel for one element or neuron-step, and their bounds."""

import functools
from dataclasses import dataclass

from instruction_paths import shortest_run, shortest_turn
from kernel_names import BYTES, COTANGENT_FORMS, DTYPES, FORWARD_FORMS, cotangent_kernel, forward_kernel
from machine_code import code

NAMES = {"Float16": "float16", "BFloat16": "bfloat16", "float": "float32", "double": "float64"}
GAUSSIAN, SIGMOID = "GaussianMixture", "Sigmoid"
# The arithmetic that every path needs: two products for a forward step. For a gradient, a reciprocal (sigmoid) or this
# many fused multiply-adds (Gaussian).
GAUSSIAN_FMAS = {"float": 11, "double": 16}
# Kernels that miss their bound, with the bound that they must meet instead.
MISSED = {(cotangent_kernel("float", (1, 16)), "sm_80"): 60.5}


@dataclass(frozen=True, eq=False)
class Count:
    section: str
    label: str
    kernel: str
    wanted: dict[str, int]
    bound: float
    per: int  # elements or neuron-steps
    whole: bool = False  # count the whole kernel instead of a turn of its loop

    def bound_for(self, architecture):
        return MISSED.get((self.kernel, architecture), self.bound)


@functools.cache
def measured(count, architecture):
    """None if no path has accesses of this width."""
    shortest = shortest_run if count.whole else shortest_turn
    found = shortest(code()[count.kernel, architecture], count.wanted)
    return found and found / count.per


def wide(dtype):
    return "double" if dtype == "double" else "float"


def accesses(dtype, lanes, loads, stores):
    """Loads and stores of rows with `lanes` adjacent neurons or elements, one access for each row."""
    bits = 8 * BYTES[dtype] * lanes
    return {f"LDG.{bits}": loads, f"STG.{bits}": stores}


def gradients(dtype, family, count):
    if family == SIGMOID:
        return {"MUFU": count}
    return {"DFMA" if dtype == "double" else "FFMA": GAUSSIAN_FMAS[wide(dtype)] * count}


def elementwise():
    section = "Elementwise kernels, an element"
    for dtype in DTYPES:
        lanes = 16 // BYTES[dtype]
        bound = {"float": 11, "double": 23}.get(dtype, 12.5)
        wanted = accesses(dtype, lanes, 1, 1)
        yield Count(section, f"spike, {NAMES[dtype]}", f"spike<{dtype}>", wanted, bound, lanes, whole=True)
    bounds = {
        "Gaussian": (f"{GAUSSIAN}, 1", {"float": 58, "double": 106}, 55),
        "multi-Gaussian": (f"{GAUSSIAN}, 3", {"float": 103, "double": 167}, 100),
        "sigmoid": (f"{SIGMOID}, 1", {"float": 82, "double": 145}, 80),
    }
    for name, (arguments, by_dtype, halves) in bounds.items():
        for dtype in DTYPES:
            lanes = 16 // BYTES[dtype]
            kernel, wanted = f"surrogate_gradient<{dtype}, {arguments}>", accesses(dtype, lanes, 2, 1)
            label = f"gradient, {name}, {NAMES[dtype]}"
            yield Count(section, label, kernel, wanted, by_dtype.get(dtype, halves), lanes, whole=True)
    # Order 1 of one term. Divisions start with a MUFU: one for t's scale, two more in a sigmoid. Paths with fewer DFMAs
    # are for order 0 or an infinite t.
    for name, family, bound, arithmetic in (
        ("Gaussian", GAUSSIAN, 215, {"MUFU": 1, "DFMA": 27}),
        ("sigmoid", SIGMOID, 300, {"MUFU": 3, "DFMA": 41}),
    ):
        for dtype in DTYPES:
            wanted = {**accesses(dtype, 1, 2, 1), **arithmetic}
            label = f"second derivative, {name}, {NAMES[dtype]}"
            yield Count(section, label, f"surrogate_derivative<{dtype}, {family}>", wanted, bound, 1)


def forward():
    section = "LIF forward, a neuron-step"
    bounds = {"float": 16, "BFloat16": 17, "Float16": 17, "double": 16}
    for dtype in DTYPES:
        product = "DMUL" if dtype == "double" else "FMUL"
        for lanes, steps in FORWARD_FORMS[dtype]:
            wanted = {**accesses(dtype, lanes, steps, steps), product: 2 * lanes * steps}
            label = f"{NAMES[dtype]}, {lanes} a thread, {steps} steps at a time"
            kernel = forward_kernel(dtype, (lanes, steps))
            yield Count(section, label, kernel, wanted, bounds[dtype], lanes * steps)
    for dtype in ("float", "BFloat16"):
        # Besides arrays over time: decay, threshold and v of each of four neurons, and their last v.
        label, kernel = f"{NAMES[dtype]}, T = 4, the whole kernel", forward_kernel(dtype, (4, 4))
        wanted = {"LDG": 4 + 3 * 4, "STG": 4 + 4, "FMUL": 2 * 16}
        yield Count(section, label, kernel, wanted, 1.5 * bounds[dtype], 16, whole=True)
    for dtype in DTYPES:
        product = "DMUL" if dtype == "double" else "FMUL"
        wanted = {**accesses(dtype, 1, 8, 2 * 8), product: 2 * 8}
        yield Count(section, f"{NAMES[dtype]}, any rule, with the membrane", f"layer_any<{dtype}, Lif>", wanted, 50, 8)


def tangent():
    section = "LIF forward mode, a neuron-step"
    bounds = {(GAUSSIAN, "float"): 155, (SIGMOID, "float"): 195, (GAUSSIAN, "double"): 270, (SIGMOID, "double"): 360}
    for family, name in ((GAUSSIAN, "Gaussian"), (SIGMOID, "sigmoid")):
        for dtype in DTYPES:
            steps = 2 if dtype == "double" else 4
            wanted = {**accesses(dtype, 1, 2 * steps, steps), **gradients(dtype, family, steps)}
            kernel = f"layer_tangent<{dtype}, Lif, {family}>"
            yield Count(section, f"{name}, {NAMES[dtype]}", kernel, wanted, bounds[family, wide(dtype)], steps)


def backward():
    section = "LIF reverse mode, a neuron-step"
    bounds = {
        (GAUSSIAN, "float"): 60,
        (GAUSSIAN, "BFloat16"): 66,
        (SIGMOID, "float"): 84,
        (SIGMOID, "BFloat16"): 88,
    }
    for family, name in ((GAUSSIAN, "Gaussian"), (SIGMOID, "sigmoid")):
        for dtype, forms in COTANGENT_FORMS.items():
            for lanes, steps in forms:
                wanted = accesses(dtype, lanes, 2 * steps, steps)
                if family == SIGMOID:
                    wanted |= gradients(dtype, family, lanes * steps)
                label = f"{name}, {NAMES[dtype]}, {lanes} a thread, {steps} steps at a time"
                kernel = cotangent_kernel(dtype, (lanes, steps), family)
                yield Count(section, label, kernel, wanted, bounds[family, dtype], lanes * steps)
    for dtype in COTANGENT_FORMS:
        # A checkpoint, the membrane's cotangent, and for each neuron decay, threshold and the last cotangent.
        label, kernel = f"Gaussian, {NAMES[dtype]}, T = 4, the whole kernel", cotangent_kernel(dtype, (4, 4))
        wanted = {"LDG": 2 * 4 + 2 + 3 * 4, "STG": 4 + 4, **gradients(dtype, GAUSSIAN, 16)}
        yield Count(section, label, kernel, wanted, 1.5 * bounds[GAUSSIAN, dtype], 16, whole=True)
    bounds = {(GAUSSIAN, "float"): 96, (SIGMOID, "float"): 128, (GAUSSIAN, "double"): 175, (SIGMOID, "double"): 185}
    for family, name in ((GAUSSIAN, "Gaussian"), (SIGMOID, "sigmoid")):
        for dtype in DTYPES:
            steps = 4 if dtype == "double" else 8
            wanted = {**accesses(dtype, 1, 3 * steps, steps), **gradients(dtype, family, steps)}
            kernel = f"layer_cotangent_any<{dtype}, Lif, {family}>"
            label = f"{name}, {NAMES[dtype]}, any rule and operands"
            yield Count(section, label, kernel, wanted, bounds[family, wide(dtype)], steps)


COUNTS = [*elementwise(), *forward(), *tangent(), *backward()]
