"""A target beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass

MISSING = "-"


@dataclass(frozen=True)
class Verdict:
    """One target.

    Attributes:
        met: None where there is no target, and the value is shown for comparison; or where nothing was measured.
        note: where the value is from, and what else to know of it.
    """

    what: str
    target: str
    value: str
    met: bool | None
    note: str = ""

    @property
    def word(self) -> str:
        return {True: "met", False: "MISSED", None: MISSING}[self.met]
