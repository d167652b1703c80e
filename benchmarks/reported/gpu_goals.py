"""The project's targets on a GPU, compared with the measurements. Rows by the wall clock have no targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.measured.competitor_names import AUTO, KERNELS
from benchmarks.reported.gpu_results import (
    BACKWARD,
    BOTH,
    DEVICE,
    FORWARD,
    SPIKINGJELLY,
    VJP,
    GpuResults,
    Row,
)
from benchmarks.reported.verdict import Verdict

NOT_MEASURED = "not measured"

# Share of a copy's bandwidth, for at least 1e8 elements, in every dtype.
SPIKE_SHARE, SPIKE_FROM = 0.98, 10**8
SPIKE_DTYPES = ("float32", "bfloat16", "float16", "float64")
# Spikegrad's time over the formula's time, under the default policy.
MODEL_TIME_RATIO = 1.03
MODELS = ("scan", "unrolled")
# bfloat16's backward time over float32's, at this shape.
HALF_TIME_RATIO, HALF_SHAPE = 0.7, (128, 1 << 20)
# SpikingJelly's time over spikegrad's, forward and backward together: at the large shapes, and at every smaller one.
LARGE, SMALL = 1.2, 1.5
LARGE_SHAPES = ((128, 1 << 20), (500, 262_144))


@dataclass(frozen=True)
class LayerTarget:
    """A minimum share of a copy's bandwidth, or a maximum time in microseconds."""

    shape: tuple[int, int]
    dtype: str
    direction: str
    share: float | None = None
    microseconds: float | None = None


LAYERS = (
    LayerTarget((128, 1 << 20), "float32", FORWARD, share=0.93),
    LayerTarget((128, 1 << 20), "float32", BACKWARD, share=0.93),
    LayerTarget((500, 65_536), "float32", FORWARD, share=0.85),
    LayerTarget((500, 65_536), "float32", BACKWARD, share=0.93),
    LayerTarget((500, 8192), "float32", FORWARD, microseconds=25),
    LayerTarget((500, 8192), "float32", BACKWARD, microseconds=50),
    LayerTarget((1000, 512), "float32", FORWARD, microseconds=22),
    LayerTarget((1000, 512), "float32", BACKWARD, microseconds=95),
    LayerTarget((4, 1 << 21), "float32", FORWARD, share=0.85),
    LayerTarget((4, 1 << 21), "float32", BACKWARD, share=0.88),
    LayerTarget((128, 1 << 20), "bfloat16", FORWARD, share=0.85),
    LayerTarget((128, 1 << 20), "bfloat16", BACKWARD, share=0.85),
)


def _by_device(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if all(time.source == DEVICE for time in row.times.values())]


def _seconds(rows: Sequence[Row], shape: tuple[int, ...], dtype: str, direction: str, name: str) -> float | None:
    found = [row for row in _by_device(rows) if (row.shape, row.dtype, row.direction) == (shape, dtype, direction)]
    return found[0].times[name].seconds if found and name in found[0].times else None


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _layers(results: GpuResults) -> Iterator[Verdict]:
    """Targets of the kernels. Under "auto" the shortest layer is plain HLO, so its times don't count here."""
    for target in LAYERS:
        what = f"lif, {target.dtype}, {_times(target.shape)}: {target.direction}"
        chosen = (target.shape, target.dtype, target.direction)
        found = [row for row in _by_device(results.layers) if (row.shape, row.dtype, row.direction) == chosen]
        if target.share is not None:
            what, goal = f"{what}, of a copy", f">= {target.share}"
        else:
            goal = f"<= {target.microseconds:.0f} us"
        share = results.share_of_copy(found[0], KERNELS) if found else None
        if found and target.microseconds is not None:
            microseconds = 1e6 * found[0].times[KERNELS].seconds
            yield Verdict(what, goal, f"{microseconds:.1f} us", microseconds <= target.microseconds)
        elif share is not None and target.share is not None:
            yield Verdict(what, goal, f"{share:.3f}", share >= target.share)
        else:
            yield Verdict(what, goal, NOT_MEASURED, None)


