"""Eight CPU devices for the partitioning tests, the switch to 64 bits, and `--cases`."""

import os
import random

# Set before any import of jax.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import families
import jax
import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--cases", type=int, help="run at most this many cases of each test, drawn at random, always the same"
    )


def pytest_collection_modifyitems(config, items):
    at_most = config.getoption("--cases")
    if at_most is None:
        return
    tests = {}
    for item in items:
        tests.setdefault(item.nodeid.split("[")[0], []).append(item)
    # Not every n-th case, because that could always be a case of the same parameter.
    kept = {
        item for name, cases in tests.items() for item in random.Random(name).sample(cases, min(at_most, len(cases)))
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


@pytest.fixture
def x64():
    """Enable 64-bit types for one test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def on_cpu():
    """Run uncommitted computations on a CPU, where XLA flushes subnormals. On a GPU it keeps them."""
    with jax.default_device(jax.devices("cpu")[0]):
        yield


POLICY = os.environ.get("SPIKEGRAD_KERNELS")
"""The kernel policy set by `make policies`, which replaces the tests' own choice; otherwise None."""


@pytest.fixture(params=["kernel", "fused"] if POLICY is None else [POLICY])
def kernels(request):
    """Run a test twice: with every kernel and in the fused form. The value is True with every kernel."""
    import spikegrad

    if POLICY is not None:
        yield POLICY == "1"
        return
    flag = request.param == "kernel"
    with spikegrad.kernels(flag):
        yield flag


@pytest.fixture
def kernels_called():
    """Call kernels for arrays of any size, since arrays in tests are small."""
    import spikegrad

    with spikegrad.kernels(True):
        yield


@pytest.fixture
def kernels_by_default():
    """Call kernels for arrays of any size, except in `make policies`."""
    import spikegrad

    if POLICY is not None:
        yield
        return
    with spikegrad.kernels(True):
        yield


@pytest.fixture(params=families.CASES, ids=str)
def case(request):
    """Run a test once for each surrogate."""
    return request.param
