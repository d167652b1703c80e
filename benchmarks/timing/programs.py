"""Find competitors that compile to the same program.

Such a program is timed once, and its time is used for all of them: two timings of one program differ only by noise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# Parts of XLA's text that don't belong to the program: names of the module and of parameters, and source locations.
_MODULE = re.compile(r"\AHloModule \S+")
_PARAMETER = re.compile(r"(?<=[(\s])[\w.-]+: (?=\(|[a-z]+\d*\[)")
_SOURCES = re.compile(r"^(?:FileNames|FunctionNames|FileLocations|StackFrames)\n(?:.+\n)*", re.MULTILINE)
_SOURCE = re.compile(r", metadata=\{[^}]*\}")
_OPERATION = re.compile(r"%[\w.-]+")


def _program(compiled: Any) -> str:
    """XLA's text of the optimised program, with numbers instead of names for operations."""
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
        The compiled functions, without functions that equal an earlier one. And for each function the name of the first
    function that XLA optimises to the same program, which is usually itself.
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
    """For each jitted function, the name of the first one that XLA optimises to the same program (usually itself)."""
    return compile_all(functions, *arguments)[1]
