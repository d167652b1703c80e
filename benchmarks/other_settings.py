"""The spike's rows again under settings that take away what is not arithmetic.

A large result costs page faults before anything else, and the kernels ask for huge pages where XLA does not. A small
call costs its hand-over to another thread; from the timings, XLA spares it all custom calls, and the formula only up to
some 1000 operations. Both count, since users gain them too; but neither is faster arithmetic.
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

from benchmarks.spike_rows import SpikeRow


@dataclass(frozen=True)
class Setting:
    """What is read when a process starts, hence one of its own.

    Attributes:
        text: how a user would set it.
        environment: variables, besides those that are set already.
        options: for `benchmarks.spike_rows`.
    """

    title: str
    text: str
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()


HUGE_PAGES = Setting(
    "huge pages",
    text="GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
    environment={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
)
"""glibc asks for huge pages, whoever allocates."""

SMALL = 10**6

NO_HAND_OVER = Setting(
    "no hand-over",
    text='jax.config.update("jax_cpu_enable_async_dispatch", False)',
    options=("--synchronous", "--largest", str(SMALL)),
)
"""Every computation starts in the thread that calls it. Beyond `SMALL` elements it makes no difference."""


@dataclass(frozen=True)
class Found:
    rows: list[SpikeRow]
    huge_shares: Mapping[str, float | None]


def measure(setting: Setting, quick: bool) -> Found:
    """The spike's rows, and the share of huge pages under a large result, in a process with that setting."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks.spike_rows", "--rows", str(file), "--title", setting.title]
        command += [*setting.options, *["--quick"] * quick]
        environment = {**os.environ, **setting.environment}
        subprocess.run(command, check=True, cwd=Path(__file__).parent.parent, env=environment)
        found = json.loads(file.read_text())
    return Found([SpikeRow.from_json(row) for row in found["rows"]], found["huge_shares"])
