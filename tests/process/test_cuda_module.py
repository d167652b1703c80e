"""A CUDA module that fails to load is distinguished from a build without the module."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spikegrad

pytestmark = pytest.mark.host_only

IMPORT = "import sys; sys.path.insert(0, sys.argv[1]); from spikegrad import ffi_targets; print(ffi_targets.PLATFORMS)"


@pytest.fixture
def package(tmp_path):
    """A copy of the installed package, without its CUDA module."""
    ignored = shutil.ignore_patterns("_cuda.*.so", "__pycache__")
    shutil.copytree(Path(spikegrad.__file__).parent, tmp_path / "spikegrad", ignore=ignored)
    return tmp_path


def run(package):
    return subprocess.run([sys.executable, "-c", IMPORT, str(package)], capture_output=True, text=True, timeout=120)


def test_one_that_was_not_built_is_absent(package):
    result = run(package)
    assert result.stdout == "('cpu',)\n", result.stderr


def test_one_that_does_not_load_says_why_and_what_to_do(package):
    suffix = Path(spikegrad._cpu.__file__).name.removeprefix("_cpu")
    (package / "spikegrad" / f"_cuda{suffix}").write_bytes(b"")
    result = run(package)
    assert result.returncode != 0
    for expected in ("built with CUDA kernels", "file too short", "Reinstall it", "SPIKEGRAD_CUDA=OFF"):
        assert expected in result.stderr
