"""Interleaved timings of several calls, so that changes on the machine affect all of them."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SHORTEST = 1e-3  # seconds a timing must last, by repetition, so that the clock's overhead is negligible
WARM_UP = 2
FEWEST_ROUNDS, MOST_ROUNDS = 7, 301


@dataclass(frozen=True)
class Timing:
    """Seconds a call: median and quartiles over rounds. Each round is the mean of its repetitions."""

    median: float
    lower_quartile: float
    upper_quartile: float
    rounds: int
    repetitions: int

    @property
    def steady(self) -> bool:
        """Whether the quartiles are close enough for the median to be meaningful."""
        return self.upper_quartile <= 1.5 * self.lower_quartile


def blocking(function: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
    """A call of the function that returns only after its results are computed."""
    import jax  # here, because benchmarks.peers also times calls in environments without jax

    def call() -> None:
        jax.block_until_ready(function(*arguments))

    return call


Timer = Callable[[int], float]
"""Seconds a call, the mean of so many repetitions after an untimed call."""


def _seconds(call: Callable[[], object], repetitions: int) -> float:
    start = time.perf_counter()
    for _ in range(repetitions):
        call()  # its result is freed here: returning pages is part of the cost of a large result
    return (time.perf_counter() - start) / repetitions


def timer(call: Callable[[], object]) -> Timer:
    """A timer of a call in this process. The call must return only after its result is computed.

    The untimed call matters. The first result may get memory that another call has just freed. Or it gets memory that
    the host of a virtual machine has reclaimed and must return page by page.
    """

    def seconds(repetitions: int) -> float:
        call()
        return _seconds(call, repetitions)

    return seconds


def interleave(timers: Mapping[str, Timer], seconds: float, fewest: int = FEWEST_ROUNDS) -> dict[str, Timing]:
    """Time in interleaved rounds, at least `fewest`, for about `seconds` in total.

    All calls have the same number of repetitions. Each round has a new random order, because the previous call matters.
    """
    once = {name: min(timed(1) for _ in range(WARM_UP)) for name, timed in timers.items()}
    repetitions = math.ceil(SHORTEST / min(once.values()))
    rounds = int(seconds / ((1 + repetitions) * sum(once.values())))
    rounds = min(max(rounds, fewest), MOST_ROUNDS)

    order = list(timers)
    shuffle = random.Random(0).shuffle
    samples: dict[str, list[float]] = {name: [] for name in timers}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                samples[name].append(timers[name](repetitions))
    finally:
        gc.enable()

    def timing(values: list[float]) -> Timing:
        lower, median, upper = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
        return Timing(median, lower, upper, rounds, repetitions)

    return {name: timing(samples[name]) for name in timers}


def take_turns(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Timing]:
    """Time calls in this process in interleaved rounds, for about `seconds` in total."""
    return interleave({name: timer(call) for name, call in calls.items()}, seconds)
