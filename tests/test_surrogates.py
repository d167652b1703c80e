"""GaussianGrad as an object, and the parameters that it and gaussian_grad refuse."""

import copy
import functools
import pickle

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from spikegrad import GaussianGrad, gaussian_grad


def test_repr_equality_and_hash():
    assert repr(GaussianGrad()) == "GaussianGrad(alpha=0.5, sigma=0.5)"
    assert repr(GaussianGrad(sigma=2, alpha=1)) == "GaussianGrad(alpha=1.0, sigma=2.0)"
    same = [
        GaussianGrad(0.5, 0.25),
        GaussianGrad(sigma=np.float64(0.5), alpha=np.float32(0.25)),
        GaussianGrad(np.array(0.5), 0.25),
        GaussianGrad(jnp.float32(0.5), jnp.bfloat16(0.25)),
    ]
    assert len(set(same)) == 1
    assert GaussianGrad(0.5, 0.25) != GaussianGrad(0.25, 0.5)
    assert GaussianGrad() != 0.5
    assert hash(GaussianGrad(0.3)) != hash(GaussianGrad(0.4))


def test_copies_and_pickles_are_equal():
    f = GaussianGrad(0.3, 0.7)
    for other in (pickle.loads(pickle.dumps(f)), copy.copy(f), copy.deepcopy(f)):
        assert other == f and hash(other) == hash(f)


def test_immutable():
    f = GaussianGrad()
    with pytest.raises(AttributeError, match="immutable"):
        f.sigma = 1.0
    with pytest.raises(AttributeError, match="immutable"):
        del f.sigma
    assert f.sigma == 0.5


def test_opaque_to_pytrees():
    """Libraries that train the arrays they find in a module find none here."""
    f = GaussianGrad()
    assert jax.tree.leaves(f) == [f]


def test_equal_objects_are_one_static_argument():
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def apply(f, x):
        traces.append(f)
        return f(x)

    for _ in range(5):
        apply(GaussianGrad(0.3, 0.4), jnp.zeros(3))
    assert len(traces) == 1
    apply(GaussianGrad(0.3, 0.5), jnp.zeros(3))
    assert len(traces) == 2


@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_an_object_with_an_array_says_why_it_has_no_hash(asarray):
    sigmas = [0.3, 0.4]
    f = GaussianGrad(sigma=asarray(sigmas, "float32"))
    with pytest.raises(TypeError, match=r"sigma.*gaussian_grad\(x, sigma, alpha\)"):
        hash(f)
    assert f == GaussianGrad(sigma=asarray(sigmas, "float32")) == pickle.loads(pickle.dumps(f))
    assert f != GaussianGrad(sigma=asarray([0.3, 0.5], "float32")) and f != GaussianGrad(0.3)
    expected = [GaussianGrad(sigma).surrogate_grad(0.1) for sigma in sigmas]
    np.testing.assert_allclose(f.surrogate_grad(jnp.full(2, 0.1)), expected, rtol=1e-6)


def test_an_object_does_not_follow_the_array_it_was_made_from():
    sigma = np.array([0.3, 0.4])
    f = GaussianGrad(sigma)
    sigma[0] = -1
    np.testing.assert_array_equal(f.sigma, [0.3, 0.4])
    with pytest.raises(ValueError, match="read-only"):
        f.sigma[0] = -1


def test_one_compile_over_a_hundred_sigmas():
    """Annealing sigma retraces and recompiles nothing."""
    traces = []

    @jax.jit
    def gradient(x, sigma, alpha):
        traces.append(sigma)
        return jax.grad(lambda x: gaussian_grad(x, sigma, alpha).sum())(x)

    x = jnp.linspace(-1, 1, 11)
    for sigma in np.linspace(0.1, 2, 100):
        out = gradient(x, sigma, 0.5)
        np.testing.assert_array_equal(out, GaussianGrad(sigma, 0.5).surrogate_grad(x))
    assert len(traces) == 1
    assert gradient._cache_size() == 1


def test_surrogate_grad_is_the_gradient():
    f, x = GaussianGrad(0.7, 1.5), jnp.linspace(-3, 3, 101)
    np.testing.assert_array_equal(f.surrogate_grad(x), jax.vmap(jax.grad(f))(x))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_surrogate_fun_is_the_smooth_function_behind_it(x64, dtype):
    sigma, alpha = 0.7, 1.5
    f, x = GaussianGrad(sigma, alpha), jnp.linspace(-3, 3, 61).astype(dtype)
    value = f.surrogate_fun(x)
    assert value.dtype == dtype
    exact = [float(alpha * mpmath.ncdf(float(v) / sigma)) for v in x]
    np.testing.assert_allclose(value.astype(np.float64), exact, rtol=4 * float(jnp.finfo(dtype).eps), atol=1e-6)
    np.testing.assert_array_equal(jax.vmap(jax.grad(f.surrogate_fun))(x), f.surrogate_grad(x))