def _half(results: GpuResults) -> Verdict:
    what, goal = f"lif, {_times(HALF_SHAPE)}: backward, bfloat16 over float32", f"<= {HALF_TIME_RATIO}"
    half, single = (_seconds(results.layers, HALF_SHAPE, dtype, BACKWARD, KERNELS) for dtype in ("bfloat16", "float32"))
    if half is None or single is None:
        return Verdict(what, goal, NOT_MEASURED, None)
    return Verdict(what, goal, f"{half / single:.2f}", half / single <= HALF_TIME_RATIO)


def _spikingjelly(results: GpuResults) -> Iterator[Verdict]:
    ratios: dict[tuple[int, ...], float] = {}
    for row in results.spikingjelly:
        ours = _seconds(results.layers, row.shape, row.dtype, row.direction, KERNELS)
        if row.direction == BOTH and ours is not None:
            ratios[row.shape] = row.times[SPIKINGJELLY].seconds / ours
    for shape in LARGE_SHAPES:
        what = f"lif, {_times(shape)}: forward and backward, times as fast as SpikingJelly"
        ratio = ratios.pop(shape, None)
        value, met = (NOT_MEASURED, None) if ratio is None else (f"{ratio:.2f}", ratio >= LARGE)
        yield Verdict(what, f">= {LARGE}", value, met)
    what, goal = "lif, smaller shapes: forward and backward, times as fast as SpikingJelly, smallest", f">= {SMALL}"
    if not ratios:
        yield Verdict(what, goal, NOT_MEASURED, None)
        return
    worst = min(ratios, key=lambda shape: ratios[shape])
    yield Verdict(what, goal, f"{ratios[worst]:.2f}", ratios[worst] >= SMALL, _times(worst))


def _spikes(results: GpuResults) -> Iterator[Verdict]:
    """Targets of the kernels. "auto" does not call them here; its result is in the note."""
    for dtype in SPIKE_DTYPES:
        for direction in (FORWARD, VJP):
            what, goal = f"spike, {dtype}: {direction}, of a copy, smallest", f">= {SPIKE_SHARE}"
            rows = [
                row
                for row in _by_device(results.spikes)
                if row.dtype == dtype and row.direction == direction and row.shape[0] >= SPIKE_FROM
            ]
            if not rows:
                yield Verdict(what, goal, NOT_MEASURED, None)
                continue
            worst = min(rows, key=lambda row: row.share_of_copy(KERNELS))
            share, of_auto = (worst.share_of_copy(name) for name in (KERNELS, AUTO))
            note = f"{worst.what}, {worst.shape[0]:.0e} elements; auto (no kernel) {of_auto:.3f}"
            yield Verdict(what, goal, f"{share:.3f}", share >= SPIKE_SHARE, note)


def model_ratio(row: Row, competitor: str) -> float:
    """The time over the formula's time. It is 1 if XLA compiles both to the same program.

    A scan launches about a thousand kernels, and the gaps between them count: so its times are by the wall clock. Times
    of unrolled steps are device times, because a call of about 50 us takes as long as its dispatch.
    """
    if row.is_the_formula(competitor):
        return 1.0
    return row.wall_ratio(competitor) if row.what == "scan" else row.time_ratio(competitor)


def _models(results: GpuResults) -> Iterator[Verdict]:
    for model in MODELS:
        what, goal = f"{model} model: largest time over the formula's", f"<= {MODEL_TIME_RATIO}"
        rows = [row for row in _by_device(results.models) if row.what == model]
        if not rows:
            yield Verdict(what, goal, NOT_MEASURED, None)
            continue
        worst = max(rows, key=lambda row: model_ratio(row, AUTO))
        ratio = model_ratio(worst, AUTO)
        note = f"{worst.direction}, {_times(worst.shape)}; of the kernels {model_ratio(worst, KERNELS):.2f}"
        yield Verdict(what, goal, f"{ratio:.2f}", ratio <= MODEL_TIME_RATIO, note)


def verdicts(results: GpuResults) -> list[Verdict]:
    return [
        *_layers(results),
        _half(results),
        *_spikingjelly(results),
        *_models(results),
        *_spikes(results),
    ]
