"""The layer's values against a NumPy loop, bit by bit, and the errors for bad input."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_lif import RESETS, RULES, STEP_ORDERS, draw, numpy_lif
from spikegrad import GaussianGrad, lif, neurons

DTYPES = [np.float16, jnp.bfloat16, np.float32]


def check(operands, step_order, reset, **options):
    """Compare the kernels. By default a GPU unrolls layers of few steps, and XLA contracts products and sums."""
    current, decay, threshold, v0 = operands
    with spikegrad.kernels(True):
        actual = lif(
            current, decay, threshold, v0=v0, step_order=step_order, reset=reset, return_membrane=True, **options
        )
    for got, wanted in zip(actual, numpy_lif(*operands, step_order, reset), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("step_order, reset", RULES)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("steps, shape", [(1, ()), (5, (3, 67)), (40, (9001,)), (4096, (3,))])
def test_every_rule_dtype_and_length(step_order, reset, dtype, steps, shape):
    check(draw(0, steps, shape, dtype, scales=shape), step_order, reset)


@pytest.mark.parametrize("step_order, reset", RULES)
@pytest.mark.parametrize("steps, shape", [(1, ()), (100, (9, 65))])
def test_float64(x64, step_order, reset, steps, shape):
    check(draw(0, steps, shape, np.float64, scales=shape), step_order, reset)


@pytest.mark.parametrize("step_order, reset", RULES)
def test_the_scan_is_the_same_layer(step_order, reset):
    """XLA may fuse the product into the sum. A membrane near the threshold can then spike or not."""
    current, decay, threshold, v0 = draw(1, 50, (40,), scales=(40,))
    options = {"v0": v0, "step_order": step_order, "reset": reset, "return_membrane": True}
    spikes, v_final, membrane = lif(current, decay, threshold, **options)
    with spikegrad.kernels(False):
        assert "spikegrad" not in jax.jit(lambda x: lif(x, decay, threshold, **options)).lower(current).as_text()
        by_scan = lif(current, decay, threshold, **options)
    assert np.min(np.abs(np.asarray(membrane) - threshold)) > 1e-6, "use another seed: a membrane is at the threshold"
    np.testing.assert_array_equal(by_scan[0], spikes)
    np.testing.assert_allclose(by_scan[1], v_final, atol=2e-6)
    np.testing.assert_allclose(by_scan[2], membrane, atol=2e-6)


BROADCASTS = [(), (1,), (5,), (4, 1), (1, 5), (3, 1, 1), (3, 4, 5), (1, 1, 1)]


@settings(max_examples=60, deadline=None)
@given(
    step_order=st.sampled_from(STEP_ORDERS),
    reset=st.sampled_from(RESETS),
    shapes=st.tuples(*[st.sampled_from(BROADCASTS)] * 3),
    steps=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_each_operand_broadcasts_to_a_step(step_order, reset, shapes, steps, seed):
    current, *_ = draw(seed, steps, (3, 4, 5))
    rng = np.random.default_rng(seed)
    check((current, *(rng.uniform(0.4, 1.1, shape).astype(np.float32) for shape in shapes)), step_order, reset)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_no_neurons(shape):
    for step_order, reset in RULES:
        check(draw(0, 6, shape), step_order, reset)


def test_no_steps(kernels):
    spikes, v_final, membrane = lif(jnp.zeros((0, 3)), 0.9, 1.0, v0=jnp.arange(3), return_membrane=True)
    assert spikes.shape == membrane.shape == (0, 3)
    np.testing.assert_array_equal(v_final, [0, 1, 2])
    gradient = jax.grad(lambda v0: (lif(jnp.zeros((0, 3)), 0.9, 1.0, v0=v0)[1] ** 2).sum())(jnp.arange(3.0))
    np.testing.assert_array_equal(gradient, [0, 2, 4])


class Wrapped:
    """An array-like such as flax's `nnx.Param`, which is neither an array nor a number."""

    def __init__(self, value):
        self.value = value

    def __jax_array__(self):
        return jnp.asarray(self.value)


