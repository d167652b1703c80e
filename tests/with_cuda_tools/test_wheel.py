"""The wheel with the CUDA module: what it asks of a system, and that it asks for no driver."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from spikegrad import _cuda

WHEEL = os.environ["SPIKEGRAD_WHEEL"]


def test_auditwheel_finds_nothing_foreign():
    command = [sys.executable, "-m", "auditwheel", "show", WHEEL]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert re.search(r'platform tag:\s+"manylinux_2_\d+_x86_64"', text), text
    assert not re.search(r"libcuda|libcudart|libnv", text), text


def test_its_size():
    """What ships, without the modules for the tests: three architectures and PTX, compressed, and CUDA's runtime."""
    with zipfile.ZipFile(WHEEL) as wheel:
        shipped = [entry.compress_size for entry in wheel.infolist() if entry.filename.startswith("spikegrad/")]
    assert sum(shipped) < 8_000_000


def test_it_imports_without_a_driver():
    """As it has been here: there is none, and none was loaded."""
    assert _cuda.targets()
    assert "libcuda.so" not in Path("/proc/self/maps").read_text()
