"""What the project promises of the spike and of layers, held against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.competitors import GAUSSIAN, MULTI_GAUSSIAN, OURS
from benchmarks.lif_memory import MemoryRow
from benchmarks.lif_rows import BACKWARD, LifRow
from benchmarks.model_rows import DIRECTIONS, ModelRow
from benchmarks.results import Results, geometric_mean
from benchmarks.spike_rows import SpikeRow

GEOMETRIC_MEAN = 2.0
SMALLEST = 0.95
LARGE, LARGE_GEOMETRIC_MEAN = 10**7, 2.5
HUGE_PAGES_GEOMETRIC_MEAN = 1.3
MULTI_GAUSSIAN_FROM, MULTI_GAUSSIAN_SMALLEST = 10**5, 3.0
MODEL_FROM, MODEL_TIME_RATIO = 4096, 1.05
LIF_GEOMETRIC_MEAN, LIF_SMALLEST = 3.0, 1.5
LIF_HUGE_PAGES_GEOMETRIC_MEAN = 2.0
LIF_MEMORY_FROM, LIF_MEMORY = 256, 1 / 8
IMPORT_SECONDS = 0.050
MISSING = "-"
ULP = {"float32": 2.0, "float64": 2.0, "float16": 0.51, "bfloat16": 0.51}


@dataclass(frozen=True)
class Verdict:
    """One promise.

    Attributes:
        met: None where nothing was promised, or nothing measured.
        note: where the value is from, and what there is to say against it.
    """

    what: str
    target: str
    value: str
    met: bool | None
    note: str = ""

    @property
    def word(self) -> str:
        return {True: "met", False: "MISSED", None: MISSING}[self.met]


def _disturbed(rows: Sequence[SpikeRow] | Sequence[ModelRow] | Sequence[LifRow]) -> str:
    count = sum(not row.quiet for row in rows)
    return f"{count} of {len(rows)} disturbed" if count else ""


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _spike(rows: Sequence[SpikeRow], title: str, mean: float, large_mean: float | None) -> Iterator[Verdict]:
    rows = [row for row in rows if row.dtype == "float32" and row.surrogate == GAUSSIAN]
    if not rows:
        return
    value = geometric_mean([row.ratio for row in rows])
    name = f"{title}: geometric mean of forward and VJP"
    yield Verdict(name, f">= {mean:.1f}", f"{value:.2f}", value >= mean, _disturbed(rows))
    worst = min(rows, key=lambda row: row.ratio)
    where = f"{worst.direction}, {worst.size:.0e} elements{'' if worst.quiet else ', disturbed'}"
    yield Verdict(f"{title}: smallest", f">= {SMALLEST}", f"{worst.ratio:.2f}", worst.ratio >= SMALLEST, where)
    large = [row for row in rows if row.size >= LARGE]
    if large and large_mean is not None:
        value = geometric_mean([row.ratio for row in large])
        name = f"{title}: geometric mean from {LARGE:.0e} elements on"
        yield Verdict(name, f">= {large_mean}", f"{value:.2f}", value >= large_mean, _disturbed(large))


def _halves(rows: Sequence[SpikeRow]) -> Iterator[Verdict]:
    by_key = {(row.dtype, row.direction, row.size): row for row in rows if row.surrogate == GAUSSIAN}
    for dtype in ("float16", "bfloat16"):
        keys = [(d, s) for t, d, s in by_key if t == dtype and ("float32", d, s) in by_key]
        if keys:
            half = [by_key[dtype, *key] for key in keys]
            value = geometric_mean([row.ratio for row in half])
            single = geometric_mean([by_key["float32", *key].ratio for key in keys])
            target = f">= {single:.2f}, float32's"
            name = f"{dtype}: geometric mean of forward and VJP"
            yield Verdict(name, target, f"{value:.2f}", value >= single, _disturbed(half))


def _multi_gaussian(rows: Sequence[SpikeRow]) -> Iterator[Verdict]:
    rows = [row for row in rows if row.surrogate == MULTI_GAUSSIAN and row.dtype == "float32"]
    rows = [row for row in rows if row.size >= MULTI_GAUSSIAN_FROM]
    if rows:
        worst = min(rows, key=lambda row: row.ratio)
        mean = geometric_mean([row.ratio for row in rows])
        yield Verdict(
            f"{MULTI_GAUSSIAN}, float32, VJP, from {MULTI_GAUSSIAN_FROM:.0e} elements on: smallest",
            f">= {MULTI_GAUSSIAN_SMALLEST}",
            f"{worst.ratio:.2f}",
            worst.ratio >= MULTI_GAUSSIAN_SMALLEST,
            _joined(f"{worst.size:.0e} elements, geometric mean {mean:.2f}", _disturbed(rows)),
        )


def _model(rows: Sequence[ModelRow]) -> Iterator[Verdict]:
    parts: list[tuple[str, Callable[[int], bool], bool]] = [
        (f"from {MODEL_FROM} spikes a step on", lambda spikes: spikes >= MODEL_FROM, True),
        (f"below {MODEL_FROM} spikes a step", lambda spikes: spikes < MODEL_FROM, False),
    ]
    for part, belongs, promised in parts:
        for direction in DIRECTIONS:
            chosen = [row for row in rows if row.direction == direction and belongs(row.spikes)]
            if not chosen:
                continue
            worst = max(chosen, key=lambda row: row.time_ratio)
            mean = geometric_mean([row.time_ratio for row in chosen])
            yield Verdict(
                f"model, {direction}, {part}: worst time over the formula's",
                f"<= {MODEL_TIME_RATIO}" if promised else "as close as it gets",
                f"{worst.time_ratio:.2f}",
                worst.time_ratio <= MODEL_TIME_RATIO if promised else None,
                _joined(
                    f"{worst.neurons} neurons, batch {worst.batch}{'' if worst.quiet else ', disturbed'}",
                    f"geometric mean {mean:.2f}",
                ),
            )


def _lif(rows: Sequence[LifRow], title: str, mean: float, smallest: float | None) -> Iterator[Verdict]:
    rows = [row for row in rows if row.case.promised and row.direction != BACKWARD]
    if not rows:
        return
    value = geometric_mean([row.ratio for row in rows])
    name = f"{title}: geometric mean of forward and gradient"
    yield Verdict(name, f">= {mean:.1f}", f"{value:.2f}", value >= mean, _disturbed(rows))
    worst = min(rows, key=lambda row: row.ratio)
    met = worst.ratio >= smallest if smallest is not None else None
    target = MISSING if smallest is None else f">= {smallest}"
    where = f"{worst.direction}, {worst.case.steps} x {worst.case.neurons}{'' if worst.quiet else ', disturbed'}"
    yield Verdict(f"{title}: smallest", target, f"{worst.ratio:.2f}", met, where)


def _lif_memory(rows: Sequence[MemoryRow]) -> Iterator[Verdict]:
    rows = [row for row in rows if row.steps >= LIF_MEMORY_FROM]
    if rows:
        worst = max(rows, key=lambda row: row.memory[OURS].kept / row.unit)
        share = worst.memory[OURS].kept / worst.unit
        yield Verdict(
            f"LIF, from {LIF_MEMORY_FROM} steps on: kept beside the current, of a [T, N] float32",
            f"<= {LIF_MEMORY:.3f}",
            f"{share:.3f}",
            share <= LIF_MEMORY,
            f"{worst.steps} steps",
        )


def _accuracy(results: Results) -> Iterator[Verdict]:
    for dtype, target in ULP.items():
        ours = [errors for errors in results.accuracy if errors.dtype == dtype and errors.name == OURS]
        if ours:
            worst = max(ours, key=lambda errors: errors.ulp)
            derivative = ("g of " if worst.order == 0 else "g' of ") + worst.surrogate
            name = f"{dtype}: largest error of g and g', subnormal results included"
            yield Verdict(name, f"<= {target} ULP", f"{worst.ulp:.3f} ULP", worst.ulp <= target, derivative)


def verdicts(results: Results) -> list[Verdict]:
    found = [
        *_spike(results.spike, "float32", GEOMETRIC_MEAN, LARGE_GEOMETRIC_MEAN),
        *_halves(results.spike),
        *_spike(results.huge_pages, "float32, huge pages", HUGE_PAGES_GEOMETRIC_MEAN, None),
        *_multi_gaussian(results.spike),
        *_model(results.model),
        *_lif(results.lif, "LIF", LIF_GEOMETRIC_MEAN, LIF_SMALLEST),
        *_lif(results.lif_huge_pages, "LIF, huge pages", LIF_HUGE_PAGES_GEOMETRIC_MEAN, None),
        *_lif_memory(results.lif_memory),
        *_accuracy(results),
    ]
    if results.import_seconds is not None:
        milliseconds = f"{1e3 * results.import_seconds:.0f} ms"
        met = results.import_seconds < IMPORT_SECONDS
        found.append(Verdict("import, over jax's own", f"< {1e3 * IMPORT_SECONDS:.0f} ms", milliseconds, met))
    return found
