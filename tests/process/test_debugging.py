"""jax's debugging switches: `jax.disable_jit`, `jax_debug_nans` and `jax_debug_infs`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from spikegrad import GaussianGrad, Surrogate, gaussian_grad, lif, multi_gaussian_grad, sigmoid
from spikegrad.compat import braintools

X = np.linspace(-1, 1, 6, dtype=np.float32)


class Cauchy(Surrogate):
    def surrogate_grad(self, x):
        return 1 / (1 + x * x)


SPIKES = {
    "gaussian_grad": gaussian_grad,
    "multi_gaussian_grad": multi_gaussian_grad,
    "sigmoid": sigmoid,
    "object": GaussianGrad(0.3),
    "own": Cauchy(),
    "compat": braintools.GaussianGrad(0.3),
    "compat with an array": braintools.GaussianGrad(jnp.float32(0.3) * jnp.ones(1)),
}


def layer(surrogate):
    return lambda x: lif(x[:, None], 0.9, 0.5, surrogate=surrogate)[0].sum()


def results(f):
    """Value, gradient, second derivative and forward mode, also inside vmap and scan."""
    total = lambda x: f(x).sum()
    batch = np.stack([X, X[::-1]])

    def step(v, x):
        s = f(jnp.atleast_1d(v + x))[0]
        return 0.5 * v + x - s, s

    return [
        f(X),
        jax.grad(total)(X),
        jax.jacfwd(jax.grad(total))(X),
        jax.jvp(f, (X,), (X,))[1],
        jax.vmap(jax.grad(total))(batch),
        jax.grad(lambda x: lax.scan(step, 0.0, x)[1].sum())(X),
    ]


@pytest.mark.parametrize("name", SPIKES)
def test_without_jit_the_spike_is_the_same(kernels, name):
    expected = results(SPIKES[name])
    with jax.disable_jit():
        actual = results(SPIKES[name])
    for got, wanted in zip(actual, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("surrogate", [GaussianGrad(), Cauchy()], ids=["GaussianGrad", "own"])
def test_without_jit_the_layer_is_the_same(kernels, surrogate):
    f = layer(surrogate)
    batch = np.stack([X, X[::-1]])
    run = lambda: [f(X), jax.grad(f)(X), jax.jvp(f, (X,), (X,))[1], jax.vmap(jax.grad(f))(batch), jax.hessian(f)(X)]
    expected = run()
    with jax.disable_jit():
        actual = run()
    for got, wanted in zip(actual, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


NAN = np.array([0.0, np.nan], np.float32)
EVERY_FLAG = pytest.mark.parametrize("flag", ["debug_nans", "debug_infs", "disable_jit"])


@pytest.mark.parametrize("name", SPIKES)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_debug_flags_raise_where_the_derivative_is_bad(kernels, name, wrap):
    x, ones, zeros = jnp.asarray(NAN), jnp.ones(2), jnp.zeros(2)
    first = r"\w+" if name == "own" else "spike_derivative"
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match=rf"\(nan\) encountered in {first}\b"):
        wrap(lambda x, ones: jax.vjp(SPIKES[name], x)[1](ones))(x, ones)
    with jax.debug_infs(True), pytest.raises(FloatingPointError, match=r"\(inf\) encountered in spike_derivative\b"):
        wrap(GaussianGrad(1e-30, 1e30).surrogate_grad)(zeros)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_debug_flags_raise_where_the_layer_is_bad(kernels, wrap):
    current, bad = jnp.stack([X, X]), jnp.stack([NAN, NAN])
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match=r"\(nan\) encountered in lif\b"):
        wrap(lambda x: lif(x, 0.9, 1.0))(bad)
    with jax.debug_infs(True), pytest.raises(FloatingPointError, match=r"\(inf\) encountered in lif\b"):
        wrap(lambda x: lif(x, np.float32(3e38), 1.0, v0=3e38))(current)


@EVERY_FLAG
def test_the_flags_leave_good_values_alone(kernels, flag):
    x = jnp.asarray(NAN)
    with getattr(jax, flag)(True):
        assert gaussian_grad(x)[1] == 0
        np.testing.assert_allclose(jax.grad(lambda x: gaussian_grad(x).sum())(X[:1]), 0.05399097, rtol=1e-6)
        np.testing.assert_array_equal(lif(np.full((3, 1), 0.75, np.float32), 0.5, 1.0)[0][:, 0], [0, 1, 0])
