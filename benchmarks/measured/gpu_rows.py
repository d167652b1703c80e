"""Measure spikegrad on a GPU by device time: layers, models, the spike alone, and derivatives of higher order.

`python -m benchmarks.measured.gpu_rows --out FILE` writes the whole file after each row, so that an interrupted run
leaves its results. Each section has its own share of the time, so that a slow section does not delay the others.
gpu_check runs this module and reports its results.

The share of a copy is the minimum of bytes that a call reads and writes, divided by its time and by a copy's bandwidth.
A layer's forward moves two arrays [T, N]. Its backward moves three, and the checkpoints that it reads. Layers are
compared with a copy of 1e8 float32, the spike with a copy of its own operand.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import spikegrad
from jax import Array
from spikegrad.fused import UNROLLED_STEPS
from tqdm import tqdm

from benchmarks.measured import model_rows, unrolled_rows
from benchmarks.measured.competitor_names import AUTO, FORMULA, GAUSSIAN, KERNELS, SURROGATES
from benchmarks.measured.competitors import FORMULAS, POLICIES, spikes, under, vjp
from benchmarks.measured.lif_rows import CURRENT, DECAY, THRESHOLD
from benchmarks.reported.gpu_results import BACKWARD, BOTH, COPY, FORWARD, VJP, CallTime, GpuResults, Row
from benchmarks.timing import environment
from benchmarks.timing.device_time import CALLS, DeviceClock, Function, queue
from benchmarks.timing.interleaved_timing import take_turns
from benchmarks.timing.programs import compile_all

COMPARED = (AUTO, KERNELS, FORMULA)
COPIED = 10**8  # elements of the copy that layers are compared with

# Smaller inputs are rotated, so that they come from memory and not from the cache (50 MB on an H100).
ROTATED_BYTES, SETS = 200 * 10**6, 3

MODEL_CALLS = 10  # a scan has about a thousand kernels a call, and each is an event
WALL_SECONDS = 0.5

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Extent:
    """The cases to measure, the most valuable first.

    Attributes:
        layers: (T, N, dtype).
        scans: (neurons, batch) of the recurrent model.
        unrolled: (T, N).
        spikes: (surrogate, dtype, elements).
        orders: elements for the derivatives of order 1 and 2.
        copied: elements of the copy.
    """

    layers: Sequence[tuple[int, int, str]] = (
        (128, 1 << 20, "float32"),
        (128, 1 << 20, "bfloat16"),
        (500, 65_536, "float32"),
        (500, 8192, "float32"),
        (1000, 512, "float32"),
        (4, 1 << 21, "float32"),
        (500, 262_144, "float32"),
    )
    scans: Sequence[tuple[int, int]] = ((128, 32), (512, 128), (64, 8))
    unrolled: Sequence[tuple[int, int]] = ((4, 2 * 10**6), (4, 8 * 10**6), (16, 2 * 10**6), (16, 8 * 10**6))
    spikes: Sequence[tuple[str, str, int]] = (
        *((GAUSSIAN, dtype, 10**8) for dtype in ("float32", "bfloat16", "float16", "float64")),
        *((surrogate, "float32", 10**8) for surrogate in SURROGATES[1:]),
        *((GAUSSIAN, dtype, 10**6) for dtype in ("float32", "bfloat16", "float16", "float64")),
        *((GAUSSIAN, dtype, 10**9) for dtype in ("float32", "bfloat16", "float16", "float64")),
        *((GAUSSIAN, dtype, 10**7) for dtype in ("float32", "bfloat16", "float16", "float64")),
    )
    orders: int = 10**7
    copied: int = COPIED


TINY = Extent(
    layers=((20, 64, "float32"), (4, 512, "bfloat16")),
    scans=((16, 4),),
    unrolled=((4, 1000),),
    spikes=((GAUSSIAN, "float32", 10_000), (GAUSSIAN, "float16", 1000)),
    orders=1000,
    copied=10_000,
)


def _normal(seed: int, shape: tuple[int, ...], dtype: str) -> Array:
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def _sets(size: int) -> int:
    return SETS if size < ROTATED_BYTES else 1


def _timed(
    clock: DeviceClock, functions: Mapping[str, Function], sets: Sequence[Arguments], calls: int = CALLS
) -> tuple[dict[str, CallTime], dict[str, str], dict[str, Function]]:
    """The times of all functions, which of them have equal programs, and the compiled functions."""
    compiled, timed_as = compile_all(functions, *sets[0])
    times = {name: clock(function, sets, calls) for name, function in compiled.items()}
    return {name: times[timed] for name, timed in timed_as.items()}, timed_as, compiled


def _layer(policy: str) -> Callable[[Array], Array]:
    return under(POLICIES[policy], lambda current: spikegrad.lif(current, DECAY, THRESHOLD)[0])


def _of_pullback(structure: Any) -> Callable[[list[Array], Array], tuple[Array, ...]]:
    """The backward alone. The leaves of the pullback, which the forward computes, are its arguments."""

    def backward(kept: list[Array], cotangent: Array) -> tuple[Array, ...]:
        return jax.tree.unflatten(structure, kept)(cotangent)

    return backward


def _layer_rows(clock: DeviceClock, steps: int, neurons: int, dtype: str) -> Iterator[Row]:
    shape = (steps, neurons)
    array = steps * neurons * jnp.dtype(dtype).itemsize
    checkpoints = math.ceil(steps / max(1, math.isqrt(steps))) * neurons * 4
    inputs = [
        ((CURRENT * _normal(2 * i, shape, dtype)).astype(dtype), _normal(2 * i + 1, shape, dtype))
        for i in range(_sets(array))
    ]
    # Longer layers have equal programs under both policies.
    names = (AUTO, KERNELS) if steps <= UNROLLED_STEPS else (KERNELS,)

    def forward_and_backward(name: str) -> Function:
        def run(current: Array, cotangent: Array) -> tuple[Array, Array]:
            out, pullback = jax.vjp(_layer(name), current)
            return out, pullback(cotangent)[0]

        return jax.jit(run)

    def row(direction: str, moved: int, times: Mapping[str, CallTime]) -> Row:
        return Row("lif", shape, dtype, direction, moved, times)

    currents: list[Arguments] = [(current,) for current, _ in inputs]
    yield row(FORWARD, 2 * array, _timed(clock, {name: jax.jit(_layer(name)) for name in names}, currents)[0])
    times: dict[str, CallTime] = {}
    for name in names:
        kept_sets: list[Arguments] = []
        for current, cotangent in inputs:
            kept, structure = jax.tree.flatten(jax.vjp(jax.jit(_layer(name)), current)[1])
            kept_sets.append((kept, cotangent))
        times |= _timed(clock, {name: jax.jit(_of_pullback(structure))}, kept_sets)[0]
    yield row(BACKWARD, 3 * array + checkpoints, times)
    times = _timed(clock, {name: forward_and_backward(name) for name in names}, inputs)[0]
    yield row(BOTH, 5 * array + 2 * checkpoints, times)


def _model_row(
    clock: DeviceClock,
    what: str,
    shape: tuple[int, ...],
    direction: str,
    functions: Mapping[str, Function],
    arguments: Arguments,
    seconds: float,
) -> Row:
    chosen = {name: functions[name] for name in COMPARED}
    times, timed_as, compiled = _timed(clock, chosen, [arguments], MODEL_CALLS)
    queues = {name: queue(function, [arguments], MODEL_CALLS) for name, function in compiled.items()}
    timings = take_turns(queues, seconds)
    wall = {name: timings[timed].median / MODEL_CALLS for name, timed in timed_as.items()}
    return Row(what, shape, "float32", direction, 0, times, timed_as, wall)


def _scan_rows(clock: DeviceClock, neurons: int, batch: int, seconds: float) -> Iterator[Row]:
    by_direction, arguments, _ = model_rows.models(neurons, batch)
    for direction, functions in by_direction.items():
        yield _model_row(clock, "scan", (batch, neurons), direction, functions, arguments, seconds)


def _unrolled_rows(clock: DeviceClock, steps: int, neurons: int, seconds: float) -> Iterator[Row]:
    by_direction, current = unrolled_rows.models(False, steps, neurons)
    for direction, functions in by_direction.items():
        yield _model_row(clock, "unrolled", (steps, neurons), direction, functions, (current,), seconds)


def _spike_rows(clock: DeviceClock, surrogate: str, dtype: str, size: int) -> Iterator[Row]:
    with jax.enable_x64(dtype == "float64"):
        x = _normal(0, (size,), dtype)
        xs = [x, *(_normal(2 * i, (size,), dtype) for i in range(1, _sets(x.nbytes)))]
        sets: list[Arguments] = [(x, _normal(2 * i + 1, (size,), dtype)) for i, x in enumerate(xs)]
        alone: list[Arguments] = [(x,) for x in xs]
        compared = {name: spike for name, spike in spikes(surrogate).items() if name in COMPARED}
        copy = _timed(clock, {COPY: jax.jit(jnp.copy)}, alone)[0]
        directions: list[tuple[str, int, Callable[[Any], Any], Sequence[Arguments]]] = [(VJP, 3, vjp, sets)]
        if surrogate == GAUSSIAN:  # all surrogates have the same forward
            directions.insert(0, (FORWARD, 2, lambda spike: spike, alone))
        for direction, arrays, of, arguments in directions:
            functions = {name: jax.jit(of(spike)) for name, spike in compared.items()}
            times, timed_as, _ = _timed(clock, functions, arguments)
            yield Row(surrogate, (size,), dtype, direction, arrays * x.nbytes, {**times, **copy}, timed_as)


def _order_rows(clock: DeviceClock, size: int, order: int) -> Iterator[Row]:
    """g' and g'' of the Gaussian: the plain formula, differentiated by JAX, and spikegrad's fused form."""
    x = _normal(0, (size,), "float32")

    def derivative(g: Callable[[Array], Array]) -> Callable[[Array], Array]:
        for _ in range(order):
            g = jax.grad(lambda x, g=g: g(x).sum())
        return g

    ours = spikegrad.GaussianGrad().surrogate_grad
    functions = {AUTO: under(POLICIES[AUTO], derivative(ours)), FORMULA: derivative(FORMULAS[GAUSSIAN])}
    times, timed_as, _ = _timed(clock, {name: jax.jit(f) for name, f in functions.items()}, [(x,)])
    yield Row(GAUSSIAN, (size,), "float32", f"order {order}", 2 * x.nbytes, times, timed_as)


@dataclass(frozen=True)
class Section:
    """Cases that are measured one by one.

    Attributes:
        share: the section's share of the time. Earlier sections may leave more.
    """

    title: str
    share: float
    rows: list[Row]
    cases: Iterable[tuple[str, Iterator[Row]]]


def _sections(extent: Extent, results: GpuResults, clock: DeviceClock, seconds: float) -> list[Section]:
    return [
        Section(
            "layers",
            0.3,
            results.layers,
            ((f"lif {t} x {n}, {dtype}", _layer_rows(clock, t, n, dtype)) for t, n, dtype in extent.layers),
        ),
        Section(
            "models",
            0.3,
            results.models,
            itertools.chain.from_iterable(
                itertools.zip_longest(
                    ((f"unrolled {t} x {n}", _unrolled_rows(clock, t, n, seconds)) for t, n in extent.unrolled),
                    ((f"scan {b} x {n}", _scan_rows(clock, n, b, seconds)) for n, b in extent.scans),
                )
            ),
        ),
        Section(
            "derivatives",
            0.1,
            results.orders,
            ((f"order {order}", _order_rows(clock, extent.orders, order)) for order in (1, 2)),
        ),
        Section(
            "spike",
            0.3,
            results.spikes,
            ((f"{s}, {dtype}, {n:.0e}", _spike_rows(clock, s, dtype, n)) for s, dtype, n in extent.spikes),
        ),
    ]


def measure(extent: Extent, path: Path, seconds: float, wall_seconds: float) -> None:
    clock = DeviceClock()
    results = GpuResults(environment=environment.describe())
    x = _normal(0, (extent.copied,), "float32")
    times = _timed(clock, {COPY: jax.jit(jnp.copy)}, [(x,)])[0]
    results.copy = Row(COPY, x.shape, "float32", FORWARD, 2 * x.nbytes, times)
    results.note = clock.note
    del x
    deadline = time.monotonic()
    for section in _sections(extent, results, clock, wall_seconds):
        deadline += section.share * seconds
        for name, rows in tqdm([case for case in section.cases if case], desc=section.title):
            if time.monotonic() > deadline:
                results.left_out.append(f"{name}: no time left")
                continue
            try:
                for row in rows:
                    section.rows.append(row)
                    results.note = clock.note
                    results.write(path)
            except jax.errors.JaxRuntimeError as error:  # out of memory: the next case may fit
                results.left_out.append(f"{name}: {str(error).splitlines()[0]}")
        results.write(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows, as JSON")
    parser.add_argument("--seconds", type=float, default=135.0, help="the time for all sections (135)")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, for a trial on any device")
    options = parser.parse_args()
    if jax.default_backend() != "gpu" and not options.tiny:
        raise SystemExit(f"there is no GPU: jax found {jax.devices()}")
    measure(TINY if options.tiny else Extent(), options.out, options.seconds, 0.05 if options.tiny else WALL_SECONDS)


if __name__ == "__main__":
    main()
