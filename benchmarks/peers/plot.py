"""Times of Linear + LIF as horizontal bars, one panel for each shape and direction."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.peers.cases import DIRECTIONS, LayerCase
from benchmarks.peers.results import Results, Row
from benchmarks.peers.table import JAX, OURS, PEERS, TORCH
from benchmarks.reported.durations import duration

# Okabe and Ito's colours, which colour-blind readers can distinguish.
OUR_COLOUR, COLOURS = "#D55E00", {JAX: "#0072B2", TORCH: "#999999"}
INK = "#333333"
ROOM = 6.0  # the axis ends at so many times the longest time, to leave room for the labels


def _draw(axes: Axes, row: Row) -> None:
    timings = [row.outcomes[peer.name].timing for peer in PEERS]
    known = [timing.median for timing in timings if timing is not None]
    left, right = 0.6 * min(known), ROOM * max(known)
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    for at, (peer, timing) in enumerate(zip(PEERS, timings, strict=True)):
        if timing is None:
            axes.text(1.1 * left, at, "not run", va="center", fontsize=8, color=INK)
            continue
        colour = OUR_COLOUR if peer.name == OURS else COLOURS[peer.framework]
        axes.barh(at, timing.median - left, left=left, height=0.72, color=colour)
        ratio = row.ratio(peer.name)
        relative = "" if peer.name == OURS or ratio is None else f"  ({ratio:.{2 if ratio < 10 else 0}f} x)"
        label = duration(timing.median) + relative
        over_grid = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.text(1.08 * timing.median, at, label, va="center", fontsize=8, color=INK, bbox=over_grid)
    axes.set_yticks(range(len(PEERS)), [peer.name for peer in PEERS], fontsize=8.5, color=INK)
    axes.set_ylim(len(PEERS) - 0.5, -0.5)
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g} s" if value >= 1 else f"{1e3 * value:g} ms")
    )
    axes.grid(axis="x", color="#E0E0E0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(length=0, colors=INK, labelsize=8)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)


def save(results: Results, file: Path) -> None:
    """One line of panels for each shape, one column for each direction."""
    rows = {(row.case, row.direction): row for row in results.rows if isinstance(row.case, LayerCase)}
    if not rows:
        return
    cases = list(dict.fromkeys(case for case, _ in rows))
    size = 9.0, 0.7 + 2.3 * len(cases)
    figure, grid = plt.subplots(len(cases), len(DIRECTIONS), figsize=size, sharey=True, squeeze=False)
    for line, case in zip(grid, cases, strict=True):
        for axes, direction in zip(line, DIRECTIONS, strict=True):
            if (case, direction) not in rows:  # the run is not finished
                axes.set_visible(False)
                continue
            row = rows[case, direction]
            _draw(axes, row)
            axes.set_title(row.name.removeprefix("Linear + LIF, "), loc="left", fontsize=9.5, color=INK)
    figure.suptitle(
        "Linear + LIF, steps x batch x neurons: time on two cores, logarithmic.\n"
        "Brackets: relative to spikegrad. Orange: spikegrad, blue: jax, grey: PyTorch.",
        x=0.01,
        ha="left",
        fontsize=10.5,
        color=INK,
    )
    figure.tight_layout()
    # No date and constant names in the SVG, so that equal results give equal files.
    with matplotlib.rc_context({"svg.hashsalt": "peers", "svg.fonttype": "none"}):
        figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)
