"""Results of kernels for fixed inputs. `python kernel_results.py FILE INSTRUCTION_SET` writes them to an .npz file.

test_aarch64.py runs this on two processors and compares the files bit by bit.
"""

import sys

import jax
import ml_dtypes
import numpy as np
import spikegrad
import spikegrad_scalar as scalar

DTYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}
PARAMETERS = {
    "gaussian": ("gaussian_mixture", [0.5, 0.0, 0.5]),
    "multi_gaussian": ("gaussian_mixture", [0.575, 0.0, 0.5, -0.075, 0.5, 3.0, -0.075, -0.5, 3.0]),
    "sigmoid": ("sigmoid", [4.0]),
}
ORDERS = (0, 1, 2, 5)
RULES = [
    (step_order, reset)
    for step_order in ("charge_fire_reset", "reset_undecayed", "fire_charge")
    for reset in ("subtract", "zero", None)
]


def bits(x):
    x = np.asarray(x)
    return x.view(f"u{x.dtype.itemsize}")


def derivatives(instruction_set):
    """Every derivative of ORDERS, from the middle to the subnormal tail, times cotangents of either sign."""
    rng = np.random.default_rng(0)
    for dtype, kind in DTYPES.items():
        x = np.concatenate([rng.uniform(-9, 9, 20_011), [0, -0.0, np.inf, -np.inf]]).astype(kind)
        t = rng.standard_normal(x.size).astype(kind)
        if dtype in ("f16", "bf16"):
            x, t = bits(x), bits(t)
        for name, (family, parameters) in PARAMETERS.items():
            kernel = getattr(scalar, f"run_{family}_{dtype}")
            for order in ORDERS:
                yield f"{name} {dtype} order {order}", kernel(instruction_set, x, t, parameters, order, False)


def layers():
    """Values, tangents and cotangents of `lif` for every rule and dtype, from one compiled program."""
    rng = np.random.default_rng(1)
    steps, neurons = 20, 45
    cases = {}
    for dtype, kind in DTYPES.items():
        wide = np.float64 if kind is np.float64 else np.float32
        current, current_dot, bars = (rng.standard_normal((3, steps, neurons)) * 0.5 + 0.3).astype(kind)
        decay, threshold, v0 = (rng.uniform(0.5, 1, neurons).astype(wide) for _ in range(3))
        for step_order, reset in RULES:
            cases[f"lif {dtype} {step_order} {reset}"] = (
                {"step_order": step_order, "reset": reset},
                (current, decay, threshold, v0),
                (current_dot, v0, decay, threshold),
                (bars, threshold),
            )

    def results(rules, operands, dots, bars):
        def layer(current, decay, threshold, v0):
            return spikegrad.lif(current, decay, threshold, v0=v0, **rules)

        out, pullback = jax.vjp(layer, *operands)
        return {"out": out, "tangents": jax.jvp(layer, operands, dots)[1], "cotangents": pullback(bars)}

    operands = {name: case[1:] for name, case in cases.items()}
    rules = {name: case[0] for name, case in cases.items()}
    with spikegrad.kernels(True):
        found = jax.jit(lambda operands: {name: results(rules[name], *operands[name]) for name in rules})(operands)
    for path, array in jax.tree_util.tree_leaves_with_path(found):
        yield jax.tree_util.keystr(path), array


def main():
    file, instruction_set = sys.argv[1:]
    jax.config.update("jax_enable_x64", True)
    results = [*derivatives(instruction_set), *layers()]
    np.savez(file, **{name: bits(array) for name, array in results})


if __name__ == "__main__":
    main()
