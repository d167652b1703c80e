"""The bodies of the CUDA kernels, compiled for the host, agree with the scalar functions bit by bit.

`tests/csrc/launch_shim` replaces CUDA. test_accuracy.py compares the scalar functions with the closed form. These tests
cover which elements a thread processes, and what it reads and writes around them. Under AddressSanitizer (`make asan`)
an access beyond a buffer ends the run.
"""

import contextlib
import itertools

import numpy as np
import pytest
from closed_form import multi_gaussian_parameters
from half_bits import DTYPES, assert_same_bits, held, plain
from references import REFERENCES
from requirements import module_for_tests

on_host, scalar = map(module_for_tests, ("spikegrad_cuda_on_host", "spikegrad_scalar"))

pytestmark = pytest.mark.host_only

LARGEST = 4099  # largest size: four blocks of 256 threads with four floats each, and a tail
# All remainders, for arrays of one block and of several.
SIZES = [*range(140), *range(1000, 1050), *range(LARGEST - 40, LARGEST + 1)]
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-41, -1e-41, 6e-8, 65504.0, 1e30]
GAUSSIAN = [0.5, 0.0, 0.5]
# Names state the path in the kernel: the first three have a fast path, the others use the sum in double.
PARAMETERS = {
    "one": ("gaussian_mixture", GAUSSIAN, 0),
    "triple": ("gaussian_mixture", multi_gaussian_parameters(0.15, 6.0, 0.5, 0.5), 0),
    **{
        f"{name}_order_{order}": (r.family, r.operands(0.25, 0.5), order)
        for name, r in REFERENCES.items()
        if r.family != "gaussian_mixture"
        for order in (0, 5)
    },
    "beside_0": ("gaussian_mixture", [0.5, 0.25, 0.5], 0),
    "two": ("gaussian_mixture", [0.5, 0.25, 0.5, 1.0, -1.0, 2.0], 0),
    "two_of_which_one_counts": ("gaussian_mixture", [0.5, 0.0, 0.5, 0.0, -1.0, 2.0], 0),
    "three_of_which_one_counts": ("gaussian_mixture", [0.5, 0.0, 0.5, 0.0, 1.0, 2.0, 0.0, -1.0, 2.0], 0),
    "three_unlike": ("gaussian_mixture", [0.5, 0.0, 0.5, 0.2, 1.0, 2.0, 0.3, -1.0, 2.0], 0),
    "steep_sigmoid": ("sigmoid", [2.0**110], 0),
    "bad": ("gaussian_mixture", [0.5, 0.0, -1.0], 0),
    "one_order_1": ("gaussian_mixture", GAUSSIAN, 1),
    "triple_order_2": ("gaussian_mixture", multi_gaussian_parameters(0.15, 6.0, 0.5, 0.5), 2),
    "one_order_7": ("gaussian_mixture", GAUSSIAN, 7),
}


@pytest.fixture
def threads():
    """Set the number of threads a block for all launches."""
    yield on_host.set_threads
    on_host.set_threads(0)


def inputs(dtype, size=LARGEST, seed=0):
    """x and t for the test modules, including special values."""
    rng = np.random.default_rng(seed)

    def some():
        values = 2 * rng.standard_normal(size)
        values[rng.integers(0, size, size // 8)] = rng.choice(SPECIAL, size // 8)
        with np.errstate(over="ignore"):
            return held(values.astype(DTYPES[dtype]))

    return some(), some()


def expected(name, dtype, x, t):
    """The results of the scalar functions."""
    family, parameters, order = PARAMETERS[name]
    # Rounded as in the kernels.
    parameters = [float(np.float32(p)) if dtype != "f64" else p for p in parameters]
    if order == 0:
        with contextlib.suppress(ValueError):  # no fast path for these parameters
            return getattr(scalar, f"value_{family}_{dtype}")(x, t, parameters)
    with np.errstate(over="ignore", invalid="ignore"):
        wide_x, wide_t = (plain(a, dtype).astype(np.float64) for a in (x, t))
        wide = getattr(scalar, f"derivative_{family}")(wide_x, wide_t, parameters, order)
        if dtype == "f64":
            return wide
        return (
            wide.astype(np.float32) if dtype == "f32" else getattr(scalar, f"narrow_{dtype}")(wide.astype(np.float32))
        )


def run(name, dtype, x, t, offsets=(0, 0, 0), in_place=False):
    family, parameters, order = PARAMETERS[name]
    return getattr(on_host, f"{family}_{dtype}")(x, t, parameters, order, *offsets, in_place)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_spike_for_every_remainder(dtype, threads):
    x, _ = inputs(dtype)
    wanted = getattr(scalar, f"heaviside_{dtype}")(x)
    np.testing.assert_array_equal(plain(wanted, dtype), (plain(x, dtype).astype(np.float64) >= 0).astype(DTYPES[dtype]))
    threads(1)
    for offset in (0, 1):
        for size in SIZES:
            assert_same_bits(getattr(on_host, f"heaviside_{dtype}")(x[:size], offset), wanted[:size], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["one", "beside_0"])
def test_a_derivative_for_every_remainder(name, dtype, threads):
    x, t = inputs(dtype)
    wanted = expected(name, dtype, x, t)
    threads(1)
    for size in SIZES:
        assert_same_bits(run(name, dtype, x[:size], t[:size]), wanted[:size], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("count", [0, 1, 3, 32])
def test_blocks(name, dtype, count, threads):
    """0 threads: as many as the launch requests."""
    threads(count)
    x, t = inputs(dtype, seed=1)
    wanted = expected(name, dtype, x, t)
    for size in (0, 1, 7, 8, 9, 1023, LARGEST):
        assert_same_bits(run(name, dtype, x[:size], t[:size]), wanted[:size], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_cotangent_that_is_a_scalar(name, dtype, threads):
    threads(2)
    x, t = inputs(dtype, 100)
    for one in (*t[:3], held(np.array(np.inf, DTYPES[dtype]))[()]):
        one = np.asarray(one)
        assert_same_bits(run(name, dtype, x, one), expected(name, dtype, x, one), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["one", "triple", "sigmoid_order_5"])
def test_offsets_that_break_the_alignment(name, dtype, threads):
    threads(3)
    x, t = inputs(dtype, 203)
    wanted = expected(name, dtype, x, t)
    for offsets in itertools.product((0, 1, 8, 9), repeat=3):
        assert_same_bits(run(name, dtype, x, t, offsets), wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["one", "triple", "sigmoid_order_5"])
def test_in_place(name, dtype, threads):
    threads(2)
    x, t = inputs(dtype, 517)
    for offsets in ((0, 0, 0), (1, 0, 0)):
        assert_same_bits(run(name, dtype, x, t, offsets, in_place=True), expected(name, dtype, x, t), dtype)
