"""What users see where the CUDA kernels can't run: no module, a module that does not load, an old driver."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spikegrad
from requirements import needs_cuda_module
from spikegrad import ffi_targets

pytestmark = pytest.mark.host_only

LOWERED = """
import jax, jax.numpy as jnp, spikegrad
from spikegrad import ffi_targets
assert spikegrad.__file__.startswith(sys.argv[1])
layer = lambda x: spikegrad.lif(x, 0.9, 1.0)[0]
def text(policy):
    with spikegrad.kernels(policy):
        return jax.jit(layer).trace(jnp.ones((10, 4))).lower(lowering_platforms=("cuda",)).as_text()
print(*["custom_call @spikegrad" in text(policy) for policy in (False, "auto", True)])
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the installed package, without its CUDA module."""
    ignored = shutil.ignore_patterns("_cuda.*.so", "__pycache__")
    for file in (spikegrad.__file__, spikegrad._cpu.__file__):  # two folders in an editable installation
        shutil.copytree(Path(file).parent, tmp_path / "spikegrad", ignore=ignored, dirs_exist_ok=True)
    return tmp_path


# An editable installation (`make check`) finds its modules by a hook that comes before sys.path.
FROM_FOLDER = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]
sys.path.insert(0, sys.argv[1])
"""


def run(code, folder=""):
    command = [sys.executable, "-c", (FROM_FOLDER if folder else "import sys\n") + code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_build_without_the_module_warns_once(package):
    result = run(LOWERED, package)
    assert result.stdout == "False False False\n", result.stderr
    assert result.stderr.count("UserWarning") == 1
    for expected in ("this build has no CUDA module", "SPIKEGRAD_CUDA=wheels pip install", "use_kernels(False)"):
        assert expected in result.stderr


def test_a_module_that_does_not_load_says_why_and_what_to_do(package):
    suffix = Path(spikegrad._cpu.__file__).name.removeprefix("_cpu")
    (package / "spikegrad" / f"_cuda{suffix}").write_bytes(b"")
    result = run(LOWERED, package)
    assert result.returncode != 0
    for expected in ("built with CUDA kernels", "file too short", "Reinstall it", "SPIKEGRAD_CUDA=OFF"):
        assert expected in result.stderr


OLD_DRIVER = """
import sys, types
from importlib.machinery import ModuleSpec
module = types.ModuleType("spikegrad._cuda")
module.__spec__ = ModuleSpec("spikegrad._cuda", None)
module.cuda_version, module.driver_version = 13000, lambda: 12040
sys.modules["spikegrad._cuda"] = module
"""


def test_an_old_driver_is_named_once():
    result = run(OLD_DRIVER + LOWERED)
    assert result.stdout == "False False False\n", result.stderr
    assert result.stderr.count("UserWarning") == 1
    for expected in (
        "driver supports CUDA up to 12.4",
        "a driver for CUDA 13 (version 580 or newer)",
        "Update the driver",
    ):
        assert expected in result.stderr


@pytest.mark.parametrize("driver", [0, 13000, 13020, 14000])
def test_drivers_that_suffice(driver):
    assert ffi_targets.too_old_for(13000, driver) is None


@needs_cuda_module
def test_the_module_reports_versions():
    """cudaDriverGetVersion succeeds without a driver, too."""
    assert ffi_targets.CUDA.cuda_version == 13000
    assert ffi_targets.CUDA.driver_version() >= 0


@needs_cuda_module
def test_with_the_module_there_is_no_warning():
    result = run(LOWERED)
    assert result.stdout == "False True True\n", result.stderr
    assert not result.stderr
