"""The wheel with the CUDA module: system requirements, size, and import without a driver."""

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
    """The size of the wheel without test modules: compressed code for three architectures, PTX and CUDA's runtime."""
    with zipfile.ZipFile(WHEEL) as wheel:
        shipped = [entry.compress_size for entry in wheel.infolist() if entry.filename.startswith("spikegrad/")]
    assert sum(shipped) < 8_000_000


def test_it_imports_without_a_driver():
    """This machine has no driver, and the import loaded none."""
    assert _cuda.targets()
    assert "libcuda.so" not in Path("/proc/self/maps").read_text()
