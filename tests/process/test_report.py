"""`python -m spikegrad` prints the facts for a bug report, and they are right."""

import subprocess
import sys

import jaxlib
import pytest
from requirements import needs_cuda_module
from spikegrad import _cpu, ffi_targets


def test_the_report():
    command = [sys.executable, "-m", "spikegrad"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    lines = dict(line.split(":", 1) for line in out.stdout.splitlines())
    lines = {what: value.strip() for what, value in lines.items()}
    assert lines["spikegrad"] == "0.1.0"
    assert lines["jaxlib"] == jaxlib.__version__
    assert lines["FFI API running"].startswith("0.")
    assert lines["instruction set"] in ("avx512", "avx2", "baseline")
    assert lines["FFI targets"].split(", ") == list(ffi_targets.FFI_TARGETS)  # test_export.py tests the names
    assert {"module _cpu", "module _cuda", "threads", "kernel policy", "jax devices"} <= set(lines)


@pytest.mark.host_only  # a build without network uses the headers of the installed jaxlib
def test_built_against_the_headers_of_the_oldest_jaxlib():
    """An older jaxlib rejects a module that was built with newer headers."""
    assert _cpu.ffi_api_version == (0, 1)
    assert _cpu.jaxlib_of_headers == "0.8.0"


@needs_cuda_module
def test_built_against_the_headers_of_the_oldest_jaxlib_for_cuda_too():
    assert ffi_targets.CUDA.ffi_api_version == (0, 1)
