"""The results of gpu_rows and spikingjelly_rows, and their files. Reading them needs neither jax nor spikegrad."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measured.competitor_names import FORMULA

COPY = "copy"
SPIKINGJELLY = "SpikingJelly"
DEVICE, WALL_CLOCK = "device", "wall clock"

FORWARD, BACKWARD, BOTH, GRADIENT, VJP = "forward", "backward", "forward + backward", "gradient", "VJP"


@dataclass(frozen=True)
class CallTime:
    """The time of one call.

    Attributes:
        seconds: the time in which the device ran kernels or copies; by the wall clock, the call's share of a queue.
        source: DEVICE or WALL_CLOCK.
        kernels: kernels and copies a call; None if unknown.
    """

    seconds: float
    source: str
    kernels: float | None = None


@dataclass(frozen=True)
class Row:
    """One direction of one operation at one shape.

    Attributes:
        what: the layer, the model or the surrogate.
        moved: the minimum of bytes that a call reads and writes; 0 if a copy is no useful reference.
        times: by competitor. Competitors with equal programs share one time.
        timed_as: for each competitor, the name of the one whose program was timed.
        wall: seconds by the wall clock for a queue of calls, by competitor, interleaved; empty if not measured.
    """

    what: str
    shape: tuple[int, ...]
    dtype: str
    direction: str
    moved: int
    times: Mapping[str, CallTime]
    timed_as: Mapping[str, str] = field(default_factory=dict)
    wall: Mapping[str, float] = field(default_factory=dict)

    def bandwidth(self, competitor: str) -> float:
        """Bytes per second."""
        return self.moved / self.times[competitor].seconds

    def share_of_copy(self, competitor: str) -> float:
        """The share of a copy's bandwidth. The spike moves x and the result, the VJP also the cotangent."""
        arrays = 3 if self.direction == VJP else 2
        return self.bandwidth(competitor) / (2 * self.moved / arrays / self.times[COPY].seconds)

    def time_ratio(self, competitor: str) -> float:
        """This time over the formula's time."""
        return self.times[competitor].seconds / self.times[FORMULA].seconds

    def wall_ratio(self, competitor: str) -> float:
        return self.wall[competitor] / self.wall[FORMULA]

    def is_the_formula(self, competitor: str) -> bool:
        return self.timed_as.get(competitor) == self.timed_as.get(FORMULA, FORMULA)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Row:
        times = {name: CallTime(**found) for name, found in row["times"].items()}
        return cls(**{**row, "shape": tuple(row["shape"]), "times": times})


@dataclass
class GpuResults:
    """All measurements so far.

    Attributes:
        copy: a copy of float32, large enough to measure the memory's bandwidth.
        left_out: cases without time or memory for them.
    """

    environment: Mapping[str, str | None] = field(default_factory=dict)
    note: str = ""
    copy: Row | None = None
    layers: list[Row] = field(default_factory=list)
    models: list[Row] = field(default_factory=list)
    spikes: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    spikingjelly: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def share_of_copy(self, row: Row, competitor: str) -> float | None:
        """The share of the large copy's bandwidth. None if it is unknown or only one of the times is a device time."""
        if self.copy is None or row.times[competitor].source != self.copy.times[COPY].source:
            return None
        return row.bandwidth(competitor) / self.copy.bandwidth(COPY)

    def write(self, path: Path) -> None:
        """Write atomically, so that the file is complete even if the process is killed."""
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(beside, path)

    @classmethod
    def read(cls, path: Path) -> GpuResults:
        found = json.loads(path.read_text(encoding="utf-8"))
        for section in ("layers", "models", "spikes", "orders", "spikingjelly"):
            found[section] = [Row.from_json(row) for row in found[section]]
        found["copy"] = found["copy"] and Row.from_json(found["copy"])
        return cls(**found)
