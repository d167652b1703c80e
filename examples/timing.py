"""Interleaved timing of calls that are compared with each other."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import jax

Name = TypeVar("Name")


def median_seconds(calls: Mapping[Name, Callable[[], object]], repeats: int) -> dict[Name, float]:
    """The median time of each call in seconds, until its results are computed."""
    for call in calls.values():  # warm up: the first call includes compilation
        jax.block_until_ready(call())
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():  # interleaved, so that a disturbance affects all calls
            start = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
