"""Skip marks for optional hardware and builds. `SPIKEGRAD_REQUIRE_...=1` turns the skip into a failure."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

import jax
import pytest
from spikegrad import ffi_targets


def is_required(variable):
    return os.environ.get(variable) == "1"


def needs(found, variable, reason):
    """A mark that skips a test if its requirement is missing and the variable is not set."""
    return pytest.mark.skipif(
        not found and not is_required(variable), reason=f"{reason} ({variable}=1 makes this fail)"
    )


# The Makefile sets the variable for every environment whose wheel has the CUDA module.
needs_cuda_module = needs(ffi_targets.CUDA is not None, "SPIKEGRAD_REQUIRE_CUDA", "this build has no CUDA module")

needs_benchmarks = needs(
    all(importlib.util.find_spec(package) for package in ("benchmarks", "psutil", "tqdm")),
    "SPIKEGRAD_REQUIRE_BENCHMARKS",
    "the packages for the benchmarks are not installed (extra bench)",
)


TEST_MODULES = "SPIKEGRAD_REQUIRE_TEST_MODULES"
NO_TEST_MODULES = f"this build has no test modules ({TEST_MODULES}=1 makes this fail)"


def module_for_tests(name):
    """Import a C++ test module (SPIKEGRAD_TESTING=ON). If it is missing, skip the whole file."""
    if is_required(TEST_MODULES):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=NO_TEST_MODULES)


def library_for_tests(name):
    """The path of a shared library that is installed beside the test modules. If it is missing, skip the whole file."""
    found = [path for folder in sys.path if (path := Path(folder, name)).exists()]
    if found:
        return found[0]
    assert not is_required(TEST_MODULES), f"{name} is in no folder of sys.path"
    pytest.skip(NO_TEST_MODULES, allow_module_level=True)


GPU = "SPIKEGRAD_REQUIRE_GPU"  # set by benchmarks/gpu_check.py
needs_gpu = needs(jax.default_backend() == "gpu", GPU, f"jax found no GPU, its backend is {jax.default_backend()}")
