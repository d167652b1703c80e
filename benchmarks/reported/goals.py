"""The project's targets for the spike and for layers, compared with the measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.measured.competitor_names import AUTO, FUSED, GAUSSIAN, KERNELS
from benchmarks.measured.lif_memory import MemoryRow
from benchmarks.measured.lif_rows import BACKWARD, LINEAR_DIRECTIONS, LifRow
from benchmarks.measured.model_rows import DIRECTIONS, ModelRow
from benchmarks.measured.spike_rows import SpikeRow
from benchmarks.measured.unrolled_rows import UnrolledRow
from benchmarks.reported.results import Results, geometric_mean
from benchmarks.reported.verdict import MISSING, Verdict

# The formula's time over spikegrad's time, under the default policy.
SPIKE_GEOMETRIC_MEAN, SPIKE_SMALLEST = 2.0, 0.97
# Spikegrad's time over the formula's time, under the default policy.
MODEL_TIME_RATIO = 1.03
UNROLLED_NEURONS = (10**5, 2 * 10**6)
# The fastest scan's time over spikegrad's time.
LINEAR_GEOMETRIC_MEAN, LINEAR_SMALLEST = 1.15, 1.0
LIF_GEOMETRIC_MEAN, LIF_SMALLEST = 3.0, 1.5
LIF_HUGE_PAGES_GEOMETRIC_MEAN = 2.0
LIF_MEMORY_FROM, LIF_MEMORY = 256, 1 / 8
IMPORT_SECONDS = 0.050
KERNEL_ULP = {"float32": 2.0, "float64": 2.0, "float16": 0.51, "bfloat16": 0.51}
FUSED_ULP = {"float32": 3.5, "float64": 4.0, "float16": 0.51, "bfloat16": 0.51}


def _disturbed(quiet: Sequence[bool]) -> str:
    return "" if all(quiet) else f"{quiet.count(False)} of {len(quiet)} disturbed"


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _spike(rows: Sequence[SpikeRow]) -> Iterator[Verdict]:
    single = [row for row in rows if row.dtype == "float32" and row.surrogate == GAUSSIAN]
    if single:
        mean, of_kernels = (
            geometric_mean([row.compared.times_faster(name) for row in single]) for name in (AUTO, KERNELS)
        )
        yield Verdict(
            "spike, float32: geometric mean of forward and VJP",
            f">= {SPIKE_GEOMETRIC_MEAN:.1f}",
            f"{mean:.2f}",
            mean >= SPIKE_GEOMETRIC_MEAN,
            _joined(f"of the kernels {of_kernels:.2f}", _disturbed([row.compared.quiet for row in single])),
        )
    for dtype in dict.fromkeys(row.dtype for row in rows):
        worst = min((row for row in rows if row.dtype == dtype), key=lambda row: row.compared.times_faster())
        ratio = worst.compared.times_faster()
        yield Verdict(
            f"spike, {dtype}: smallest",
            f">= {SPIKE_SMALLEST}",
            f"{ratio:.2f}",
            ratio >= SPIKE_SMALLEST,
            _joined(
                f"{worst.surrogate}, {worst.direction}, {worst.size:.0e} elements",
                f"of the kernels {worst.compared.times_faster(KERNELS):.2f}",
                _disturbed([worst.compared.quiet]),
            ),
        )


def _model(rows: Sequence[ModelRow]) -> Iterator[Verdict]:
    for direction in DIRECTIONS:
        chosen = [row for row in rows if row.direction == direction]
        if chosen:
            worst = max(chosen, key=lambda row: row.compared.time_ratio())
            where = f"batch {worst.batch}, {worst.neurons} neurons"
            yield _time_ratio(f"recurrent model, {direction}", worst, where)


def _unrolled(rows: Sequence[UnrolledRow]) -> Iterator[Verdict]:
    rows = [row for row in rows if row.neurons in UNROLLED_NEURONS]
    for constant, steps in dict.fromkeys((row.constant, row.steps) for row in rows):
        chosen = [row for row in rows if (row.constant, row.steps) == (constant, steps)]
        worst = max(chosen, key=lambda row: row.compared.time_ratio())
        title = f"{steps} unrolled steps, {'constant current' if constant else 'current [T, N]'}"
        yield _time_ratio(title, worst, f"{worst.direction}, {worst.neurons:.0e} neurons")


def _time_ratio(title: str, worst: ModelRow | UnrolledRow, where: str) -> Verdict:
    ratio = worst.compared.time_ratio()
    return Verdict(
        f"{title}: largest time over the formula's",
        f"<= {MODEL_TIME_RATIO}",
        f"{ratio:.2f}",
        ratio <= MODEL_TIME_RATIO,
        _joined(
            where,
            f"of the kernels {worst.compared.time_ratio(KERNELS):.2f}",
            _disturbed([worst.compared.quiet]),
        ),
    )


def _lif(rows: Sequence[LifRow], title: str, mean: float, smallest: float | None) -> Iterator[Verdict]:
    if not rows:
        return
    value = geometric_mean([row.ratio for row in rows])
    disturbed = _disturbed([row.quiet for row in rows])
    yield Verdict(f"{title}: geometric mean", f">= {mean}", f"{value:.2f}", value >= mean, disturbed)
    worst = min(rows, key=lambda row: row.ratio)
    met = worst.ratio >= smallest if smallest is not None else None
    target = MISSING if smallest is None else f">= {smallest}"
    where = f"{worst.direction}, {' x '.join(map(str, worst.case.shape))}"
    note = _joined(where, _disturbed([worst.quiet]))
    yield Verdict(f"{title}: smallest", target, f"{worst.ratio:.2f}", met, note)


def _lif_alone(rows: Sequence[LifRow], title: str, mean: float, smallest: float | None) -> Iterator[Verdict]:
    chosen = [row for row in rows if row.case.has_target and row.direction != BACKWARD]
    yield from _lif(chosen, f"{title}, forward and vjp", mean, smallest)


def _linear(rows: Sequence[LifRow]) -> Iterator[Verdict]:
    for direction in LINEAR_DIRECTIONS:
        chosen = [row for row in rows if row.case.linear and row.direction == direction]
        yield from _lif(chosen, f"Linear + LIF, {direction}", LINEAR_GEOMETRIC_MEAN, LINEAR_SMALLEST)


def _lif_memory(rows: Sequence[MemoryRow]) -> Iterator[Verdict]:
    rows = [row for row in rows if row.steps >= LIF_MEMORY_FROM]
    if rows:
        worst = max(rows, key=lambda row: row.memory[AUTO].kept / row.unit)
        share = worst.memory[AUTO].kept / worst.unit
        yield Verdict(
            f"LIF, from {LIF_MEMORY_FROM} steps on: kept beside the current, of a [T, N] float32",
            f"<= {LIF_MEMORY:.3f}",
            f"{share:.3f}",
            share <= LIF_MEMORY,
            f"{worst.steps} steps",
        )


def _accuracy(results: Results, form: str, targets: Mapping[str, float]) -> Iterator[Verdict]:
    """Targets of the kernels for both derivatives and all results, and of the fused form for normal results of g."""
    for dtype, target in targets.items():
        found = [errors for errors in results.accuracy if errors.dtype == dtype and errors.name == form]
        if not found:
            continue
        if form == KERNELS:
            what = "largest error of g and g', subnormal results included"
            worst = max(found, key=lambda errors: errors.ulp)
            ulp = worst.ulp
        else:
            what = "largest error of g in normal results"
            worst = max((errors for errors in found if errors.order == 0), key=lambda errors: errors.normal_ulp)
            ulp = worst.normal_ulp
        derivative = ("g of " if worst.order == 0 else "g' of ") + worst.surrogate
        yield Verdict(f"{form}, {dtype}: {what}", f"<= {target} ULP", f"{ulp:.3f} ULP", ulp <= target, derivative)


def verdicts(results: Results) -> list[Verdict]:
    found = [
        *_spike(results.spike),
        *_model(results.model),
        *_unrolled(results.unrolled),
        *_linear(results.lif),
        *_lif_alone(results.lif, "LIF", LIF_GEOMETRIC_MEAN, LIF_SMALLEST),
        *_lif_alone(results.lif_huge_pages, "LIF, huge pages", LIF_HUGE_PAGES_GEOMETRIC_MEAN, None),
        *_lif_memory(results.lif_memory),
        *_accuracy(results, KERNELS, KERNEL_ULP),
        *_accuracy(results, FUSED, FUSED_ULP),
    ]
    if results.import_seconds is not None:
        milliseconds = f"{1e3 * results.import_seconds:.0f} ms"
        met = results.import_seconds < IMPORT_SECONDS
        found.append(Verdict("import, over jax's own", f"< {1e3 * IMPORT_SECONDS:.0f} ms", milliseconds, met))
    return found
