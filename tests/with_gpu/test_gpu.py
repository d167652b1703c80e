"""Tests that need a GPU. Without one they are skipped, or fail if SPIKEGRAD_REQUIRE_GPU=1."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from jax import lax
from requirements import GPU, is_required, needs_cuda_module, needs_gpu
from spikegrad import ffi_targets
from spikegrad.primitives.spike_derivative import spike_derivative

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-41, -1e-41, 6e-8, 65504.0, 1e30]

pytestmark = [pytest.mark.gpu_only, needs_gpu, needs_cuda_module, pytest.mark.usefixtures("kernels_called")]


@pytest.fixture(autouse=True)
def _gpu():
    assert jax.default_backend() == "gpu"
    assert ffi_targets.CUDA is not None


def cpu(*arrays):
    return [jax.device_put(a, jax.devices("cpu")[0]) for a in arrays]


def assert_same_on_cpu(f, *operands):
    """Compare bits with the CPU, except for the sign and payload of NaN."""
    both = jax.jit(f)(*operands), jax.jit(f)(*cpu(*operands))
    for actual, expected in zip(*map(jax.tree.leaves, both), strict=True):
        actual, expected = np.asarray(actual), np.asarray(expected)
        nan = np.isnan(expected.astype(np.float64))
        np.testing.assert_array_equal(np.isnan(actual.astype(np.float64)), nan)
        bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[actual.dtype.itemsize]
        np.testing.assert_array_equal(actual.view(bits)[~nan], expected.view(bits)[~nan])


def test_the_compiled_program_holds_our_calls(case):
    spike = case.make()
    text = jax.jit(jax.grad(lambda x: spike(x).sum())).lower(jnp.zeros(8)).compile().as_text()
    assert f"spikegrad.{case.family}.v1" in text


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("size", [1, 7, 8, 1000, 4099, 1_000_003])
def test_values_are_those_of_the_cpu_to_the_bit(case, dtype, size, x64):
    """Both devices do the same arithmetic, with the same fused multiply-adds (if the CPU has FMA)."""
    keys = jax.random.split(jax.random.key(size), 2)
    x, t = (2 * jax.random.normal(key, (size,), dtype) for key in keys)
    if size > len(SPECIAL):  # all pairs of special x and special t
        pairs = np.array(list(itertools.product(SPECIAL, SPECIAL))[: size // 2]).T
        with np.errstate(over="ignore"):
            special = pairs.astype(x.dtype)
        x, t = (a.at[: b.size].set(b) for a, b in zip((x, t), special, strict=True))
    spike = case.make()
    parameters = case.operands(x)

    def everything(x, t, *parameters):
        orders = [spike_derivative(x, t, *parameters, family=case.family, order=n) for n in (0, 1, 4)]
        scalar = spike_derivative(x, t[0], *parameters, family=case.family, order=0)
        return spike(x), scalar, *orders

    assert_same_on_cpu(everything, x, t, *parameters)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("step_order", ["charge_fire_reset", "reset_undecayed", "fire_charge"])
@pytest.mark.parametrize("steps, neurons, every", [(1, 1, None), (100, 1000, None), (37, 131_073, 5), (2000, 3, 2000)])
def test_a_lif_layer_is_that_of_the_cpu_to_the_bit(case, dtype, step_order, steps, neurons, every, x64):
    """The segment of the last size does not fit into shared memory."""
    rng = np.random.default_rng(steps)
    wide = jnp.float64 if dtype == jnp.float64 else jnp.float32
    x, x_dot, spikes_bar = (jnp.asarray(rng.standard_normal((steps, neurons)), dtype) for _ in range(3))
    decay, threshold, v0, v_bar = (jnp.asarray(rng.uniform(0.5, 1, neurons), wide) for _ in range(4))

    def everything(x, decay, threshold, v0, x_dot, spikes_bar, v_bar):
        def layer(x, decay, threshold, v0):
            return spikegrad.lif(
                x, decay, threshold, v0=v0, step_order=step_order, surrogate=case.make(), checkpoint_every=every
            )

        outs, pull_back = jax.vjp(layer, x, decay, threshold, v0)
        return outs, pull_back((spikes_bar, v_bar)), jax.jvp(lambda x: layer(x, decay, threshold, v0), (x,), (x_dot,))

    assert_same_on_cpu(everything, x, decay, threshold, v0, x_dot, spikes_bar, v_bar)


def test_parameters_that_were_just_computed_on_the_device(case):
    x = jnp.linspace(-2, 2, 1001)
    name, value = next(iter(case.parameters.items()))

    @jax.jit
    def gradient(x, root):
        return jax.grad(lambda x: case.function(x, **{**case.parameters, name: root * root}).sum())(x)

    expected = case.derivative(0, np.asarray(x), **{name: float(np.float32(value))})
    np.testing.assert_allclose(gradient(x, np.sqrt(value)), expected, rtol=2e-6, atol=1e-7)


def test_a_scan_as_a_cuda_graph_or_without(case):
    """gpu_check runs this test with command buffers for custom calls, and without command buffers."""
    spike = case.make()

    def loss(x):
        def step(v, current):
            u = 0.9 * v + current
            s = spike(u - 1)
            return u - s, s

        return jax.lax.scan(step, jnp.zeros(x.shape[1:], x.dtype), x)[1].sum()

    x = jax.random.normal(jax.random.key(0), (50, 1024))
    gradient = jax.jit(jax.grad(loss))
    first = gradient(x)
    for _ in range(5):
        np.testing.assert_array_equal(gradient(x), first)
    np.testing.assert_allclose(first, jax.jit(jax.grad(loss))(*cpu(x)), rtol=1e-5, atol=1e-6)


def test_no_elements(case):
    """No kernel is launched, inside a CUDA graph or outside."""
    gradient = jax.jit(jax.grad(lambda x: case.make()(x).sum()))
    assert gradient(jnp.zeros((0, 3))).shape == (0, 3)


def test_more_elements_than_int32_counts():
    size = 2**31 + 8
    # x, its parts and the spikes, 4 GiB each. GPUs for gpu_check have at least 80 GiB.
    if not is_required(GPU) and jax.devices()[0].memory_stats()["bytes_limit"] < 8 * size:
        pytest.skip(f"needs 16 GiB of the GPU's memory ({GPU}=1 makes this fail)")
    x = jnp.concatenate([jnp.zeros(size - 1, jnp.float16), jnp.full(1, -1, jnp.float16)])
    spikes = jax.jit(spikegrad.GaussianGrad())(x)
    # `lax.slice` has static bounds. Indexing outside jit would turn them into int32 arrays.
    np.testing.assert_array_equal(lax.slice(spikes, (size - 9,), (size,)), [1] * 8 + [0])
