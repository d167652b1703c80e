"""The results of one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.cases import Case
from benchmarks.peers.oracle import Check
from benchmarks.peers.table import OURS
from benchmarks.timing.interleaved_timing import Timing
from benchmarks.timing.machine_load import QUIET


@dataclass(frozen=True)
class Built:
    """How a call was built.

    Attributes:
        seconds: the time to build the call and to run it once; a compiler's time is part of it.
        threads: the threads that the library uses.
    """

    seconds: float
    threads: int


@dataclass(frozen=True)
class Outcome:
    """One peer in one row.

    Attributes:
        not_run: the reason why there is no timing; empty if there is one.
    """

    timing: Timing | None = None
    check: Check | None = None
    built: Built | None = None
    not_run: str = ""


@dataclass(frozen=True)
class Row:
    """One direction of one case.

    Attributes:
        others: the share of a core that other processes used during the measurement.
    """

    case: Case
    direction: str
    outcomes: Mapping[str, Outcome]
    others: float

    @property
    def name(self) -> str:
        return f"{self.case.name}, {self.direction}"

    @property
    def quiet(self) -> bool:
        return self.others < QUIET

    def ratio(self, peer: str) -> float | None:
        """The peer's time over spikegrad's. Below 1 spikegrad is slower."""
        theirs, ours = (self.outcomes[name].timing for name in (peer, OURS))
        return None if theirs is None or ours is None else theirs.median / ours.median


@dataclass(frozen=True)
class Results:
    """One run.

    Attributes:
        versions: of each peer's packages; or, of a peer that did not start, none.
        rounds: the least number of rounds.
    """

    quick: bool
    environment: Mapping[str, str | None]
    versions: Mapping[str, Mapping[str, str]]
    rows: Sequence[Row]
    rounds: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        for entry, row in zip(found["rows"], self.rows, strict=True):
            ratios = {name: row.ratio(name) for name in row.outcomes}
            entry |= {"name": row.name, "quiet": row.quiet, "times_spikegrads_time": ratios}
        return found
