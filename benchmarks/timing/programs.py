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


def _program(compiled: Any) -> str:
    """XLA's text of the optimized program, with operations numbered instead of named."""
    text = compiled.as_text()
    for pattern in (_MODULE, _PARAMETER, _SOURCES, _SOURCE):
        text = pattern.sub("", text)
    numbers: dict[str, str] = {}
    return _OPERATION.sub(lambda name: numbers.setdefault(name[0], f"%{len(numbers)}"), text)


def compile_all(
    functions: Mapping[str, Callable[..., Any]], *arguments: Any
) -> tuple[dict[str, Callable[..., Any]], dict[str, str]]:
    """Compile the jitted functions.

    Returns:
        The compiled functions without those that equal an earlier one; and for each function the name of the first one
        that XLA optimizes to the same program, most often its own.
    """
    compiled: dict[str, Callable[..., Any]] = {}
    first_with: dict[str, str] = {}
    timed_as: dict[str, str] = {}
    for name, jitted in functions.items():
        lowerable: Any = jitted
        executable = lowerable.lower(*arguments).compile()
        timed_as[name] = first_with.setdefault(_program(executable), name)
        if timed_as[name] == name:
            compiled[name] = executable
    return compiled, timed_as


def same_programs(functions: Mapping[str, Callable[..., Any]], *arguments: Any) -> dict[str, str]:
    """For each jitted function the name of the first one that XLA optimizes to the same program; most often its own."""
    return compile_all(functions, *arguments)[1]
