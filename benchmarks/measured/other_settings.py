"""The spike's rows, and the layers' rows, again under settings that take away what is not arithmetic.

A large result costs page faults, and the kernels ask for huge pages where XLA does not. A small call costs its
hand-over to another thread. From the timings, XLA hands over no program that only calls a kernel, and plain HLO from
some 1000 operations on. Users gain or lose both; but neither is faster arithmetic.
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
    """What is read when a process starts, hence one of its own.

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
"""glibc asks for huge pages everywhere. Smaller results don't fill one, and larger ones gain about as much."""

NO_HAND_OVER = Setting(
    "no hand-over",
    text='jax.config.update("jax_cpu_enable_async_dispatch", False)',
    options=("--synchronous", "--between", "1", str(10**5)),
)
"""Every computation starts in the thread that calls it. For larger arrays the hand-over is small beside the work."""


@dataclass(frozen=True)
class Found:
    rows: list[SpikeRow]
    huge_shares: Mapping[str, float | None]


def _rows_of(program: str, title: str, setting: Setting, options: Sequence[str]) -> dict[str, Any]:
    """What a program of this package wrote in a process with that setting."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", program, "--rows", str(file), "--title", title, *options]
        environment = {**os.environ, **setting.environment}
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env=environment)
        found: dict[str, Any] = json.loads(file.read_text())
    return found


def measure(setting: Setting, quick: bool) -> Found:
    """The spike's rows, and the share of huge pages under a large result."""
    options = [*setting.options, *["--quick"] * quick]
    found = _rows_of("benchmarks.measured.spike_rows", setting.title, setting, options)
    return Found([SpikeRow.from_json(row) for row in found["rows"]], found["huge_shares"])


def measure_lif(quick: bool) -> list[LifRow]:
    """The rows of the layers that a target is about, with huge pages."""
    found = _rows_of("benchmarks.measured.lif_rows", f"LIF, {HUGE_PAGES.title}", HUGE_PAGES, ["--quick"] * quick)
    return [LifRow.from_json(row) for row in found["rows"]]
