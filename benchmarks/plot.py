"""The ratios over the sizes, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.results import Results
from benchmarks.spike_rows import SpikeRow

# Okabe and Ito's colours, which everybody can tell apart; and a marker each, for print without colour.
STYLES = {
    "float32": ("#0072B2", "o"),
    "float16": ("#E69F00", "s"),
    "bfloat16": ("#009E73", "^"),
    "float64": ("#CC79A7", "D"),
}
INK, FAINT = "#333333", "#BBBBBB"


def _draw(axes: Axes, rows: Sequence[SpikeRow]) -> None:
    for dtype, (colour, marker) in STYLES.items():
        chosen = [row for row in rows if row.dtype == dtype]
        if not chosen:
            continue
        axes.plot([row.size for row in chosen], [row.ratio for row in chosen], color=colour, linewidth=1.8, zorder=3)
        for row in chosen:
            face = colour if row.quiet else "white"
            axes.plot(row.size, row.ratio, marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=4)


def _scale(axes: Axes, sizes: Sequence[int], ratios: Sequence[float]) -> None:
    low, high = min(0.7, 0.85 * min(ratios)), max(2.5, 1.2 * max(ratios))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(sizes) / 1.8, max(sizes) * 1.8)
    axes.set_ylim(low, high)
    ticks = [t for t in (0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32) if low <= t <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(sizes))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(color="#E8E8E8", linewidth=0.8)
    axes.axhspan(low, 1, color="#D55E00", alpha=0.09, linewidth=0, zorder=0)
    axes.axhline(1, color=INK, linewidth=1.1, zorder=2)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def save(results: Results, file: Path) -> None:
    """One column a surrogate and direction; one row a setting."""
    settings = [
        ("as it is", results.spike),
        ("huge pages for everybody", results.huge_pages),
        ("no hand-over to another thread", results.no_hand_over),
    ]
    settings = [(title, rows) for title, rows in settings if rows]
    every = [row for _, rows in settings for row in rows]
    columns = list(dict.fromkeys((row.surrogate, row.direction) for row in every))
    size = 4.6 * len(columns), 1 + 3.2 * len(settings)
    figure, grid = plt.subplots(len(settings), len(columns), figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, (title, rows) in zip(grid, settings, strict=True):
        for axes, column in zip(line, columns, strict=True):
            _scale(axes, [row.size for row in every], [row.ratio for row in every])
            _draw(axes, [row for row in rows if (row.surrogate, row.direction) == column])
            axes.set_title(f"{' '.join(column)}, {title}", loc="left", fontsize=10, color=INK)
        line[0].set_ylabel("faster than the formula by", color=INK)
    grid[0][0].text(
        0.99, 0.02, "slower", transform=grid[0][0].transAxes, ha="right", va="bottom", color="#A34700", fontsize=9
    )
    for axes in grid[-1]:
        axes.set_xlabel("elements", color=INK)

    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=1.8, markersize=5.5, label=dtype)
        for dtype, (colour, marker) in STYLES.items()
        if any(row.dtype == dtype for row in every)
    ]
    if not all(row.quiet for row in every):
        handles.append(
            Line2D([], [], color=INK, marker="o", linewidth=0, markerfacecolor="white", label="disturbed by others")
        )
    inch = 1 / figure.get_figheight()
    title = "Time of the jitted jax.numpy formula over that of spikegrad"
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
    figure.savefig(file, dpi=150)
    plt.close(figure)
