"""The report of gpu_check as Markdown, from the outcomes and files of its steps so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measured.competitor_names import AUTO, FORMULA, KERNELS
from benchmarks.reported.gpu_goals import model_ratio, verdicts
from benchmarks.reported.gpu_results import (
    BACKWARD,
    BOTH,
    COPY,
    FORWARD,
    SPIKINGJELLY,
    WALL_CLOCK,
    CallTime,
    GpuResults,
    Row,
)
from benchmarks.reported.tables import table
from benchmarks.reported.verdict import MISSING
from benchmarks.timing.steps import Outcome


def _microseconds(time: CallTime | None) -> str:
    if time is None:
        return MISSING
    return f"{1e6 * time.seconds:.1f}" + (" *" if time.source == WALL_CLOCK else "")


def _shape(row: Row) -> str:
    return " x ".join(map(str, row.shape)) if len(row.shape) > 1 else f"{row.shape[0]:.0e}"


def _layers(results: GpuResults) -> str:
    directions = (FORWARD, BACKWARD, BOTH)
    found = {(row.shape, row.dtype, row.direction): row for row in results.layers}
    theirs = {(row.shape, row.dtype, row.direction): row.times[SPIKINGJELLY] for row in results.spikingjelly}

    def cells(shape: tuple[int, ...], dtype: str, name: str) -> list[str]:
        cells = []
        for direction in directions:
            row = found.get((shape, dtype, direction))
            time = row.times.get(name) if row else None
            cells.append(_microseconds(time))
            if direction != BOTH:
                share = results.share_of_copy(row, name) if row and time else None
                cells.append(MISSING if share is None else f"{share:.2f}")
        return cells

    rows = []
    for shape, dtype in dict.fromkeys((row.shape, row.dtype) for row in results.layers):
        form = found[shape, dtype, FORWARD].times if (shape, dtype, FORWARD) in found else {}
        for name in form:
            sj = [_microseconds(theirs.get((shape, dtype, direction))) for direction in (FORWARD, BOTH)]
            rows.append([" x ".join(map(str, shape)), dtype, name, *cells(shape, dtype, name), *sj])
    header = ["T x N", "dtype", "policy", "forward", "of a copy", "backward", "of a copy", "both"]
    return table([*header, f"{SPIKINGJELLY}: forward", "both"], rows, left=3)


def _models(rows: Sequence[Row]) -> str:
    names = (AUTO, KERNELS, FORMULA)
    return table(
        ["model", "shape", "direction"]
        + [f"{kind}: {name}" for kind in ("device", "wall") for name in names]
        + [f"over the formula: {name}" for name in names[:2]],
        [
            [row.what, _shape(row), row.direction]
            + [_microseconds(row.times.get(name)) for name in names]
            + [f"{1e6 * row.wall[name]:.1f}" for name in names]
            + [f"{model_ratio(row, name):.2f}" for name in names[:2]]
            for row in rows
        ],
        left=3,
    )


def _spikes(rows: Sequence[Row]) -> str:
    names = (AUTO, KERNELS, FORMULA, COPY)
    return table(
        ["surrogate", "dtype", "elements", "direction", *names, *(f"of a copy: {name}" for name in names[:3])],
        [
            [row.what, row.dtype, _shape(row), row.direction]
            + [_microseconds(row.times.get(name)) for name in names]
            + [f"{row.share_of_copy(name):.2f}" for name in names[:3]]
            for row in rows
        ],
        left=4,
    )


def _orders(rows: Sequence[Row]) -> str:
    return table(
        ["derivative", "elements", "auto", "formula", "over the formula"],
        [
            [row.direction, _shape(row)]
            + [_microseconds(row.times[name]) for name in (AUTO, FORMULA)]
            + [f"{row.time_ratio(AUTO):.2f}"]
            for row in rows
        ],
        left=2,
    )


def _targets(results: GpuResults) -> str:
    found = verdicts(results)
    rows = [[verdict.what, verdict.target, verdict.value, verdict.word, verdict.note] for verdict in found]
    return table(["what", "target", "measured", "", "note"], rows, left=5)


def measurements(results: GpuResults) -> str:
    """All tables that have measurements."""
    by_wall = f"Times with a * are by the wall clock of a queue of calls. {results.note}\n\n" if results.note else ""
    copy = ""
    if results.copy:
        elements, bandwidth = results.copy.shape[0], results.copy.bandwidth(COPY) / 1e9
        copy = f"A copy of {elements:.0e} float32 moves {bandwidth:,.0f} GB/s, reads and writes together.\n\n"
    parts = {
        "Targets": "Layer and spike are measured with the kernels, models with the default policy.\n\n"
        + _targets(results),
        "Layers": "Share of a copy: the bytes that a call must move (forward: 2 arrays [T, N]; backward: 3, and\n"
        "the checkpoints), divided by its time and by the copy's bandwidth.\n\n" + _layers(results)
        if results.layers
        else "",
        "Inside a model": _models(results.models) if results.models else "",
        "The spike alone": _spikes(results.spikes) if results.spikes else "",
        "Derivatives of higher order": _orders(results.orders) if results.orders else "",
        "Left out": "\n".join(f"- {what}" for what in results.left_out),
    }
    text = f"## Measurements\n\nAll times are device times in microseconds. {by_wall}{copy}"
    return text + "\n\n".join(f"### {title}\n\n{part}" for title, part in parts.items() if part) + "\n"


def report(about: Sequence[tuple[str, str]], outcomes: Sequence[Outcome], steps: int, results: GpuResults) -> str:
    """The report after some of the steps.

    Args:
        steps: the total number of steps.
    """
    text = "# GPU check\n\n"
    if len(outcomes) < steps:
        text += f"**Not finished: {len(outcomes)} of {steps} steps so far.**\n\n"
    text += table(["", ""], [list(pair) for pair in about], left=2) + "\n\n"
    text += table(
        ["step", "result", "", "seconds"],
        [[o.name, o.result, "" if o.good else "BAD", f"{o.seconds:.0f}"] for o in outcomes],
        left=3,
    )
    for outcome in outcomes:
        if outcome.lines:
            text += f"\n\n### {outcome.name}\n\n```\n{outcome.lines}\n```"
    return text + "\n\n" + measurements(results)


def read_results(rows: Path, spikingjelly: Path) -> GpuResults:
    """The results that the two programs have written so far."""
    results = GpuResults.read(rows) if rows.exists() else GpuResults()
    if spikingjelly.exists():
        theirs = GpuResults.read(spikingjelly)
        results.spikingjelly = theirs.spikingjelly
        results.environment = {**results.environment, **theirs.environment}
    return results