def test_surrogate_fun_by_its_parameters():
    """d/dsigma alpha Phi(x / sigma) = sigma g'(x), d/dalpha = Phi, at order -1 of the same closed forms."""
    smooth = lambda x, s, a: GaussianGrad(s, a).surrogate_fun(x)
    by_x, by_sigma, by_alpha = jax.grad(smooth, (0, 1, 2))(0.3, 0.7, 1.5)
    z = 0.3 / 0.7
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(by_x, 1.5 * density / 0.7, rtol=1e-6)
    np.testing.assert_allclose(by_sigma, -1.5 * density * 0.3 / 0.49, rtol=1e-6)
    np.testing.assert_allclose(by_alpha, float(mpmath.ncdf(z)), rtol=1e-6)


@pytest.mark.parametrize("sigma", [0, 0.0, -1, -0.5, np.float32(0), jnp.float32(-1)])
def test_sigma_must_be_positive(sigma):
    for make in (lambda: GaussianGrad(sigma=sigma), lambda: gaussian_grad(jnp.zeros(3), sigma)):
        with pytest.raises(ValueError, match="sigma must be greater than 0, and is"):
            make()


@pytest.mark.parametrize("name", ["sigma", "alpha"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan"), jnp.float32(jnp.inf)])
def test_parameters_must_be_finite(name, value):
    for make in (lambda: GaussianGrad(**{name: value}), lambda: gaussian_grad(jnp.zeros(3), **{name: value})):
        with pytest.raises(ValueError, match=f"{name} must be finite, and is"):
            make()


def test_parameters_must_be_in_range_where_they_are_held():
    """What 64 bits can hold and float32 cannot; the objects themselves, which meet x later, take it."""
    for x, dtype in ((jnp.zeros(3), "float32"), (jnp.zeros(3, jnp.float16), "float32")):
        for sigma in (1e-46, np.float64(1e-50)):
            with pytest.raises(ValueError, match=f"sigma must be greater than 0 in {dtype}, .* and is .*1e-"):
                GaussianGrad(sigma)(x)
        for name in ("sigma", "alpha"):
            with pytest.raises(ValueError, match=rf"{name} must be finite in {dtype}, .* and is 1e\+39"):
                gaussian_grad(x, **{name: 1e39})


def test_float64_holds_what_float32_does_not(x64):
    assert np.isfinite(GaussianGrad(1e-50, 1e39).surrogate_grad(np.float64(0)))


@pytest.mark.parametrize("name", ["sigma", "alpha"])
@pytest.mark.parametrize("value", ["0.5", None, 1j, np.array([1j]), True, [None]])
def test_parameters_must_be_numbers(name, value):
    with pytest.raises(TypeError, match=f"{name} must be a real number"):
        GaussianGrad(**{name: value})
    with pytest.raises(TypeError, match=f"{name} must be a real number"):
        gaussian_grad(jnp.zeros(3), **{name: value})


@pytest.mark.parametrize("name", ["sigma", "alpha"])
@pytest.mark.parametrize("shape", [(2,), (4, 3), (1, 3), (3, 1)])
def test_parameters_must_broadcast_to_x(name, shape):
    with pytest.raises(ValueError, match=rf"{name} of shape .* does not broadcast to x of shape \(3,\)"):
        gaussian_grad(jnp.zeros(3), **{name: np.ones(shape)})
    with pytest.raises(ValueError, match=f"{name} of shape"):
        jax.jit(lambda p: gaussian_grad(jnp.zeros(3), **{name: p}))(np.ones(shape))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1), (1, 1)])
def test_array_parameters_broadcast(kernels, shape):
    x = jnp.linspace(-1, 1, 6).reshape(2, 3)
    sigma = 0.3 + 0.1 * np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    gradient = jax.grad(lambda x: gaussian_grad(x, sigma, 0.7).sum())(x)
    one_by_one = [
        [GaussianGrad(float(s), 0.7).surrogate_grad(v) for v, s in zip(*row)]
        for row in zip(x, np.broadcast_to(sigma, (2, 3)))
    ]
    np.testing.assert_allclose(gradient, np.array(one_by_one), rtol=1e-5)
    np.testing.assert_array_equal(gaussian_grad(x, sigma), np.asarray(x) >= 0)


def test_complex_and_integer_inputs_are_told_apart():
    with pytest.raises(TypeError, match="x must be real"):
        GaussianGrad()(jnp.array([1j]))
    with pytest.raises(TypeError, match="float8_e8m0fnu, which has no 0 and no sign"):
        GaussianGrad()(jnp.ones(3, jnp.float8_e8m0fnu))
    for method in (GaussianGrad().surrogate_grad, GaussianGrad().surrogate_fun):
        with pytest.raises(TypeError, match="x must be floating-point"):
            method(jnp.array([1, 2]))


def test_a_bad_traced_parameter_is_nan(kernels):
    """Nobody can raise under a trace; the spike itself does not depend on sigma."""
    for sigma in (0.0, -1.0, np.nan, np.inf):
        spikes, gradient = jax.jit(
            lambda x, s: (gaussian_grad(x, s), jax.grad(lambda x: gaussian_grad(x, s).sum())(x))
        )(jnp.ones(3), sigma)
        np.testing.assert_array_equal(spikes, 1)
        assert np.all(np.isnan(gradient))
        assert np.isnan(jax.jit(lambda s: GaussianGrad(s).surrogate_fun(jnp.float32(1)))(sigma))
