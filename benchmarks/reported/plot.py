"""Plots of the ratios over the sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.measured.competitor_names import AUTO, KERNELS
from benchmarks.measured.lif_rows import BACKWARD, FORWARD, VJP, LifRow
from benchmarks.measured.spike_rows import SpikeRow
from benchmarks.reported.results import Results

# Okabe and Ito's colours, which colour-blind readers can distinguish. Markers distinguish the lines in print.
STYLES = {
    "float32": ("#0072B2", "o"),
    "float16": ("#E69F00", "s"),
    "bfloat16": ("#009E73", "^"),
    "float64": ("#CC79A7", "D"),
}
LIF_STYLES = {FORWARD: ("#0072B2", "o"), VJP: ("#E69F00", "s"), BACKWARD: ("#009E73", "^")}
LINES = {AUTO: ("-", 1.8), KERNELS: (":", 1.2)}
INK, FAINT = "#333333", "#BBBBBB"


def _ratios(rows: Sequence[SpikeRow], name: str) -> list[float]:
    return [row.compared.times_faster(name) for row in rows]


def _draw(axes: Axes, rows: Sequence[SpikeRow]) -> None:
    for dtype, (colour, marker) in STYLES.items():
        chosen = [row for row in rows if row.dtype == dtype]
        if not chosen:
            continue
        sizes = [row.size for row in chosen]
        for name, (style, width) in LINES.items():
            axes.plot(sizes, _ratios(chosen, name), style, color=colour, linewidth=width, zorder=3)
        for row, ratio in zip(chosen, _ratios(chosen, AUTO), strict=True):
            face = colour if row.compared.quiet else "white"
            axes.plot(row.size, ratio, marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=4)


def _scale_ratios(axes: Axes, ratios: Sequence[float]) -> None:
    low, high = min(0.7, 0.85 * min(ratios)), max(2.5, 1.2 * max(ratios))
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [t for t in (0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32) if low <= t <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.grid(color="#E8E8E8", linewidth=0.8)
    axes.axhspan(low, 1, color="#D55E00", alpha=0.09, linewidth=0, zorder=0)
    axes.axhline(1, color=INK, linewidth=1.1, zorder=2)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _scale(axes: Axes, sizes: Sequence[int], ratios: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.8, max(sizes) * 1.8)
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(sizes))))
    axes.xaxis.set_minor_locator(NullLocator())
    _scale_ratios(axes, ratios)


def _slower(axes: Axes) -> None:
    axes.text(0.99, 0.02, "slower", transform=axes.transAxes, ha="right", va="bottom", color="#A34700", fontsize=9)


def _legend(figure: Figure, title: str, styles: Mapping[str, tuple[str, str]], all_quiet: bool, line: float) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=line, markersize=5.5, label=label)
        for label, (colour, marker) in styles.items()
    ]
    if not all_quiet:
        handles.append(
            Line2D([], [], color=INK, marker="o", linewidth=0, markerfacecolor="white", label="disturbed by other load")
        )
    inch = 1 / figure.get_figheight()
    figure.suptitle(title, x=0.01, y=1 - 0.12 * inch, ha="left", va="top", fontsize=13, color=INK)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 1 - 0.38 * inch),
        ncols=len(handles),
        frameon=False,
        fontsize=10,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.62 * inch))


def save(results: Results, file: Path) -> None:
    """One column for each surrogate and direction, one row for each setting."""
    settings = [
        ("as it is", results.spike),
        ("huge pages for all", results.huge_pages),
        ("no hand-over to another thread", results.no_hand_over),
    ]
    settings = [(title, rows) for title, rows in settings if rows]
    every = [row for _, rows in settings for row in rows]
    columns = list(dict.fromkeys((row.surrogate, row.direction) for row in every))
    size = 4.6 * len(columns), 1 + 3.2 * len(settings)
    figure, grid = plt.subplots(len(settings), len(columns), figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, (title, rows) in zip(grid, settings, strict=True):
        for axes, column in zip(line, columns, strict=True):
            _scale(axes, [row.size for row in every], [ratio for name in LINES for ratio in _ratios(every, name)])
            _draw(axes, [row for row in rows if (row.surrogate, row.direction) == column])
            axes.set_title(f"{' '.join(column)}, {title}", loc="left", fontsize=10, color=INK)
        line[0].set_ylabel("faster than the formula by", color=INK)
    _slower(grid[0][0])
    for axes in grid[-1]:
        axes.set_xlabel("elements", color=INK)

    drawn = {dtype: style for dtype, style in STYLES.items() if any(row.dtype == dtype for row in every)}
    quiet = all(row.compared.quiet for row in every)
    title = f"Time of the jitted jax.numpy formula over the time of spikegrad; solid: {AUTO}, dotted: {KERNELS}"
    _legend(figure, title, drawn, quiet, line=1.8)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def _draw_lif(axes: Axes, rows: Sequence[LifRow], shapes: Sequence[tuple[int, ...]]) -> None:
    for direction, (colour, marker) in LIF_STYLES.items():
        # Points without lines between them, because there is nothing between two shapes.
        for row in rows:
            if row.direction == direction:
                face = colour if row.quiet else "white"
                at = shapes.index(row.case.shape)
                axes.plot(at, row.ratio, marker, color=colour, markerfacecolor=face, markersize=6.5, zorder=4)


def save_lif(results: Results, file: Path) -> None:
    """The layers with targets, one column for each setting."""
    settings = [("as it is", results.lif), ("huge pages for all", results.lif_huge_pages)]
    settings = [(title, [row for row in rows if row.case.has_target]) for title, rows in settings if rows]
    every = [row for _, rows in settings for row in rows]
    shapes = list(dict.fromkeys(row.case.shape for row in every))
    figure, (line,) = plt.subplots(1, len(settings), figsize=(5.2 * len(settings), 4.2), sharey=True, squeeze=False)
    for axes, (title, rows) in zip(line, settings, strict=True):
        _scale_ratios(axes, [row.ratio for row in every])
        _draw_lif(axes, rows, shapes)
        axes.set_xlim(-0.5, len(shapes) - 0.5)
        axes.set_xticks(range(len(shapes)), [" x ".join(map(str, shape)) for shape in shapes], rotation=20, fontsize=9)
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("steps x neurons", color=INK)
    line[0].set_ylabel("faster than the fastest scan by", color=INK)
    _slower(line[0])
    title = "LIF layers, float32: time of the fastest jitted scan over the time of spikegrad"
    _legend(figure, title, LIF_STYLES, all(row.quiet for row in every), line=0)
    figure.savefig(file, dpi=150)
    plt.close(figure)
