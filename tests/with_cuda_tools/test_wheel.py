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
    """Without test modules. The CUDA module has code for three architectures, PTX and CUDA's runtime."""
    with zipfile.ZipFile(WHEEL) as wheel:
        shipped = {e.filename: e.compress_size for e in wheel.infolist() if e.filename.startswith("spikegrad/")}
    assert sum(shipped.values()) < 8_000_000
    assert sum(size for name, size in shipped.items() if "_cuda" not in name) < 2_000_000


def test_it_imports_without_a_driver():
    """This machine has no driver, and the import loaded none."""
    assert _cuda.targets()
    assert "libcuda.so" not in Path("/proc/self/maps").read_text()
