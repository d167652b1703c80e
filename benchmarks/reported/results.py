"""The results of one run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measured.accuracy import Errors
from benchmarks.measured.lif_memory import MemoryRow
from benchmarks.measured.lif_rows import LifRow
from benchmarks.measured.model_rows import ModelRow
from benchmarks.measured.spike_rows import SpikeRow
from benchmarks.measured.unrolled_rows import UnrolledRow


@dataclass
class Results:
    """All results. Fields that were not measured are empty or None.

    Attributes:
        huge_pages: rows of `spike` for large sizes, with all large results on huge pages.
        no_hand_over: rows of `spike` for small sizes, with every computation started in the calling thread.
        lif_huge_pages: rows of `lif` for the targets of a layer alone, with all large results on huge pages.
        huge_shares: by process and competitor, the share of huge pages under a large result.
        import_seconds: the time of `import spikegrad` after `import jax`.
    """

    quick: bool
    environment: Mapping[str, str | None]
    spike: list[SpikeRow] = field(default_factory=list)
    huge_pages: list[SpikeRow] = field(default_factory=list)
    no_hand_over: list[SpikeRow] = field(default_factory=list)
    huge_shares: dict[str, Mapping[str, float | None]] = field(default_factory=dict)
    model: list[ModelRow] = field(default_factory=list)
    unrolled: list[UnrolledRow] = field(default_factory=list)
    lif: list[LifRow] = field(default_factory=list)
    lif_huge_pages: list[LifRow] = field(default_factory=list)
    lif_memory: list[MemoryRow] = field(default_factory=list)
    accuracy: list[Errors] = field(default_factory=list)
    import_seconds: float | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        for key in ("spike", "huge_pages", "no_hand_over", "model", "unrolled"):
            for entry, row in zip(found[key], getattr(self, key), strict=True):
                ratios = {name: row.compared.times_faster(name) for name in row.compared.timings}
                entry["compared"] |= {"times_faster": ratios, "quiet": row.compared.quiet}
        for key in ("lif", "lif_huge_pages"):
            for entry, lif_row in zip(found[key], getattr(self, key), strict=True):
                entry |= {"opponent": lif_row.opponent, "ratio": lif_row.ratio, "quiet": lif_row.quiet}
        for entry in found["accuracy"]:
            entry["ulp"] = None if math.isinf(entry["ulp"]) else entry["ulp"]  # JSON has no infinity
        return found


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
