"""Times of calls that are to be compared with each other."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import jax

Name = TypeVar("Name")


def median_seconds(calls: Mapping[Name, Callable[[], object]], repeats: int) -> dict[Name, float]:
    """Seconds of each call until its results are there, the median of many."""
    for call in calls.values():  # the first time differs from all others
        jax.block_until_ready(call())
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():  # in turn, so that a disturbance meets all of them
            start = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