@pytest.mark.parametrize("given", [Wrapped, list, tuple, lambda v: [Wrapped(one) for one in v]])
@pytest.mark.parametrize("surrogate", [GaussianGrad(), lambda z: (z >= 0).astype(z.dtype)], ids=["kernel", "scan"])
def test_operands_in_containers(given, surrogate):
    """Operands may be anything that `jax.numpy` accepts as an array."""
    current, decay, threshold, v0 = draw(0, 9, (3,), scales=(3,))
    run = lambda current, *states: lif(current, *states[:2], v0=states[2], surrogate=surrogate)
    expected = run(current, decay, threshold, v0)
    wrapped = lambda current, *states: run(Wrapped(current), *(given(state) for state in states))
    for f in (wrapped, jax.jit(wrapped)):
        for got, wanted in zip(f(current, *map(jnp.asarray, (decay, threshold, v0))), expected, strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert run([[jnp.float32(2)] * 3] * 2, decay, threshold, v0)[0].shape == (2, 3)


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(
        st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e-40, -1e-40, 1e38, -1e38, np.inf, -np.inf, np.nan]),
        min_size=6,
        max_size=6,
    ),
    step_order=st.sampled_from(STEP_ORDERS),
    reset=st.sampled_from(RESETS),
    threshold=st.sampled_from([0.0, 1.0, -1.0, 1e-40, np.nan]),
)
def test_special_values(values, step_order, reset, threshold):
    check((np.float32(values).reshape(3, 2), np.float32(0.5), np.float32(threshold), np.float32(0)), step_order, reset)


@pytest.mark.parametrize("step_order, reset", RULES)
def test_nan_and_infinity_stay_in_their_neuron(step_order, reset, kernels):
    """Values and gradients of all other neurons stay the same."""
    current, _, _, v0 = draw(0, 20, (37,))
    bad = current.copy()
    bad[3, 5], bad[7, 20], bad[0, 21] = np.nan, np.inf, -np.inf

    def f(x):
        loss = lambda x: lif(x, 0.9, 1.0, v0=v0, step_order=step_order, reset=reset)[0].sum()
        return lif(x, 0.9, 1.0, v0=v0, step_order=step_order, reset=reset, return_membrane=True), jax.grad(loss)(x)

    others = [i for i in range(37) if i not in (5, 20, 21)]
    for of_bad, of_good in zip(jax.tree.leaves(f(bad)), jax.tree.leaves(f(current)), strict=True):
        np.testing.assert_array_equal(of_bad[..., others], of_good[..., others])


def test_a_nan_threshold_spikes_nothing(kernels):
    threshold = jnp.array([1.0, jnp.nan])
    for step_order, reset in RULES:
        spikes, _ = lif(jnp.full((9, 2), 2.0), 0.9, threshold, step_order=step_order, reset=reset)
        assert spikes[:, 0].sum() > 0
        assert spikes[:, 1].sum() == 0


