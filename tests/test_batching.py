"""`vmap` over every combination of in_axes, against the calls one by one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closed_form import error_in_ulp, gaussian_derivative
from spikegrad import gaussian_grad

B = 3
RNG = np.random.default_rng(0)
AXES = {"x": (None, 0, 1, 2), "t": (None, 0, 1, 2), "sigma": (None, 0), "alpha": (None, 0)}


def draw(shape, axis, positive=False):
    shape = shape if axis is None else (*shape[:axis], B, *shape[axis:])
    value = RNG.standard_normal(shape).astype(np.float32)
    return np.abs(value) + np.float32(0.3) if positive else value


def take(value, axis, i):
    return value if axis is None else np.take(value, i, axis)


def spike(x, t, sigma, alpha):
    return gaussian_grad(x, sigma, alpha)


def pullback(x, t, sigma, alpha):
    return jax.vjp(lambda x: gaussian_grad(x, sigma, alpha), x)[1](t)[0]


def tangent(x, t, sigma, alpha):
    return jax.jvp(lambda x: gaussian_grad(x, sigma, alpha), (x,), (t,))[1]


def second(x, t, sigma, alpha):
    return jax.grad(lambda x: (tangent(x, t, sigma, alpha) * jnp.cos(x)).sum())(x)


def hyper(x, t, sigma, alpha):
    return jax.grad(lambda s: (pullback(x, t, s, alpha) ** 2).sum())(sigma)


@pytest.mark.parametrize("f", [spike, pullback, tangent, second, hyper])
@pytest.mark.parametrize("shape", [(), (4,), (2, 5)])
def test_every_combination_of_in_axes(kernels, f, shape):
    for x, t, sigma, alpha in itertools.product(*AXES.values()):
        if (x, t, sigma, alpha) == (None,) * 4 or any(a is not None and a > len(shape) for a in (x, t)):
            continue
        axes = (x, t, sigma, alpha)
        operands = draw(shape, x), draw(shape, t), draw((), sigma, True), draw((), alpha)
        out = jax.vmap(f, in_axes=axes)(*operands)
        for i in range(B):
            expected = f(*(take(o, a, i) for o, a in zip(operands, axes, strict=True)))
            np.testing.assert_allclose(out[i], expected, rtol=3e-4, atol=1e-5, err_msg=str(axes))


@pytest.mark.parametrize("axes", list(itertools.product((None, 0, 1), (None, 0, 1), (None, 0))))
def test_array_parameters(kernels, axes):
    if axes == (None,) * 3:
        return
    x_axis, sigma_axis, alpha_axis = axes
    operands = draw((4,), x_axis), draw((4,), sigma_axis, True), draw((), alpha_axis)

    def f(x, sigma, alpha):
        return jax.grad(lambda x: gaussian_grad(x, sigma, alpha).sum())(x), gaussian_grad(x, sigma, alpha)

    gradient, spikes = jax.vmap(f, in_axes=axes)(*operands)
    for i in range(B):
        g, s = f(*(take(o, a, i) for o, a in zip(operands, axes, strict=True)))
        np.testing.assert_allclose(gradient[i], g, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(spikes[i], s)


@pytest.mark.parametrize("out_axis", [0, 1, 2])
def test_nested_vmaps(kernels, out_axis):
    x = RNG.standard_normal((B, 4, 5)).astype(np.float32)
    t = RNG.standard_normal((5, B)).astype(np.float32)
    inner = jax.vmap(lambda x, t: pullback(x, t, 0.5, 0.5), in_axes=(0, None))
    out = jax.vmap(inner, in_axes=(0, 1), out_axes=out_axis)(x, t)
    expected = np.stack([pullback(x[i], np.broadcast_to(t[:, i], (4, 5)), 0.5, 0.5) for i in range(B)], out_axis)
    np.testing.assert_allclose(out, expected, rtol=3e-4, atol=1e-6)


def test_a_mapped_cotangent_on_an_unmapped_x_computes_g_once():
    """Nothing is materialised: one kernel call on x as it is, times t."""
    x, ts = jnp.ones(7), jnp.ones((B, 7))
    text = jax.jit(jax.vmap(lambda t: pullback(x, t, 0.5, 0.5))).lower(ts).as_text()
    (call,) = [line for line in text.splitlines() if "spikegrad.gaussian" in line]
    assert call.rstrip().endswith("-> tensor<7x1xf32>")
    jacobian = jax.jit(jax.jacrev(lambda x: gaussian_grad(x))).lower(x).as_text()
    (call,) = [line for line in jacobian.splitlines() if "spikegrad.gaussian" in line]
    assert call.rstrip().endswith("-> tensor<7x1xf32>")


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("axes", [(0, None), (None, 0)])
def test_halves_are_rounded_once_where_one_of_x_and_t_is_mapped(kernels, dtype, axes):
    """XLA's product of the two is no exception: it is formed in float32."""
    x, t = (jnp.asarray(RNG.uniform(-2, 2, 2000), dtype) for _ in range(2))
    shared = [v[0] if axis is None else v for v, axis in zip((x, t), axes, strict=True)]
    out = np.asarray(jax.vmap(lambda x, t: pullback(x, t, 0.5, 0.5), axes)(*shared), np.float64)
    x, t = (np.asarray(v, np.float64) for v in shared)
    exact = gaussian_derivative(x, 0.5, 0.5, 0) * t
    assert error_in_ulp(np.asarray(out, dtype), exact, dtype).max() <= 0.51


def test_vmap_of_a_scalar_gradient_is_one_kernel_call_with_a_scalar_cotangent():
    text = jax.jit(jax.vmap(jax.grad(gaussian_grad))).lower(jnp.ones(7)).as_text()
    (call,) = [line for line in text.splitlines() if "spikegrad.gaussian" in line]
    assert "(tensor<7x1xf32>, tensor<f32>, tensor<f32>, tensor<f32>) -> tensor<7x1xf32>" in call
