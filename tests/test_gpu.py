"""What only a GPU can show. Skipped where there is none; with SPIKEGRAD_REQUIRE_GPU=1 they fail there instead."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from promised import GPU, is_promised, needs_cuda_module, needs_gpu
from spikegrad import targets
from spikegrad.primitives.spike_derivative import spike_derivative

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-41, -1e-41, 6e-8, 65504.0, 1e30]

pytestmark = [needs_gpu, needs_cuda_module]


@pytest.fixture(autouse=True)
def _gpu():
    assert jax.default_backend() == "gpu"
    assert targets.CUDA is not None


def cpu(*arrays):
    return [jax.device_put(a, jax.devices("cpu")[0]) for a in arrays]


def test_the_compiled_program_holds_our_calls(case):
    spike = case.make()
    text = jax.jit(jax.grad(lambda x: spike(x).sum())).lower(jnp.zeros(8)).compile().as_text()
    assert f"spikegrad.{case.family}.v1" in text


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("size", [1, 7, 8, 1000, 4099, 1_000_003])
def test_values_are_those_of_the_cpu_to_the_bit(case, dtype, size, x64):
    """The same arithmetic, fused multiply-add for fused multiply-add (on a CPU that has one)."""
    keys = jax.random.split(jax.random.key(size), 2)
    x, t = (2 * jax.random.normal(key, (size,), dtype) for key in keys)
    if size > len(SPECIAL):  # every special x with every special t
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

    on_gpu = jax.jit(everything)(x, t, *parameters)
    on_cpu = jax.jit(everything)(*cpu(x, t, *parameters))
    for actual, expected in zip(on_gpu, on_cpu, strict=True):
        actual, expected = np.asarray(actual), np.asarray(expected)
        nan = np.isnan(expected.astype(np.float64))
        np.testing.assert_array_equal(np.isnan(actual.astype(np.float64)), nan)
        bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[actual.dtype.itemsize]
        np.testing.assert_array_equal(actual.view(bits)[~nan], expected.view(bits)[~nan])


def test_parameters_that_were_just_computed_on_the_device(case):
    x = jnp.linspace(-2, 2, 1001)
    name, value = next(iter(case.parameters.items()))

    @jax.jit
    def gradient(x, root):
        return jax.grad(lambda x: case.function(x, **{**case.parameters, name: root * root}).sum())(x)

    expected = case.derivative(0, np.asarray(x), **{name: float(np.float32(value))})
    np.testing.assert_allclose(gradient(x, np.sqrt(value)), expected, rtol=2e-6, atol=1e-7)


def test_a_scan_as_a_cuda_graph_or_without(case):
    """The calls may be captured: gpu_check runs this with command buffers for custom calls, and without any."""
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
    """Nothing is launched, in a graph either."""
    gradient = jax.jit(jax.grad(lambda x: case.make()(x).sum()))
    assert gradient(jnp.zeros((0, 3))).shape == (0, 3)


def test_more_elements_than_int32_counts():
    size = 2**31 + 8
    # x, its parts and the spikes, 4 GiB each. The cards that gpu_check is for have 80 GiB and more.
    if not is_promised(GPU) and jax.devices()[0].memory_stats()["bytes_limit"] < 8 * size:
        pytest.skip(f"needs 16 GiB of the GPU's memory ({GPU}=1 makes this fail)")
    x = jnp.concatenate([jnp.zeros(size - 1, jnp.float16), jnp.full(1, -1, jnp.float16)])
    spikes = jax.jit(spikegrad.GaussianGrad())(x)
    assert spikes[-1] == 0 and spikes[-2] == 1
    assert jnp.sum(spikes[2**31 :] == 1) == 7
