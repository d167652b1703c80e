"""Compare spikegrad under each kernel policy with its competitors, on the same arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.measured.competitor_names import AUTO, FORMULA
from benchmarks.timing.interleaved_timing import Timing, blocking, take_turns
from benchmarks.timing.machine_load import QUIET, Patience, measure_quietly
from benchmarks.timing.programs import same_programs


@dataclass(frozen=True)
class Comparison:
    """Timings of competitors that compute the same.

    Attributes:
        timings: by competitor.
        timed_as: for each competitor, the name of the one whose program was timed. Equal programs are timed once.
        others: the share of a core that other processes used during the measurement.
    """

    timings: Mapping[str, Timing]
    timed_as: Mapping[str, str]
    others: float

    def times_faster(self, name: str = AUTO) -> float:
        """The formula's time over this time. Below 1 spikegrad is slower."""
        return self.timings[FORMULA].median / self.timings[name].median

    def time_ratio(self, name: str = AUTO) -> float:
        """This time over the formula's time. Above 1 spikegrad is slower."""
        return self.timings[name].median / self.timings[FORMULA].median

    def is_the_formula(self, name: str) -> bool:
        """Whether XLA compiles this competitor and the formula to the same program."""
        return self.timed_as[name] == self.timed_as[FORMULA]

    def steady(self, name: str) -> bool:
        return self.timings[name].steady and self.timings[FORMULA].steady

    @property
    def quiet(self) -> bool:
        return self.others < QUIET

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Comparison:
        timings = {name: Timing(**timing) for name, timing in found["timings"].items()}
        return cls(timings, found["timed_as"], found["others"])


def compare(
    functions: Mapping[str, Callable[..., Any]], arguments: tuple[Any, ...], seconds: float, patience: Patience
) -> Comparison:
    """Time the jitted functions in interleaved rounds, for about `seconds` in total."""
    timed_as = same_programs(functions, *arguments)
    calls = {name: blocking(functions[name], *arguments) for name in dict.fromkeys(timed_as.values())}
    watched = measure_quietly(functools.partial(take_turns, calls, seconds), patience)
    return Comparison({name: watched.result[timed] for name, timed in timed_as.items()}, timed_as, watched.others)
