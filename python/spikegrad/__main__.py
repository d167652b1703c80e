"""`python -m spikegrad`: print the versions, the build and the machine, for a bug report."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

import spikegrad
from spikegrad import _cpu, ffi_targets, kernel_policy, tested_versions


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _running_ffi_api() -> str:
    version = tested_versions.running_ffi_api()
    return "unknown (this jaxlib comes without headers)" if version is None else f"{version[0]}.{version[1]}"


def _cuda_driver() -> str:
    version = ffi_targets.CUDA.driver_version() if ffi_targets.CUDA else 0
    return f"supports CUDA {version // 1000}.{version % 1000 // 10}" if version else "none"


def _huge_pages() -> str:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists():
        return "not supported"
    return re.sub(r".*\[(\w+)\].*", r"\1", setting.read_text().strip())


def report() -> Iterator[tuple[str, str]]:
    """The lines of the report, as (what, value)."""
    yield "spikegrad", spikegrad.__version__
    for package in ("jax", "jaxlib", "numpy"):
        yield package, _version(package)
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "module _cpu", Path(_cpu.__file__).name
    yield "module _cuda", Path(str(ffi_targets.CUDA.__file__)).name if ffi_targets.CUDA else "not usable"
    yield "CUDA architectures", ffi_targets.CUDA.architectures if ffi_targets.CUDA else "none"
    yield "CUDA driver", _cuda_driver()
    yield "FFI API built against", f"{'.'.join(map(str, _cpu.ffi_api_version))} (jaxlib {_cpu.jaxlib_of_headers})"
    yield "FFI API running", _running_ffi_api()
    yield "FFI targets", ", ".join(spikegrad.FFI_TARGETS)
    yield "instruction set", _cpu.instruction_set
    yield "threads", f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
    yield "transparent huge pages", _huge_pages()
    yield "kernel policy", str(kernel_policy.current_policy())
    yield "jax devices", ", ".join(map(str, jax.devices()))


if __name__ == "__main__":
    for what, value in report():
        print(f"{what + ':':<24}{value}")
