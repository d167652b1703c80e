"""What a machine or a build is promised to have: where a variable promises it, tests fail that would be skipped."""

import os

import jax
import pytest
from spikegrad import targets


def is_promised(variable):
    return os.environ.get(variable) == "1"


def needs(found, variable, reason):
    """A mark: skipped where nothing was found and nothing promised; where it was promised, run, and so failing."""
    return pytest.mark.skipif(
        not found and not is_promised(variable), reason=f"{reason} ({variable}=1 makes this fail)"
    )


# The Makefile promises it for every environment whose wheel it builds with SPIKEGRAD_CUDA=ON.
needs_cuda_module = needs(targets.CUDA is not None, "SPIKEGRAD_REQUIRE_CUDA", "this build has no CUDA module")

GPU = "SPIKEGRAD_REQUIRE_GPU"  # promised by benchmarks/gpu_check.py
needs_gpu = needs(jax.default_backend() == "gpu", GPU, f"jax found no GPU, its backend is {jax.default_backend()}")
