"""The rows of spike and layers again, under settings that remove costs other than arithmetic.

A large result costs page faults. The kernels advise huge pages, XLA does not. A small call may cost a switch to another
thread. Judging by the timings, XLA runs a program that only calls a kernel in the calling thread. It moves plain HLO to
another thread from about 1000 operations on. Users see both effects, but neither is faster arithmetic.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measured.lif_rows import LifRow
from benchmarks.measured.spike_rows import SpikeRow


@dataclass(frozen=True)
class Setting:
    """Settings that are read at process start, so each needs a separate process.

    Attributes:
        text: how a user would set it.
        environment: variables, besides those that are set already.
        options: for `benchmarks.measured.spike_rows`.
    """

    title: str
    text: str
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()


HUGE_PAGES = Setting(
    "huge pages",
    text="GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
    environment={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    options=("--between", str(10**6), str(10**7)),
)
"""glibc requests huge pages for all memory. Smaller results don't fill a huge page; larger ones gain about as much."""

NO_HAND_OVER = Setting(
    "no hand-over",
    text='jax.config.update("jax_cpu_enable_async_dispatch", False)',
    options=("--synchronous", "--between", "1", str(10**5)),
)
"""Every computation starts in the calling thread. For larger arrays the switch between threads is negligible."""


@dataclass(frozen=True)
class Found:
    rows: list[SpikeRow]
    huge_shares: Mapping[str, float | None]


def _rows_of(program: str, title: str, setting: Setting, options: Sequence[str]) -> dict[str, Any]:
    """Run a program of this package in a process with this setting, and return its output file's content."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", program, "--rows", str(file), "--title", title, *options]
        environment = {**os.environ, **setting.environment}
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env=environment)
        found: dict[str, Any] = json.loads(file.read_text())
    return found


def measure(setting: Setting, quick: bool) -> Found:
    """The rows of the spike, and the share of huge pages under a large result."""
    options = [*setting.options, *["--quick"] * quick]
    found = _rows_of("benchmarks.measured.spike_rows", setting.title, setting, options)
    return Found([SpikeRow.from_json(row) for row in found["rows"]], found["huge_shares"])


def measure_lif(quick: bool) -> list[LifRow]:
    """The rows of the layers that a target is about, with huge pages."""
    found = _rows_of("benchmarks.measured.lif_rows", f"LIF, {HUGE_PAGES.title}", HUGE_PAGES, ["--quick"] * quick)
    return [LifRow.from_json(row) for row in found["rows"]]