@pytest.mark.parametrize("step_order, reset", RULES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=lambda dtype: np.dtype(dtype).name)
def test_chunks_are_one_call(step_order, reset, dtype):
    """Compare bits of spikes and final membrane. test_lif_differentiation.py compares the gradients."""
    current, decay, threshold, v0 = draw(0, 50, (19,), dtype, scales=(19,))
    options = {"step_order": step_order, "reset": reset}
    whole, v_final = lif(current, decay, threshold, v0=v0, **options)
    v, parts = v0, []
    for chunk in np.split(current, [7, 8, 30]):
        spikes, v = lif(chunk, decay, threshold, v0=v, **options)
        parts.append(spikes)
    np.testing.assert_array_equal(jnp.concatenate(parts), whole)
    np.testing.assert_array_equal(v, v_final)


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("dtype", [jnp.int4, jnp.uint8, np.int32, np.bool_], ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("surrogate", [GaussianGrad(), lambda z: (z >= 0).astype(z.dtype)], ids=["kernel", "scan"])
def test_an_integer_current_becomes_the_default_float(request, kernels, surrogate, dtype, wide):
    """Event counts and spike trains need no conversion."""
    if wide:
        request.getfixturevalue("x64")
    current = np.random.default_rng(0).integers(0, 2, (20, 7))
    floats = current.astype(np.float64 if wide else np.float32)
    expected = numpy_lif(floats, 0.5, 1.5, np.zeros(7), "charge_fire_reset", "subtract")
    run = lambda x: lif(x, 0.5, 1.5, surrogate=surrogate, return_membrane=True)
    for f in (run, jax.jit(run)):
        for got, wanted in zip(f(jnp.asarray(current).astype(dtype)), expected, strict=True):
            assert got.dtype == floats.dtype
            np.testing.assert_array_equal(got, wanted)  # multiples of 2^-20, so nothing is rounded
    assert 0 < np.mean(expected[0]) < 1


def test_an_integrate_and_fire_neuron_counts():
    spikes, v_final = lif(jnp.full(8, 0.25), decay=1.0, threshold=1.0)
    np.testing.assert_array_equal(spikes, [0, 0, 0, 1] * 2)
    assert v_final == 0


class Triangle(spikegrad.Surrogate):
    def surrogate_grad(self, x):
        return jnp.maximum(0, 1 - jnp.abs(x))


@pytest.mark.parametrize(
    "surrogate", [Triangle(), GaussianGrad(sigma=np.linspace(0.3, 1, 5, dtype=np.float32))], ids=["own", "array"]
)
def test_surrogates_without_a_kernel(surrogate):
    current, decay, threshold, v0 = draw(0, 30, (5,))
    spikes, _ = lif(current, decay, threshold, v0=v0, surrogate=surrogate)
    np.testing.assert_array_equal(spikes, numpy_lif(current, decay, threshold, v0, "charge_fire_reset", "subtract")[0])
    *_, membrane = numpy_lif(current, decay, threshold, v0, "charge_fire_reset", "subtract")
    wanted, v_bar = np.zeros_like(current), 0
    for t in reversed(range(len(current))):
        g = np.asarray(surrogate.surrogate_grad(membrane[t] - threshold))
        wanted[t] = v_bar + g * (current[t] - threshold * v_bar)
        v_bar = decay * wanted[t]
    loss = lambda x: (lif(x, decay, threshold, v0=v0, surrogate=surrogate)[0] * current).sum()
    np.testing.assert_allclose(jax.grad(loss)(current), wanted, rtol=1e-4, atol=1e-6)


def test_a_numpy_integer_is_a_number_of_steps():
    current = draw(0, 30, (5,))[0]
    loss = lambda x, every: lif(x, 0.9, 1.0, checkpoint_every=every)[0].sum()
    np.testing.assert_array_equal(jax.grad(loss)(current, np.int64(3)), jax.grad(loss)(current, 3))


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"current": 1.0}, ValueError, "current must have a time axis"),
        ({"current": np.ones(3, np.complex64)}, TypeError, "current must be real"),
        ({"decay": np.ones(4)}, ValueError, r"decay of shape \(4,\) does not broadcast to a step of shape \(2, 3\)"),
        ({"threshold": np.ones((1, 1, 1))}, ValueError, r"threshold of shape \(1, 1, 1\) does not broadcast"),
        ({"threshold": 1j}, TypeError, "threshold must be a real number"),
        ({"v0": np.ones((3, 2))}, ValueError, r"v0 of shape \(3, 2\)"),
        ({"decay": "fast"}, TypeError, "decay"),
        ({"reset": "soft"}, ValueError, "reset must be one of 'subtract', 'zero', None, and is 'soft'"),
        (
            {"step_order": "fire"},
            ValueError,
            "step_order must be one of 'charge_fire_reset', 'reset_undecayed', 'fire_charge'",
        ),
        ({"detach_reset": 1}, TypeError, "detach_reset must be True or False, and is 1"),
        ({"return_membrane": "yes"}, TypeError, "return_membrane must be True or False"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1, and is 0"),
        ({"checkpoint_every": 2.5}, TypeError, "checkpoint_every must be an int or None, and is 2.5"),
        ({"surrogate": GaussianGrad}, TypeError, "surrogate must be a Surrogate, such as GaussianGrad"),
        ({"checkpoint_every": True}, TypeError, "checkpoint_every must be an int or None, and is True"),
        ({"surrogate": "gaussian"}, TypeError, "surrogate must be a Surrogate, .* and is 'gaussian'"),
    ],
    ids=str,
)
def test_bad_input(options, error, message):
    arguments = {"current": np.ones((7, 2, 3), np.float32), "decay": 0.9, "threshold": 1.0, **options}
    with pytest.raises(error, match=message):
        lif(**arguments)


def test_the_compiled_program_is_one_call():
    text = jax.jit(lambda x: lif(x, 0.9, 1.0)).lower(jnp.ones((5, 3))).as_text()
    assert text.count("custom_call @spikegrad") == text.count("custom_call @spikegrad.lif.v2") == 1
    assert "while" not in text


@pytest.mark.parametrize("name", ["current", "decay", "threshold", "v0"])
def test_an_operand_that_is_no_number_is_named(name):
    for value in (jax.random.key(0), [None, jnp.float32(1)]):
        operands = {"current": jnp.ones(3), "decay": 0.5, "threshold": 1.0, name: value}
        with pytest.raises(TypeError, match=f"{name} must be a real number or an array of them, and is"):
            lif(**operands)


def test_the_example_in_the_docstring():
    assert doctest.testmod(neurons, extraglobs={"jnp": jnp}).failed == 0


def test_changed_values_compile_nothing():
    f = jax.jit(lambda x, decay, sigma: lif(x, decay, 1.0, surrogate=GaussianGrad(sigma))[0].sum())
    g = jax.jit(jax.grad(lambda *args: f(*args)))
    for decay in (0.5, 0.9):
        for sigma in (0.3, 0.5):
            g(jnp.ones((5, 3)), decay, sigma)
    assert g._cache_size() == 1
