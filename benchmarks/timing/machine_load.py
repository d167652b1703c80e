"""The load of the machine, and measurements that wait for a quiet machine.

A busy machine distorts ratios: a program that uses all cores slows down more than one that uses a single core. So every
measurement records the share of a core that other processes used at the same time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psutil

QUIET = 0.05
"""The machine counts as quiet if other processes use less than this share of a core."""

PROBE_SECONDS = 0.5  # the system counts ticks of 10 ms, so a shorter probe can't resolve 5 %
RETRIES = 2

T = TypeVar("T")


def own_seconds() -> float:
    """The CPU time of this process and of its child processes that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


class Watch:
    """Measures, from its creation, the CPU time of other processes and other guests of a shared processor.

    `own` returns the CPU time so far of the processes that are not other.
    """

    def __init__(self, own: Callable[[], float] = own_seconds) -> None:
        self._own_seconds = own
        self._wall, self._busy, self._own = self._now()

    def _now(self) -> tuple[float, float, float]:
        system = psutil.cpu_times()
        idle = system.idle + getattr(system, "iowait", 0.0)
        guests = getattr(system, "guest", 0.0) + getattr(system, "guest_nice", 0.0)  # already part of user and nice
        return time.perf_counter(), sum(system) - idle - guests, self._own_seconds()

    def others(self) -> float:
        """The average number of cores that others have used so far. 0.5 is half a core."""
        wall, busy, own = self._now()
        return max(0.0, ((busy - self._busy) - (own - self._own)) / (wall - self._wall))


class Patience:
    """The time that a section may wait for a quiet machine: per row and in total, including retries.

    `own` is for `Watch`.
    """

    def __init__(self, total: float, each: float = 20.0, own: Callable[[], float] = own_seconds):
        self._left = total
        self._each = each
        self._own_seconds = own
        self._quiet = False  # whether the machine was quiet at the last measurement

    def watch(self) -> Watch:
        return Watch(self._own_seconds)

    def allows(self, seconds: float) -> bool:
        return self._left > seconds

    def spend(self, seconds: float) -> None:
        self._left -= seconds

    def note(self, others: float) -> None:
        """Record a load. On a quiet machine, each measurement replaces the probe before the next one."""
        self._quiet = others < QUIET

    def wait_for_quiet(self) -> None:
        start, longest = time.perf_counter(), min(self._each, self._left)
        while not self._quiet and time.perf_counter() - start < longest:
            watch = self.watch()
            time.sleep(PROBE_SECONDS)
            self.note(watch.others())
        self.spend(time.perf_counter() - start)


@dataclass(frozen=True)
class Watched(Generic[T]):
    """A result, and the share of a core that others used during its measurement."""

    result: T
    others: float

    @property
    def quiet(self) -> bool:
        return self.others < QUIET


def measure_quietly(measure: Callable[[], T], patience: Patience) -> Watched[T]:
    """Wait for a quiet machine and measure. Repeat if disturbed, and return the quietest attempt."""
    attempts: list[Watched[T]] = []
    for attempt in range(1 + RETRIES):
        patience.wait_for_quiet()
        watch = patience.watch()
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
