"""Times with a unit."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Three significant digits in us, ms or s. Below 1 us two decimals."""
    value, unit = next((seconds * f, u) for f, u in ((1e6, "us"), (1e3, "ms"), (1, "s")) if seconds * f < 1e3 or f == 1)
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
