"""How quiet the machine is, and measurements that wait until it is.

A ratio lies on a busy machine: what uses all cores slows down more than what uses one. So every measurement carries the
share of a core that everything else took meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psutil

QUIET = 0.05
"""The share of a core below which the others count as quiet."""

PROBE_SECONDS = 0.5  # the system counts in ticks of 10 ms, so that a shorter probe could not tell 5 %
RETRIES = 2

T = TypeVar("T")


class Watch:
    """Counts from its making on what the others take: other processes, and other guests of a shared processor."""

    def __init__(self) -> None:
        self._wall, self._busy, self._own = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        system = psutil.cpu_times()
        idle = system.idle + getattr(system, "iowait", 0.0)
        guests = getattr(system, "guest", 0.0) + getattr(system, "guest_nice", 0.0)  # counted within user and nice too
        children = os.times()
        own = time.process_time() + children.children_user + children.children_system
        return time.perf_counter(), sum(system) - idle - guests, own

    def others(self) -> float:
        """The cores that the others took so far, on average: 0.5 is half a core."""
        wall, busy, own = self._now()
        return max(0.0, ((busy - self._busy) - (own - self._own)) / (wall - self._wall))


class Patience:
    """How long a section may wait for quiet: some seconds a row, and some in all, retries included."""

    def __init__(self, total: float, each: float = 20.0):
        self._left = total
        self._each = each
        self._quiet = False  # whether it was when somebody looked last

    def allows(self, seconds: float) -> bool:
        return self._left > seconds

    def spend(self, seconds: float) -> None:
        self._left -= seconds

    def note(self, others: float) -> None:
        """What was seen just now: on a quiet machine every measurement serves as the look before the next."""
        self._quiet = others < QUIET

    def wait_for_quiet(self) -> None:
        start, longest = time.perf_counter(), min(self._each, self._left)
        while not self._quiet and time.perf_counter() - start < longest:
            watch = Watch()
            time.sleep(PROBE_SECONDS)
            self.note(watch.others())
        self.spend(time.perf_counter() - start)


@dataclass(frozen=True)
class Watched(Generic[T]):
    """A result, and the share of a core that others took while it was measured."""

    result: T
    others: float

    @property
    def quiet(self) -> bool:
        return self.others < QUIET


def measure_quietly(measure: Callable[[], T], patience: Patience) -> Watched[T]:
    """Measures after waiting for quiet, again if it was disturbed, and returns the quietest attempt."""
    attempts: list[Watched[T]] = []
    for attempt in range(1 + RETRIES):
        patience.wait_for_quiet()
        watch = Watch()
        start = time.perf_counter()
        result = measure()
        took = time.perf_counter() - start
        attempts.append(Watched(result, watch.others()))
        patience.note(attempts[-1].others)
        if attempt:
            patience.spend(took)
        if attempts[-1].quiet or not patience.allows(took):
            break
    return min(attempts, key=lambda watched: watched.others)
