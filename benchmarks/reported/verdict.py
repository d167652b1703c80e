"""A target and its measured value."""

from __future__ import annotations

from dataclasses import dataclass

MISSING = "-"


@dataclass(frozen=True)
class Verdict:
    """One target.

    Attributes:
        met: None if there is no target and the value is only for comparison, or if nothing was measured.
        note: the case of the value, and further remarks.
    """

    what: str
    target: str
    value: str
    met: bool | None
    note: str = ""

    @property
    def word(self) -> str:
        return {True: "met", False: "MISSED", None: MISSING}[self.met]
