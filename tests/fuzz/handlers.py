"""Call every FFI handler at random. Each call must return the right result or a clear error.

Operands, results and attributes are random. Half of the calls are valid and must not fail. Of these the step, the
derivatives and the layers must return what NumPy computes; of a layer's tangents and cotangents only the shapes are
known here. The other calls have one to three random changes, and may fail with INVALID_ARGUMENT. Calls run in processes
of their own, so a crash is reported with the numbers of the calls of its program.

    python tests/fuzz/handlers.py --calls 100000
    python tests/fuzz/handlers.py --numbers 12345      # this call again
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "support"))

DTYPES = ("float16", "bfloat16", "float32", "float64")
OTHER_DTYPES = ("int32", "uint8", "bool", "complex64", "int64", "float8_e4m3fn")
CHUNK = 1000
"""Calls in one process. Compiled programs stay in memory until it ends."""

VALID_CALLS = 25
"""Valid calls in one program, since compiling takes most of the time. A changed call has its own program, because its
error ends the program."""

TIME_LIMIT = 600
"""Seconds for a chunk, so that a hang is a failure."""


@dataclass
class Call:
    """A call of a target.

    Attributes:
        expected: the results of the valid call, or None where only shapes are known.
        tolerance: of the results, relative to their largest value.
        changed: whether the call is no longer the valid one.
    """

    target: str
    operands: list[np.ndarray]
    results: list[tuple[tuple[int, ...], np.dtype]]
    attributes: dict[str, Any] = field(default_factory=dict)
    expected: Callable[[], list[np.ndarray]] | None = None
    tolerance: float = 0.0
    changed: bool = False


def _dtype(name: str) -> np.dtype:
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name) if name in ("bfloat16", "float8_e4m3fn") else name)


def _wide(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _shape(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(size) for size in rng.choice([0, 1, 2, 3, 7, 33, 129], size=rng.integers(0, 4)))


def _array(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.asarray(rng.normal(0.3, 1.0, shape)).astype(dtype)


def _parameters(rng: np.random.Generator, family: str, wide: np.dtype) -> list[np.ndarray]:
    if family == "sigmoid":
        return [np.asarray(rng.uniform(0.5, 6), wide)]
    terms = rng.choice([1, 3])
    values = [(rng.normal(), rng.choice([0.0, 0.4]), rng.uniform(0.2, 2)) for _ in range(terms)]
    return [np.asarray(value, wide) for term in values for value in term]


def _exact(family: str, x: np.ndarray, parameters: list[np.ndarray], order: int) -> np.ndarray:
    from references import REFERENCES

    (exact,) = {reference.exact for reference in REFERENCES.values() if reference.family == family}
    return exact(x.astype(np.longdouble), parameters, order)[0]


def heaviside(rng: np.random.Generator) -> Call:
    dtype = _dtype(rng.choice(DTYPES))
    x = _array(rng, _shape(rng), dtype)
    return Call("spikegrad.heaviside.v1", [x], [(x.shape, dtype)], {}, lambda: [(x >= 0).astype(dtype)])


def derivative(rng: np.random.Generator) -> Call:
    family = str(rng.choice(["gaussian_mixture", "sigmoid"]))
    dtype = _dtype(rng.choice(DTYPES))
    x = _array(rng, _shape(rng), dtype)
    t = _array(rng, x.shape if rng.integers(2) else (), dtype)
    parameters, order = _parameters(rng, family, _wide(dtype)), int(rng.choice([0, 0, 0, 1, 2, 3, 7]))

    def expected() -> list[np.ndarray]:
        return [np.asarray(_exact(family, x, parameters, order) * t.astype(np.longdouble), np.float64)]

    attributes = {"order": np.int64(order)}
    name = f"spikegrad.{family}.v1"
    return Call(
        name, [x, t, *parameters], [(x.shape, dtype)], attributes, expected, 2.0**-6 if dtype.itemsize == 2 else 1e-5
    )


def layer(rng: np.random.Generator) -> Call:
    """A layer, its tangent or its cotangent. The forward pass is compared with a NumPy loop."""
    from numpy_lif import RESETS, STEP_ORDERS, numpy_lif

    kind = str(rng.choice(["lif", "lif_tangent", "lif_cotangent"]))
    family = str(rng.choice(["gaussian_mixture", "sigmoid"]))
    dtype, steps = _dtype(rng.choice(DTYPES)), int(rng.choice([1, 2, 5, 16]))
    wide, step = _wide(dtype), _shape(rng)
    axis = int(rng.integers(0, len(step) + 1))
    along = lambda size: (*step[:axis], size, *step[axis:])
    step_order, reset = int(rng.integers(3)), int(rng.integers(3))
    every = int(rng.integers(1, steps + 2))
    state = lambda: _array(rng, along(1) if rng.integers(2) else (), wide)
    current, decay, threshold, v0 = _array(rng, along(steps), dtype), state(), state(), state()
    over_time, one, kept = (along(steps), dtype), (along(1), wide), (along(-(-steps // min(every, steps))), wide)
    numbers = {
        "axis": axis,
        "steps": steps,
        "step_order": step_order,
        "reset": reset,
        "detach_reset": int(rng.integers(2)),
    }
    if kind == "lif":
        numbers["every"] = every if rng.integers(2) else 0
        results = [over_time, one, *[kept] * (numbers["every"] > 0), over_time]

        def expected() -> list[np.ndarray]:
            states = (np.broadcast_to(value, along(1)).squeeze(axis) for value in (decay, threshold, v0))
            names = list(STEP_ORDERS)[step_order], [None, "subtract", "zero"][reset]
            assert names[1] in RESETS
            spikes, v_final, membrane = numpy_lif(np.moveaxis(current, axis, 0), *states, *names)
            found = np.moveaxis(spikes, 0, axis), np.expand_dims(v_final, axis), np.moveaxis(membrane, 0, axis)
            return [found[0], found[1], *[None] * (numbers["every"] > 0), found[2]]

        attributes = {name: np.int64(number) for name, number in numbers.items()}
        return Call("spikegrad.lif.v2", [current, decay, threshold, v0], results, attributes, expected)
    numbers["every"] = every
    parameters = _parameters(rng, family, wide)
    time = lambda: _array(rng, along(steps) if rng.integers(2) else (), dtype)
    if kind == "lif_tangent":
        numbers |= {name: int(rng.integers(2)) for name in ("v_moves", "decay_moves") if rng.integers(2)}
        operands = [current, decay, threshold, v0, time(), state(), state(), state(), *parameters]
        results = [over_time, one, *[over_time] * int(rng.integers(2))]
    else:
        operands = [current, decay, threshold, _array(rng, kept[0], wide), time(), state(), time(), *parameters]
        results = [over_time, one, *[one, one] * int(rng.integers(2))]
    attributes = {name: np.int64(number) for name, number in numbers.items()}
    return Call(f"spikegrad.{kind}.{family}.v{3 if kind == 'lif_tangent' else 2}", operands, results, attributes)


def change(rng: np.random.Generator, call: Call) -> None:
    """Change an operand, a result or an attribute at random."""
    call.changed = True
    what = rng.integers(7)
    dtype = _dtype(rng.choice([*DTYPES, *OTHER_DTYPES]))
    if what == 0 and call.operands:
        i = rng.integers(len(call.operands))
        call.operands[i] = np.ones(call.operands[i].shape, dtype)
    elif what == 1 and call.operands:
        i = rng.integers(len(call.operands))
        call.operands[i] = np.ones(_shape(rng), call.operands[i].dtype)
    elif what == 2 and call.operands:
        del call.operands[rng.integers(len(call.operands))]
    elif what == 3:
        call.operands.insert(rng.integers(len(call.operands) + 1), np.ones(_shape(rng), dtype))
    elif what == 4 and call.results:
        i = rng.integers(len(call.results))
        shape, old = call.results[i]
        call.results[i] = (_shape(rng), old) if rng.integers(2) else (shape, dtype)
    elif what == 5 and call.results:
        i = rng.integers(len(call.results))
        call.results = call.results[:i] if rng.integers(2) else [*call.results, call.results[i]]
    elif call.attributes:
        name = str(rng.choice(list(call.attributes)))
        kind = rng.integers(3)
        if kind == 0:
            del call.attributes[name]
        elif kind == 1:
            call.attributes[name] = np.int64(
                rng.choice([-(2**63), -2, -1, 0, 1, 2, 3, 5, 64, 65, 2**31, 2**62, 2**63 - 1])
            )
        else:
            call.attributes[name] = rng.choice([np.int32(1), np.float32(1)])


def made(seed: int, number: int) -> Call:
    rng = np.random.default_rng((seed, number))
    call = (heaviside, derivative, layer, layer)[rng.integers(4)](rng)
    if rng.integers(2):
        for _ in range(rng.integers(1, 4)):
            change(rng, call)
    return call


def outcomes(calls: list[Call]) -> list[str]:
    """Run calls in one program and check them. Returns what came out of each."""
    import jax

    def program(operands: list[list[jax.Array]]) -> list[Any]:
        return [
            jax.ffi.ffi_call(call.target, [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in call.results])(
                *own, **call.attributes
            )
            for call, own in zip(calls, operands, strict=True)
        ]

    try:
        found = jax.block_until_ready(jax.jit(program)([call.operands for call in calls]))
    except Exception as error:
        text = str(error)
        is_clear = "INVALID_ARGUMENT" in text or "Wrong number of" in text or "ailed to decode" in text
        if not (is_clear and all(call.changed for call in calls)):
            raise
        return ["errors"] * len(calls)
    return [compared(call, results) for call, results in zip(calls, found, strict=True)]


def compared(call: Call, found: list[Any]) -> str:
    if call.changed or call.expected is None:
        return "other results"
    for got, want in zip(found, call.expected(), strict=True):
        if want is not None:
            got, dtype = np.asarray(got), np.asarray(got).dtype
            with np.errstate(over="ignore"):
                want = np.asarray(want).astype(dtype).astype(np.float64)
            bound = call.tolerance * np.max(np.abs(want[np.isfinite(want)]), initial=0)
            np.testing.assert_allclose(got.astype(np.float64), want, rtol=0, atol=bound)
    return "equal to NumPy"


def run_in_this_process(seed: int, numbers: list[int], progress: Path | None) -> None:
    import jax
    import spikegrad  # noqa: F401  (registers the targets)

    jax.config.update("jax_enable_x64", True)
    calls = {number: made(seed, number) for number in numbers}
    valid = [number for number in numbers if not calls[number].changed]
    programs = [[number] for number in numbers if calls[number].changed]
    programs += [valid[i : i + VALID_CALLS] for i in range(0, len(valid), VALID_CALLS)]
    counts: Counter[str] = Counter()
    for program in programs:
        if progress:
            progress.write_text(" ".join(map(str, program)))
        counts.update(outcomes([calls[number] for number in program]))
    print(*(f"{what}={count}" for what, count in counts.items()), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--numbers", type=int, nargs="+", metavar="N", help="only these calls, in this process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--progress", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.numbers:
        run_in_this_process(arguments.seed, arguments.numbers, arguments.progress)
        return

    from tqdm import tqdm

    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, tqdm(total=arguments.calls, unit="call") as bar:

        def chunk(first: int) -> tuple[int, subprocess.CompletedProcess[str], str]:
            numbers = [str(number) for number in range(first, min(first + CHUNK, arguments.calls))]
            progress = Path(folder, str(first))
            command = [
                sys.executable,
                __file__,
                f"--seed={arguments.seed}",
                f"--progress={progress}",
                "--numbers",
                *numbers,
            ]
            result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIME_LIMIT)
            return len(numbers), result, progress.read_text() if progress.exists() else " ".join(numbers)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for calls, result, running in pool.map(chunk, range(0, arguments.calls, CHUNK)):
                if result.returncode:
                    pool.shutdown(wait=False, cancel_futures=True)
                    sys.exit(f"exit status {result.returncode}; again with --seed {arguments.seed} --numbers {running}")
                for pair in result.stdout.splitlines():
                    what, count = pair.split("=")
                    counts[what] += int(count)
                bar.update(calls)
    found = ", ".join(f"{counts[what]} {what}" for what in ("equal to NumPy", "other results", "errors"))
    print(f"{sum(counts.values())} calls: {found}")


if __name__ == "__main__":
    main()
