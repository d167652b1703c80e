"""Which competitors compile to the same program.

Such a program is timed once, and its time stands for all of them: two timings of one program differ by noise alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# What XLA's text of a program says beyond the program: the names of the module and of a computation's parameters, and
# where in Python each operation is from.
_MODULE = re.compile(r"\AHloModule \S+")
_PARAMETER = re.compile(r"(?<=[(\s])[\w.-]+: (?=\(|[a-z]+\d*\[)")
_SOURCES = re.compile(r"^(?:FileNames|FunctionNames|FileLocations|StackFrames)\n(?:.+\n)*", re.MULTILINE)
_SOURCE = re.compile(r", metadata=\{[^}]*\}")
_OPERATION = re.compile(r"%[\w.-]+")


def _program(jitted: Any, *arguments: Any) -> str:
    """XLA's text of the optimized program, with operations numbered instead of named."""
    text = jitted.lower(*arguments).compile().as_text()
    for pattern in (_MODULE, _PARAMETER, _SOURCES, _SOURCE):
        text = pattern.sub("", text)
    numbers: dict[str, str] = {}
    return _OPERATION.sub(lambda name: numbers.setdefault(name[0], f"%{len(numbers)}"), text)


def same_programs(functions: Mapping[str, Callable[..., Any]], *arguments: Any) -> dict[str, str]:
    """For each jitted function the name of the first one that XLA optimizes to the same program; most often its own."""
    first_with: dict[str, str] = {}
    return {name: first_with.setdefault(_program(jitted, *arguments), name) for name, jitted in functions.items()}
