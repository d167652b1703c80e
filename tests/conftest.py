"""Eight CPU devices for the partitioning tests, and the switch to 64 bits."""

import os

# Before jax is imported anywhere.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import families
import jax
import pytest


@pytest.fixture
def x64():
    """64-bit types for the length of a test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def on_cpu():
    """What is not committed to a device is computed on a CPU: where XLA flushes subnormals, as it does not on a GPU."""
    with jax.default_device(jax.devices("cpu")[0]):
        yield


POLICY = os.environ.get("SPIKEGRAD_KERNELS")
"""The kernel policy of `make policies`, for which tests do not choose one themselves; else None."""


@pytest.fixture(params=["kernel", "fused"] if POLICY is None else [POLICY])
def kernels(request):
    """Run a test with every kernel and in the fused form. The value is whether every kernel is called."""
    import spikegrad

    if POLICY is not None:
        yield POLICY == "1"
        return
    flag = request.param == "kernel"
    with spikegrad.kernels(flag):
        yield flag


@pytest.fixture
def kernels_called():
    """Call every kernel, whatever the size: for tests about kernels, whose arrays are small."""
    import spikegrad

    with spikegrad.kernels(True):
        yield


@pytest.fixture
def kernels_by_default():
    """Call every kernel, except in `make policies`."""
    import spikegrad

    if POLICY is not None:
        yield
        return
    with spikegrad.kernels(True):
        yield


@pytest.fixture(params=families.CASES, ids=str)
def case(request):
    """A test that takes this runs once for each surrogate."""
    return request.param
