"""Skip marks for optional hardware and builds. `SPIKEGRAD_REQUIRE_...=1` turns the skip into a failure."""

import importlib
import importlib.util
import os

import jax
import pytest
from spikegrad import ffi_targets


def is_required(variable):
    return os.environ.get(variable) == "1"


def needs(found, variable, reason):
    """A mark that skips a test unless its requirement was found, or the variable demands it."""
    return pytest.mark.skipif(
        not found and not is_required(variable), reason=f"{reason} ({variable}=1 makes this fail)"
    )


# The Makefile sets it for every environment whose wheel it builds with SPIKEGRAD_CUDA=ON.
needs_cuda_module = needs(ffi_targets.CUDA is not None, "SPIKEGRAD_REQUIRE_CUDA", "this build has no CUDA module")

needs_benchmarks = needs(
    all(importlib.util.find_spec(package) for package in ("benchmarks", "psutil", "tqdm")),
    "SPIKEGRAD_REQUIRE_BENCHMARKS",
    "what the benchmarks import is not installed (extra bench)",
)


def module_for_tests(name):
    """A C++ module that a build with SPIKEGRAD_TESTING=ON has; without it the whole file is skipped."""
    variable = "SPIKEGRAD_REQUIRE_TEST_MODULES"
    if is_required(variable):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"this build has no modules for tests ({variable}=1 makes this fail)")


GPU = "SPIKEGRAD_REQUIRE_GPU"  # set by benchmarks/gpu_check.py
needs_gpu = needs(jax.default_backend() == "gpu", GPU, f"jax found no GPU, its backend is {jax.default_backend()}")
