"""Every kind of derivative against the closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closed_form import gaussian_derivative
from jax import lax
from jax.test_util import check_grads
from spikegrad import GaussianGrad, gaussian_grad
from spikegrad.primitives.spike_derivative import spike_derivative

SIGMA, ALPHA = 0.7, 1.3
F = GaussianGrad(SIGMA, ALPHA)
X = np.linspace(-2.5, 2.5, 13)


def g(order, x=X, sigma=SIGMA, alpha=ALPHA):
    return np.asarray(gaussian_derivative(x, sigma, alpha, order), np.float64)


@pytest.fixture(autouse=True)
def everywhere_in_64_bits(x64, kernels):
    """All of this once on the kernels and once on the reference."""


def close(actual, expected, rtol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-13)


def test_jvp_and_vjp():
    t = np.cos(X)
    spikes, tangent = jax.jvp(F, (X,), (t,))
    np.testing.assert_array_equal(spikes, X >= 0)
    close(tangent, t * g(0))
    spikes, pullback = jax.vjp(F, X)
    np.testing.assert_array_equal(spikes, X >= 0)
    close(pullback(jnp.asarray(t))[0], t * g(0))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_gradients_have_the_dtype_of_x(dtype):
    x = jnp.asarray(X, dtype)
    gradient = jax.grad(lambda x: F(x).astype(jnp.float32).sum())(x)
    assert gradient.dtype == dtype
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(gradient.astype(np.float64), g(0, np.asarray(x, np.float64)), rtol=10 * eps)


def test_second_derivatives_where_braintools_gives_0():
    close(jax.vmap(jax.grad(jax.grad(F)))(X), -X / SIGMA**2 * g(0))
    close(jax.vmap(jax.hessian(F))(X), g(1))
    close(jax.hessian(lambda x: F(x).sum())(X), np.diag(g(1)))


@pytest.mark.parametrize(
    "nested", [(jax.jacfwd, jax.jacrev), (jax.jacrev, jax.jacfwd), (jax.jacfwd, jax.jacfwd), (jax.jacrev, jax.jacrev)]
)
def test_forward_and_reverse_mix(nested):
    outer, inner = nested
    close(outer(inner(lambda x: F(x).sum()))(X), np.diag(g(1)))
    jacobian = outer(inner(F))(X)
    expected = np.zeros((X.size,) * 3)
    expected[(np.arange(X.size),) * 3] = g(1)
    close(jacobian, expected)


@pytest.mark.parametrize("modes", ["fffff", "rrrrr", "frfrf", "rffrr"])
def test_order_5_in_any_mixture(modes):
    f = F
    for n, mode in enumerate(modes):
        f = jax.grad(f) if mode == "r" else functools.partial(lambda f, x: jax.jvp(f, (x,), (1.0,))[1], f)
        close(jax.vmap(f)(X), g(n), rtol=1e-11)


@pytest.mark.parametrize("order", [7, 10])
def test_high_orders(order):
    f = F
    for _ in range(order + 1):
        f = jax.grad(f)
    close(jax.jit(jax.vmap(f))(X), g(order), rtol=1e-9)


def test_linearize_and_linear_transpose():
    _, linear = jax.linearize(F, X)
    close(linear(np.cos(X)), np.cos(X) * g(0))
    close(jax.linear_transpose(linear, X)(jnp.sin(X))[0], np.sin(X) * g(0))


@pytest.mark.parametrize(
    "policy", [None, jax.checkpoint_policies.everything_saveable, jax.checkpoint_policies.nothing_saveable]
)
def test_checkpoint(policy):
    f = jax.checkpoint(lambda x: (F(x * 2) * x).sum(), policy=policy)
    close(jax.grad(f)(X), (X >= 0) + 2 * X * g(0, 2 * X))


def test_the_residual_of_reverse_mode_is_x_alone():
    jaxpr = jax.make_jaxpr(lambda x: jax.vjp(F, x)[1])(X)
    names = [str(e.primitive) for e in jaxpr.eqns]
    assert names.count("spike") == 1 and "spike_derivative" not in names
    residuals = [v.aval.shape for v in jaxpr.jaxpr.outvars if v.aval.shape]
    assert residuals == [X.shape]


def test_inside_scan():
    """A leaky neuron over time against the sum of its unrolled chain rule, in both modes."""

    def run(x):
        def step(v, x_t):
            v = 0.9 * v + x_t
            s = F(v - 1)
            return v * (1 - s), s

        return lax.scan(step, 0.0, x)[1].sum()

    def unrolled(x):
        v, total = 0.0, 0.0
        for x_t in x:
            v = 0.9 * v + x_t
            s = F(v - 1)
            total, v = total + s, v * (1 - s)
        return total

    x = jnp.asarray(np.abs(X))
    close(jax.jit(jax.grad(run))(x), jax.grad(unrolled)(x))
    close(jax.jacfwd(run)(x), jax.grad(unrolled)(x))
    close(jax.hessian(run)(x), jax.hessian(unrolled)(x), rtol=1e-10)


def test_inside_while_loop_forward():
    def run(x):
        return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + F(c[1])), (0, x))[1]

    def unrolled(x):
        for _ in range(3):
            x = x + F(x)
        return x

    for x in (-0.3, 0.2):
        close(jax.jvp(run, (x,), (1.0,))[1], jax.jvp(unrolled, (x,), (1.0,))[1])


def test_inside_cond():
    f = lambda p, x: lax.cond(p, lambda x: F(x), lambda x: 3 * F(-x), x)
    close(jax.grad(f, 1)(True, 0.3), g(0, 0.3))
    close(jax.vmap(jax.grad(f, 1))(np.array([True, False]), np.array([0.3, 0.4])), [g(0, 0.3), -3 * g(0, -0.4)])


def test_the_spike_does_not_depend_on_the_parameters():
    by_sigma, by_alpha = jax.grad(lambda s, a: gaussian_grad(X, s, a).sum(), (0, 1))(SIGMA, ALPHA)
    assert by_sigma == 0 and by_alpha == 0


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_hypergradients(mode, order):
    """d/dsigma g^(n) = sigma g^(n+2) (the heat equation), d/dalpha g^(n) = g^(n) at alpha = 1."""

    def derivative(x, sigma, alpha):
        f = lambda x: gaussian_grad(x, sigma, alpha)
        for _ in range(order + 1):
            f = jax.grad(f)
        return f(x)

    by_sigma, by_alpha = jax.vmap(mode(derivative, (1, 2)), (0, None, None))(X, SIGMA, ALPHA)
    close(by_sigma, SIGMA * g(order + 2), rtol=1e-11)
    close(by_alpha, g(order, alpha=1.0))
    step = 1e-6
    close(by_sigma, (g(order, sigma=SIGMA + step) - g(order, sigma=SIGMA - step)) / (2 * step), rtol=2e-8)


def test_hypergradients_where_alpha_is_0():
    close(jax.grad(lambda a: jax.grad(gaussian_grad)(0.3, SIGMA, a))(0.0), g(0, 0.3, alpha=1.0))


def test_hypergradients_of_array_parameters():
    sigma = np.linspace(0.4, 1.2, X.size)
    loss = lambda s, a: jax.grad(lambda x: (gaussian_grad(x, s, a) * np.cos(X)).sum())(X).sum()
    by_sigma, by_alpha = jax.grad(loss, (0, 1))(sigma, ALPHA)
    close(by_sigma, np.cos(X) * sigma * np.array([g(2, x, s) for x, s in zip(X, sigma)]))
    close(by_alpha, np.sum(np.cos(X) * np.array([g(0, x, s, 1.0) for x, s in zip(X, sigma)])))
    by_row = jax.grad(lambda s: jax.grad(lambda x: gaussian_grad(x, s[:, None]).sum())(X[:12].reshape(4, 3)).sum())(
        sigma[:4]
    )
    assert by_row.shape == (4,)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_tangents_of_parameters_keep_their_primals_dtype(dtype):
    x = jnp.asarray(X, dtype)
    by_sigma = jax.grad(
        lambda s: jax.grad(lambda x: gaussian_grad(x, s).astype(jnp.float32).sum())(x).astype(jnp.float32).sum()
    )
    assert by_sigma(jnp.float32(0.7)).dtype == jnp.float32
    assert by_sigma(jnp.asarray(0.7, dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_second_derivatives_of_halves_are_rounded_once(dtype):
    """x_dot * t is 131072, which float16 does not have; the second derivative of f is -28307."""
    f = lambda x: gaussian_grad(x, 0.5) * dtype(32768)
    x, x_dot = dtype(1), dtype(4)
    second = float(jax.jvp(jax.grad(f), (x,), (x_dot,))[1])
    expected = 4 * 32768 * g(1, 1.0, 0.5, 0.5)
    assert abs(second / expected - 1) < 0.51 * float(jnp.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("sigma", [0.01, 0.5])
def test_hypergradients_of_halves_are_rounded_once(dtype, sigma):
    """g''(0) = -199471 at sigma = 0.01 leaves float16; dg/dsigma = sigma g'' = -1995 does not."""
    gradient = lambda s, a: jax.grad(lambda y: gaussian_grad(y, s, a))(dtype(0))
    for name, tangents, expected in (
        ("sigma", (1.0, 0.0), sigma * g(2, 0.0, sigma, 0.5)),
        ("alpha", (0.0, 1.0), g(0, 0.0, sigma, 1.0)),
    ):
        primals = jnp.float32(sigma), jnp.float32(0.5)
        by_parameter = float(jax.jvp(gradient, primals, tuple(map(jnp.float32, tangents)))[1])
        assert abs(by_parameter / expected - 1) < 0.51 * float(jnp.finfo(dtype).eps), name
    smooth = lambda s: GaussianGrad(s).surrogate_fun(dtype(sigma))
    expected = sigma * g(1, float(dtype(sigma)), sigma, 0.5)
    assert abs(float(jax.jvp(smooth, (jnp.float32(sigma),), (jnp.float32(1),))[1]) / expected - 1) < 0.51 * float(
        jnp.finfo(dtype).eps
    )


def test_an_order_beyond_the_highest_is_refused():
    derivative = functools.partial(
        spike_derivative, jnp.float64(0.3), jnp.float64(1), jnp.float64(0.5), jnp.float64(0.5), family="gaussian"
    )
    assert np.isfinite(derivative(order=100))
    for order in (257, -1):
        with pytest.raises(ValueError, match=f"must be from 0 to 256, and is {order}"):
            derivative(order=order)


def test_jax_s_own_consistency_check():
    """On what has a derivative in the ordinary sense: the surrogate itself, in x, sigma and alpha at once."""
    check_grads(
        lambda x, s, a: GaussianGrad(s, a).surrogate_grad(x),
        (X, SIGMA, ALPHA),
        order=3,
        modes=("fwd", "rev"),
        rtol=1e-5,
    )
    check_grads(
        lambda x, s, a: GaussianGrad(s, a).surrogate_fun(x), (X, SIGMA, ALPHA), order=2, modes=("fwd", "rev"), rtol=1e-5
    )
