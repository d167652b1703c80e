"""`Surrogate` as the base of a user's own: the step on the kernel, their gradient by JAX."""

import doctest
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spikegrad import Surrogate
from spikegrad import surrogate as module


class Triangle(Surrogate):
    def surrogate_grad(self, x):
        return jnp.maximum(0, 1 - jnp.abs(x))


class Cauchy(Surrogate):
    def __init__(self, width=1.0):
        self.width = width

    def surrogate_grad(self, x):
        return 1 / (1 + (x / self.width) ** 2)

    def surrogate_fun(self, x):
        return self.width * jnp.arctan(x / self.width)


X = np.linspace(-2, 2, 9).astype(np.float32)
SLOPE = 1 / (1 + X.astype(np.float64) ** 2)


def test_the_documented_examples():
    names = {"jax": jax, "jnp": jnp, "Surrogate": Surrogate}
    assert doctest.testmod(module, extraglobs=names).failed == 0


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_forward_and_gradient(kernels, dtype):
    x = jnp.asarray(X, dtype)
    spikes, pullback = jax.vjp(Triangle(), x)
    assert spikes.dtype == dtype
    np.testing.assert_array_equal(spikes, X >= 0)
    np.testing.assert_array_equal(pullback(jnp.ones_like(x))[0].astype(np.float32), np.maximum(0, 1 - abs(X)))
    assert ("custom_call @spikegrad.heaviside" in jax.jit(Triangle()).lower(x).as_text()) == kernels


def test_every_transformation(kernels):
    f = Cauchy()
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(X), SLOPE, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(f, (X,), (X,))[1], X * SLOPE, rtol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(f)(X), np.diag(SLOPE), rtol=1e-6)
    second = -2 * X * SLOPE**2
    for nested in (jax.grad(jax.grad(f)), jax.jacfwd(jax.jacrev(f)), jax.jacrev(jax.jacfwd(f)), jax.hessian(f)):
        np.testing.assert_allclose(jax.jit(jax.vmap(nested))(X), second, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(jax.grad(lambda x: jax.checkpoint(f)(x).sum())(X), SLOPE, rtol=1e-6)
    run = lambda x: jax.lax.scan(lambda v, x_t: (0.5 * v + f(x_t), f(v)), 0.0, x)[1].sum()
    assert jax.jit(jax.grad(run))(X).shape == X.shape


def test_a_traced_attribute_under_grad_of_jit():
    """A rule that closed over the tracer would fail here; the spike does not depend on it, its derivative does."""
    loss = jax.jit(lambda width, x: Cauchy(width)(x).sum())
    np.testing.assert_array_equal(jax.grad(loss)(1.5, X), 0)
    np.testing.assert_allclose(jax.grad(loss, 1)(1.0, X), SLOPE, rtol=1e-6)
    hyper = jax.jit(jax.grad(lambda width: jax.grad(loss, 1)(width, X).sum()))
    np.testing.assert_allclose(hyper(1.0), np.sum(2 * X**2 * SLOPE**2), rtol=1e-5)
    widths = np.array([0.5, 1.0, 2.0], np.float32)
    mapped = jax.vmap(lambda width: jax.grad(loss, 1)(width, X))(widths)
    np.testing.assert_allclose(mapped, 1 / (1 + (X / widths[:, None]) ** 2), rtol=1e-6)


def test_the_gradient_is_dropped_where_nobody_differentiates():
    text = jax.jit(Cauchy()).lower(X).compile().as_text()
    assert "divide" not in text


def test_integers_and_constants():
    np.testing.assert_array_equal(Triangle()(jnp.array([-1, 0, 2])), [0, 1, 1])
    with pytest.raises(TypeError, match="x must be real"):
        Triangle()(jnp.array([1j]))
    tangent = jax.jvp(lambda c: Triangle()(jnp.asarray(X)) + c, (jnp.zeros(9),), (jnp.ones(9),))[1]
    np.testing.assert_array_equal(tangent, 1)


def test_what_is_missing_or_does_not_fit_is_named():
    class Nothing(Surrogate):
        pass

    class Scalar(Surrogate):
        def surrogate_grad(self, x):
            return jnp.sum(x)

    class Wide(Surrogate):
        def surrogate_grad(self, x):
            return x.astype(jnp.float32)

    with pytest.raises(NotImplementedError, match=r"Nothing must define surrogate_grad"):
        Nothing()(X)
    with pytest.raises(NotImplementedError, match=r"Nothing does not define surrogate_fun"):
        Nothing().surrogate_fun(X)
    with pytest.raises(ValueError, match=r"Scalar.surrogate_grad made \(\) of x of shape \(9,\)"):
        Scalar()(X)
    with pytest.raises(TypeError, match=r"Wide.surrogate_grad made float32 of x of dtype float16"):
        Wide()(X.astype(np.float16))


def test_as_an_object():
    f = Triangle()
    assert jax.tree.leaves(f) == [f]
    assert isinstance(pickle.loads(pickle.dumps(f)), Triangle)
    apply = functools.partial(jax.jit, static_argnums=0)(lambda f, x: f(x))
    np.testing.assert_array_equal(apply(f, X), X >= 0)
