"""Which competitors compile to the same program.

Such a program is timed once, and its time stands for all of them: two timings of one program differ by noise alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# What XLA's text of a program says beyond the program: its name, and where in Python each operation is from.
_NAME = re.compile(r"\AHloModule \S+")
_SOURCES = re.compile(r"^(?:FileNames|FunctionNames|FileLocations|StackFrames)\n(?:.+\n)*", re.MULTILINE)
_SOURCE = re.compile(r", metadata=\{[^}]*\}")


def _program(jitted: Any, *arguments: Any) -> str:
    text = jitted.lower(*arguments).compile().as_text()
    return _SOURCE.sub("", _SOURCES.sub("", _NAME.sub("HloModule", text)))


def same_programs(functions: Mapping[str, Callable[..., Any]], *arguments: Any) -> dict[str, str]:
    """For each jitted function the name of the first one that XLA optimizes to the same program; most often its own."""
    first_with: dict[str, str] = {}
    return {name: first_with.setdefault(_program(jitted, *arguments), name) for name, jitted in functions.items()}
