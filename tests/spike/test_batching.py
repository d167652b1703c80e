"""`vmap` over every combination of in_axes, against separate calls."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closed_form import error_in_ulp, gaussian_derivative
from families import CASES
from spikegrad import gaussian_grad

pytestmark = [pytest.mark.each_policy, pytest.mark.usefixtures("kernels_called")]

B = 3
RNG = np.random.default_rng(0)


def draw(shape, axis, positive=False):
    shape = shape if axis is None else (*shape[:axis], B, *shape[axis:])
    value = RNG.standard_normal(shape).astype(np.float32)
    return np.abs(value) + np.float32(0.3) if positive else value


def take(value, axis, i):
    return value if axis is None else np.take(value, i, axis)


def spike(function, x, t, parameters):
    return function(x, **parameters)


def pullback(function, x, t, parameters):
    return jax.vjp(lambda x: function(x, **parameters), x)[1](t)[0]


def tangent(function, x, t, parameters):
    return jax.jvp(lambda x: function(x, **parameters), (x,), (t,))[1]


def second(function, x, t, parameters):
    return jax.grad(lambda x: (tangent(function, x, t, parameters) * jnp.cos(x)).sum())(x)


def hyper(function, x, t, parameters):
    return jax.grad(lambda p: (pullback(function, x, t, p) ** 2).sum())(parameters)


def combinations(case, f, rank):
    """(axis of x, axis of t, axes of the parameters). All combinations for each primitive with the Gaussian.

    The batching rules distinguish only whether x, t and any parameter are mapped. So for other surrogates and functions
    it is enough to test all axes of x and t with no parameter mapped, some axes with all mapped, and each parameter
    alone.
    """
    axes_of_arrays = list(itertools.product((None, *range(rank + 1)), repeat=2))
    names = list(case.parameters)
    if case.name == "gaussian" and f in (spike, pullback):
        of_parameters = [dict(zip(names, axes)) for axes in itertools.product((None, 0), repeat=len(names))]
        yield from ((x, t, parameters) for x, t in axes_of_arrays for parameters in of_parameters)
        return
    yield from ((x, t, dict.fromkeys(names)) for x, t in axes_of_arrays)
    yield from ((x, t, dict.fromkeys(names, 0)) for x, t in ((None, None), (0, None), (None, 0), (rank, 0)))
    yield from ((rank, 0, {other: 0 if other == name else None for other in names}) for name in names)


# All functions for the Gaussian. For other surrogates only the functions that depend on the family.
GAUSSIAN, *OTHERS = CASES
WHAT = [
    *((GAUSSIAN, f, "kernel") for f in (spike, pullback, tangent, second, hyper)),
    *((case, f, "kernel") for case in OTHERS for f in (pullback, hyper)),
    (GAUSSIAN, pullback, "fused"),
]


@pytest.mark.parametrize("case, f, kernels", WHAT, indirect=["kernels"], ids=lambda v: getattr(v, "__name__", str(v)))
@pytest.mark.parametrize("shape", [(), (2, 5)])
def test_every_combination_of_in_axes(case, f, kernels, shape):
    all_combinations = combinations(case, f, len(shape))
    f = jax.jit(functools.partial(f, case.function))
    for x_axis, t_axis, axes in all_combinations:
        if (x_axis, t_axis, *axes.values()) == (None,) * (2 + len(axes)):
            continue
        parameters = {name: draw((), axis, positive=True) for name, axis in axes.items()}
        x, t = draw(shape, x_axis), draw(shape, t_axis)
        out = jax.vmap(f, in_axes=(x_axis, t_axis, axes))(x, t, parameters)
        for i in range(B):
            each = {name: take(value, axes[name], i) for name, value in parameters.items()}
            expected = f(take(x, x_axis, i), take(t, t_axis, i), each)
            for actual, wanted in zip(jax.tree.leaves(out), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(actual[i], wanted, rtol=3e-4, atol=3e-5, err_msg=str((x_axis, t_axis, axes)))


@pytest.mark.parametrize("axes", list(itertools.product((None, 0, 1), (None, 0, 1), (None, 0))), ids=str)
def test_array_parameters(kernels, case, axes):
    """One parameter has the shape of x, another is a scalar."""
    if axes == (None,) * 3:
        return
    x_axis, array_axis, scalar_axis = axes
    (array_name, *_), (*_, scalar_name) = case.parameters, case.parameters
    operands = draw((4,), x_axis), draw((4,), array_axis, True), draw((), scalar_axis, True)

    @jax.jit
    def f(x, array, scalar):
        parameters = {scalar_name: scalar, array_name: array}
        gradient = jax.grad(lambda x: case.function(x, **parameters).sum())(x)
        return gradient, case.function(x, **parameters)

    gradient, spikes = jax.vmap(f, in_axes=axes)(*operands)
    for i in range(B):
        g, s = f(*(take(o, a, i) for o, a in zip(operands, axes, strict=True)))
        np.testing.assert_allclose(gradient[i], g, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(spikes[i], s)


@pytest.mark.parametrize("out_axis", [0, 1, 2])
def test_nested_vmaps(kernels, case, out_axis):
    pull = lambda x, t: pullback(case.function, x, t, {})
    x = RNG.standard_normal((B, 4, 5)).astype(np.float32)
    t = RNG.standard_normal((5, B)).astype(np.float32)
    inner = jax.vmap(pull, in_axes=(0, None))
    out = jax.vmap(inner, in_axes=(0, 1), out_axes=out_axis)(x, t)
    expected = np.stack([pull(x[i], np.broadcast_to(t[:, i], (4, 5))) for i in range(B)], out_axis)
    np.testing.assert_allclose(out, expected, rtol=3e-4, atol=1e-6)


def derivative_calls(f, *args):
    """The kernel calls of derivatives in the lowered text."""
    text = jax.jit(f).lower(*args).as_text()
    calls = [line for line in text.splitlines() if "custom_call @spikegrad." in line]
    return [call for call in calls if "heaviside" not in call]


def test_a_mapped_cotangent_on_an_unmapped_x_computes_g_once(case):
    """x is not broadcast: one kernel call on the unbatched x, times t."""
    x, ts = jnp.ones(7), jnp.ones((B, 7))
    (call,) = derivative_calls(jax.vmap(lambda t: pullback(case.function, x, t, {})), ts)
    assert call.rstrip().endswith("-> tensor<7xf32>")
    (call,) = derivative_calls(jax.jacrev(case.function), x)
    assert call.rstrip().endswith("-> tensor<7xf32>")


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("axes", [(0, None), (None, 0)])
def test_halves_are_rounded_once_where_one_of_x_and_t_is_mapped(kernels, dtype, axes):
    """XLA forms the product of g and t in float32, too."""
    x, t = (jnp.asarray(RNG.uniform(-2, 2, 2000), dtype) for _ in range(2))
    shared = [v[0] if axis is None else v for v, axis in zip((x, t), axes, strict=True)]
    out = np.asarray(jax.vmap(lambda x, t: pullback(gaussian_grad, x, t, {}), axes)(*shared), np.float64)
    x, t = (np.asarray(v, np.float64) for v in shared)
    exact = gaussian_derivative(x, 0.5, 0.5, 0) * t
    assert error_in_ulp(np.asarray(out, dtype), exact, dtype).max() <= 0.51


def test_vmap_of_a_scalar_gradient_is_one_kernel_call_with_a_scalar_cotangent(case):
    (call,) = derivative_calls(jax.vmap(jax.grad(case.function)), jnp.ones(7))
    assert "(tensor<7xf32>, tensor<f32>, " in call and call.count("tensor<7xf32>") == 2
