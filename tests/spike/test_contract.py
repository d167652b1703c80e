"""The documented contract of the spike and its derivative, for kernel and fused form, eager, jitted and mapped."""

import families
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from spikegrad import GaussianGrad, MultiGaussianGrad, gaussian_grad
from spikegrad.primitives.spike_derivative import spike_derivative

pytestmark = pytest.mark.each_policy

DTYPES = [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64]
WAYS = {
    "eager": lambda f: f,
    "jit": jax.jit,
    "vmap": jax.vmap,
    "jit(vmap)": lambda f: jax.jit(jax.vmap(f)),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(x64, kernels, case, way, dtype):
    x = jnp.array([-jnp.inf, -1, -0.0, 0.0, 1, jnp.inf, jnp.nan], dtype)
    spikes = way(case.make())(x)
    assert spikes.dtype == dtype
    np.testing.assert_array_equal(spikes.astype(np.float32), [0, 0, 1, 1, 1, 1, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [0, 1, 4])
def test_special_values_of_every_order(x64, kernels, case, way, dtype, order):
    derivative = case.make().surrogate_grad
    for _ in range(order):
        derivative = jax.grad(derivative)
    x = jnp.array([-jnp.inf, jnp.inf, jnp.nan, -0.0, 0.0], dtype)
    if way in (WAYS["eager"], jax.jit):
        derivative = jax.vmap(derivative)
    out = np.asarray(way(derivative)(x), np.float32)
    np.testing.assert_array_equal(out[:2], 0)
    assert np.isnan(out[2])
    assert out[3] == out[4]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("order", [12, 33, 64])
def test_high_orders_are_0_far_out(x64, kernels, case, dtype, order):
    x = jnp.array([-jnp.inf, jnp.inf, 1e30, -1e4], dtype)
    out = spike_derivative(x, jnp.ones((), dtype), *case.operands(x), family=case.family, order=order)
    np.testing.assert_array_equal(out, 0)


def test_the_documented_example(kernels):
    """braintools' documentation: spikes [0. 1. 1.]; the gradient peaks at alpha / (sigma sqrt(2 pi)) = 0.3989."""
    f = GaussianGrad(sigma=0.5, alpha=0.5)
    x = jnp.array([-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(f(x), [0, 1, 1])
    expected = np.array([0.05399097, 0.39894228, 0.05399097])
    np.testing.assert_allclose(jax.grad(lambda x: f(x).sum())(x), expected, rtol=2e-7)
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(x), expected, rtol=2e-7)
    np.testing.assert_allclose(jax.grad(lambda x: gaussian_grad(x).sum())(x), expected, rtol=2e-7)


ARRAYS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=False),
)


# Each example compiles programs for its shape, so more examples would mean more compilations.
@pytest.mark.parametrize("case", families.CASES, ids=str)
@given(x=ARRAYS, width=st.floats(0.1, 3), factor=st.floats(-2, 2))
@settings(max_examples=30, deadline=None)
def test_kernel_and_fused_form_agree_on_any_array(case, x, width, factor):
    """Shapes with zeros, rank 0, NaN, infinities. (No subnormals: on a CPU XLA flushes them in the fused form.)"""
    values = {"sigma": width, "alpha": factor if "sigma" in case.parameters else width, "h": factor, "scale": factor}
    parameters = {name: values.get(name, value) for name, value in case.parameters.items()}

    def all_of_it(x):
        spikes, pullback = jax.vjp(lambda x: case.function(x, **parameters), x)
        return pullback(jnp.ones_like(x))[0], spikes

    gradient, spikes = all_of_it(jnp.asarray(x))
    with spikegrad.kernels(False):
        gradient_ref, spikes_ref = all_of_it(jnp.asarray(x))
    assert gradient.shape == spikes.shape == x.shape
    np.testing.assert_array_equal(spikes, spikes_ref)
    # Not `nanmax`, which warns if all values are NaN.
    largest = np.max(np.abs(gradient_ref), initial=0, where=~np.isnan(gradient_ref))
    terms = largest if case.name == "multi_gaussian" else 0
    np.testing.assert_allclose(gradient, gradient_ref, rtol=7e-7, atol=1e-37 + 1e-6 * terms)


@pytest.mark.parametrize("dtype", DTYPES)
def test_negative_subnormals_do_not_spike(x64, dtype, kernels_called):
    """XLA calls handlers with subnormals flushed to zero. In this mode -tiny >= 0 is true."""
    tiny = (
        np.nextafter(np.zeros(64, dtype), np.ones(64, dtype))
        if dtype != jnp.bfloat16
        else np.full(64, 1, np.uint16).view(jnp.bfloat16)
    )
    f = jax.jit(GaussianGrad())
    np.testing.assert_array_equal(np.asarray(f(-tiny), np.float32), 0)
    np.testing.assert_array_equal(np.asarray(f(tiny), np.float32), 1)


def test_the_subnormal_tail_survives_xla(kernels, on_cpu):
    """g(6.9) = 1e-42 is a subnormal float32. On a CPU XLA's arithmetic flushes it to 0, and the kernel keeps it."""
    g = float(jax.jit(GaussianGrad().surrogate_grad)(jnp.float32(6.9)))
    if kernels:
        np.testing.assert_allclose(g, 0.3989422804 * np.exp(-(6.9**2) * 2), rtol=2e-3)
    else:
        assert g == 0


@pytest.mark.parametrize("layout", ["transposed", "sliced", "reversed"])
def test_inputs_that_are_no_plain_row_major_array(kernels, case, layout):
    f = case.make()
    base = jax.random.normal(jax.random.key(0), (6, 8))
    change = {"transposed": lambda x: x.T, "sliced": lambda x: x[1::2, 1:7:3], "reversed": lambda x: x[::-1, ::-1]}[
        layout
    ]
    gradient = jax.jit(lambda x: jax.grad(lambda y: f(y).sum())(change(x)))(base)
    expected = jax.jit(lambda x: change(jax.grad(lambda y: f(y).sum())(x)))(base)
    np.testing.assert_array_equal(gradient, expected)
    np.testing.assert_array_equal(jax.jit(lambda x: f(change(x)))(base), np.asarray(change(base)) >= 0)


@pytest.mark.parametrize("dtype", [jnp.float8_e4m3fn, jnp.float8_e5m2])
def test_other_dtypes_take_the_fused_form(dtype, kernels_called):
    x = jnp.array([0, 1, 3, -1], jnp.float32).astype(dtype)
    f = jax.jit(GaussianGrad())
    spikes = f(x)
    assert spikes.dtype == dtype
    np.testing.assert_array_equal(np.asarray(spikes, np.float32), [1, 1, 1, 0])
    assert "spikegrad" not in f.lower(x).as_text()


def test_float8_has_a_gradient():
    x = jnp.array([0.0, 0.5, 2.0], jnp.float8_e4m3fn)
    gradient = jax.grad(lambda x: GaussianGrad()(x).astype(jnp.float32).sum())(x)
    expected = GaussianGrad().surrogate_grad(x.astype(jnp.float32)).astype(jnp.float8_e4m3fn)
    np.testing.assert_array_equal(np.asarray(gradient, np.float32), np.asarray(expected, np.float32))


INTEGERS = [jnp.int4, jnp.uint4, jnp.int8, jnp.uint16, jnp.int32, jnp.uint32, jnp.bool_]


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: np.dtype(dtype).name)
def test_integers_and_booleans_become_the_default_float(request, kernels_called, case, dtype, wide):
    """The results equal the results for the same values as floats."""
    if wide:
        request.getfixturevalue("x64")
    x = jnp.array([0, 1, -1]).astype(dtype)
    floats = np.asarray(x).astype(np.float64 if wide else np.float32)
    f = case.make()
    for step in (f, case.function, jax.jit(jax.vmap(f))):
        spikes = step(x)
        assert spikes.dtype == floats.dtype
        np.testing.assert_array_equal(spikes, floats >= 0)
    for smooth in (f.surrogate_grad, f.surrogate_fun):
        assert smooth(x).dtype == floats.dtype
        np.testing.assert_array_equal(smooth(x), smooth(floats))
    np.testing.assert_allclose(f.surrogate_grad(x), case.derivative(0, floats), rtol=1e-6, atol=1e-7)


