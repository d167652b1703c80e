"""Machine, versions and settings, on which the measurements depend."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import jax
import psutil
import spikegrad
import spikegrad._cpu


def _first(path: str, start: str = "") -> str | None:
    """The first line of a file with this prefix, without the prefix."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.removeprefix(start).lstrip("\t :") for line in lines if line.startswith(start)), None)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this checkout, marked if files were changed."""

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(Path(__file__).parent), *arguments)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def describe() -> dict[str, str | None]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": f"{psutil.cpu_count(logical=False)}, {len(os.sched_getaffinity(0))} threads usable"
        if hasattr(os, "sched_getaffinity")
        else str(psutil.cpu_count(logical=False)),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "transparent huge pages": _first("/sys/kernel/mm/transparent_hugepage/enabled"),
        "huge page defragmentation": _first("/sys/kernel/mm/transparent_hugepage/defrag"),
        "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS"),
        "Python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": _version("jaxlib"),
        "numpy": _version("numpy"),
        "braintools": _version("braintools"),
        "spikegrad": spikegrad.__version__,
        "instruction set": spikegrad._cpu.instruction_set,
    }