def test_integers_run_on_the_kernels(kernels_called):
    """Integers call the kernels, and also work in the fused form."""
    f, x = jax.jit(GaussianGrad()), jnp.array([-1, 0, 1])
    assert "custom_call @spikegrad" in f.lower(x).as_text()
    with spikegrad.kernels(False):
        assert "custom_call @spikegrad" not in f.lower(x).as_text()
        np.testing.assert_array_equal(f(x), [0, 1, 1])


@pytest.mark.parametrize("number", [1, -1, True, np.int64(-1), np.int8(1), np.True_], ids=repr)
def test_an_integer_that_is_no_array_becomes_the_default_float(case, number):
    f = case.make()
    for result in (f(number), case.function(number), f.surrogate_grad(number), f.surrogate_fun(number)):
        assert result.shape == () and result.dtype == jnp.float32
    assert f(number) == (number >= 0)
    assert f.surrogate_grad(number) == f.surrogate_grad(float(number))


def test_a_gradient_by_an_integer_is_refused_by_jax(case):
    with pytest.raises(TypeError, match=r"requires real- or complex-valued inputs.*but got int32"):
        jax.grad(case.make())(1)
    spikes, tangent = jax.jvp(case.make(), (jnp.array([1, -1]),), (np.zeros(2, jax.dtypes.float0),))
    assert tangent.dtype == spikes.dtype
    np.testing.assert_array_equal(tangent, 0)


def test_weak_types_and_strict_promotion():
    with jax.numpy_dtype_promotion("strict"):
        x = jnp.array([0.5, -0.5], jnp.bfloat16)
        gradient = jax.grad(lambda x: gaussian_grad(x, 0.3, jnp.float32(0.7)).astype(jnp.float32).sum())(x)
    assert gradient.dtype == jnp.bfloat16
    assert (GaussianGrad()(0.5) * jnp.ones(2, jnp.bfloat16)).dtype == jnp.bfloat16


def test_the_documented_values_of_the_multi_gaussian(kernels):
    gradient = jax.vmap(jax.grad(MultiGaussianGrad()))(jnp.array([0.0, 0.5, 1.0, 2.0]))
    np.testing.assert_allclose(gradient, [0.4391, 0.2589, 0.0435, -0.0157], atol=5e-5)


def test_a_halves_parameter_keeps_its_precision():
    """With sigma = 1e-3, x^2 / (2 sigma^2) would be 0 / 0 in float16 arithmetic."""
    x = jnp.zeros(3, jnp.float16)
    np.testing.assert_allclose(
        GaussianGrad(sigma=1e-3, alpha=0.01).surrogate_grad(x).astype(np.float32), 3.9894228, rtol=1e-3
    )
