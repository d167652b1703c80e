"""Every kind of derivative of every surrogate against the closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads
from spikegrad import GaussianGrad, gaussian_grad
from spikegrad.primitives.spike_derivative import spike_derivative

pytestmark = pytest.mark.each_policy

X = np.linspace(-2.5, 2.5, 13)


@pytest.fixture(autouse=True)
def everywhere_in_64_bits(x64):
    """64-bit types in all tests. Tests with the fixture `kernels` run on the kernels and in the fused form."""


@pytest.fixture
def f(case):
    return case.make()


@pytest.fixture
def g(case):
    """g(order, x): the reference derivatives of this surrogate."""
    return lambda order, x=X, **parameters: case.derivative(order, x, **parameters)


def close(actual, expected, rtol=1e-12, atol=1e-13):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def test_jvp_and_vjp(kernels, f, g):
    t = np.cos(X)
    spikes, tangent = jax.jvp(f, (X,), (t,))
    np.testing.assert_array_equal(spikes, X >= 0)
    close(tangent, t * g(0))
    spikes, pullback = jax.vjp(f, X)
    np.testing.assert_array_equal(spikes, X >= 0)
    close(pullback(jnp.asarray(t))[0], t * g(0))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_gradients_have_the_dtype_of_x(kernels, f, g, dtype):
    x = jnp.asarray(X, dtype)
    gradient = jax.grad(lambda x: f(x).astype(jnp.float32).sum())(x)
    assert gradient.dtype == dtype
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(gradient.astype(np.float64), g(0, np.asarray(x, np.float64)), rtol=10 * eps)


def test_second_derivatives_where_braintools_gives_0(kernels, f, g):
    close(jax.vmap(jax.grad(jax.grad(f)))(X), g(1))
    close(jax.vmap(jax.hessian(f))(X), g(1))
    close(jax.hessian(lambda x: f(x).sum())(X), np.diag(g(1)))


def test_the_second_derivative_of_the_gaussian_in_words():
    close(jax.vmap(jax.grad(jax.grad(GaussianGrad(0.7))))(X), -X / 0.49 * GaussianGrad(0.7).surrogate_grad(X))


@pytest.mark.parametrize(
    "nested", [(jax.jacfwd, jax.jacrev), (jax.jacrev, jax.jacfwd), (jax.jacfwd, jax.jacfwd), (jax.jacrev, jax.jacrev)]
)
def test_forward_and_reverse_mix(f, g, nested):
    outer, inner = nested
    close(outer(inner(lambda x: f(x).sum()))(X), np.diag(g(1)))
    jacobian = outer(inner(f))(X)
    expected = np.zeros((X.size,) * 3)
    expected[(np.arange(X.size),) * 3] = g(1)
    close(jacobian, expected)


@pytest.mark.parametrize("modes", ["fffff", "rrrrr", "frfrf", "rffrr"])
def test_order_5_in_any_mixture(kernels, f, g, modes):
    for n, mode in enumerate(modes):
        f = jax.grad(f) if mode == "r" else functools.partial(lambda f, x: jax.jvp(f, (x,), (1.0,))[1], f)
        close(jax.vmap(f)(X), g(n), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("order", [7, 10])
def test_high_orders(kernels, f, g, order):
    for _ in range(order + 1):
        f = jax.grad(f)
    expected = g(order)
    close(jax.jit(jax.vmap(f))(X), expected, rtol=1e-9, atol=1e-13 * abs(expected).max())


def test_linearize_and_linear_transpose(f, g):
    _, linear = jax.linearize(f, X)
    close(linear(np.cos(X)), np.cos(X) * g(0))
    close(jax.linear_transpose(linear, X)(jnp.sin(X))[0], np.sin(X) * g(0))


@pytest.mark.parametrize(
    "policy", [None, jax.checkpoint_policies.everything_saveable, jax.checkpoint_policies.nothing_saveable]
)
def test_checkpoint(f, g, policy):
    loss = jax.checkpoint(lambda x: (f(x * 2) * x).sum(), policy=policy)
    close(jax.grad(loss)(X), (X >= 0) + 2 * X * g(0, 2 * X))


def test_the_residual_of_reverse_mode_is_x_alone(f):
    jaxpr = jax.make_jaxpr(lambda x: jax.vjp(f, x)[1])(X)
    names = [str(e.primitive) for e in jaxpr.eqns]
    assert names.count("spike") == 1 and "spike_derivative" not in names
    residuals = [v.aval.shape for v in jaxpr.jaxpr.outvars if v.aval.shape]
    assert residuals == [X.shape]


def test_inside_scan(f):
    """A leaky neuron over time against its unrolled chain rule, in forward and reverse mode."""

    def run(x):
        def step(v, x_t):
            v = 0.9 * v + x_t
            s = f(v - 1)
            return v * (1 - s), s

        return lax.scan(step, 0.0, x)[1].sum()

    def unrolled(x):
        v, total = 0.0, 0.0
        for x_t in x:
            v = 0.9 * v + x_t
            s = f(v - 1)
            total, v = total + s, v * (1 - s)
        return total

    x = jnp.asarray(np.abs(X[:7]))
    expected = jax.jit(jax.grad(unrolled))(x)
    close(jax.jit(jax.grad(run))(x), expected)
    close(jax.jacfwd(run)(x), expected)
    close(jax.hessian(run)(x), jax.jit(jax.hessian(unrolled))(x), rtol=1e-10, atol=1e-12)


def test_inside_while_loop_forward(f):
    def run(x):
        return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + f(c[1])), (0, x))[1]

    def unrolled(x):
        for _ in range(3):
            x = x + f(x)
        return x

    for x in (-0.3, 0.2):
        close(jax.jvp(run, (x,), (1.0,))[1], jax.jvp(unrolled, (x,), (1.0,))[1])


def test_inside_cond(f, g):
    choose = lambda p, x: lax.cond(p, lambda x: f(x), lambda x: 3 * f(-x), x)
    close(jax.grad(choose, 1)(True, 0.3), g(0, 0.3))
    close(jax.vmap(jax.grad(choose, 1))(np.array([True, False]), np.array([0.3, 0.4])), [g(0, 0.3), -3 * g(0, -0.4)])


def test_the_spike_does_not_depend_on_the_parameters(case):
    by_parameters = jax.grad(lambda values: case.function(X, **values).sum())(case.parameters)
    assert all(gradient == 0 for gradient in by_parameters.values())


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_hypergradients(kernels, case, mode, order):
    def derivative(x, parameters):
        f = lambda x: case.function(x, **parameters)
        for _ in range(order + 1):
            f = jax.grad(f)
        return f(x)

    by_parameters = jax.vmap(mode(derivative, 1), (0, None))(X, case.parameters)
    for name, gradient in by_parameters.items():
        close(gradient, case.derivative(order, X, by=name), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_second_hypergradients(kernels, case, mode):
    """Derivatives by x of the closed forms for parameters."""
    by_x = lambda parameters, x: case.function(x, **parameters)
    by_parameters = lambda parameters, x: mode(jax.grad(by_x, 1))(parameters, x)
    for name in case.parameters:
        mixed = jax.vmap(jax.grad(lambda parameters, x, name=name: by_parameters(parameters, x)[name], 1), (None, 0))
        close(mixed(case.parameters, X), case.derivative(1, X, by=name), rtol=1e-11, atol=1e-12)


def test_hypergradients_at_infinity_are_0(kernels, case):
    """Their derivatives by x and by the parameters are 0 too, also in reverse mode."""
    x = np.array([-np.inf, np.inf, 1e300])
    smooth = lambda v, x: case.surrogate(**v).surrogate_fun(x)
    of_gradient = lambda v, x: jax.grad(lambda x: case.function(x, **v))(x)
    for f in (of_gradient, jax.grad(of_gradient, 1), jax.grad(smooth, 1)):
        by_parameters = jax.grad(f)
        for derivative in (by_parameters, jax.jacrev(by_parameters), jax.jacrev(by_parameters, 1)):
            for value in jax.tree.leaves(jax.vmap(derivative, (None, 0))(case.parameters, x)):
                np.testing.assert_array_equal(value, 0)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_hypergradients_differentiated_by_x(kernels, case, order):
    """x = 0 is included: there an odd derivative is 0, but its derivative is not."""
    x = np.array([-1.0, 0.0, 1e-9, 0.4])
    for name in case.parameters:

        def f(x, name=name):
            return jax.grad(lambda p: case.surrogate(**{**case.parameters, name: p}).surrogate_grad(x))(
                case.parameters[name]
            )

        for _ in range(order):
            f = jax.grad(f)
        expected = case.derivative(order, x, by=name)
        close(jax.jit(jax.vmap(f))(x), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_hypergradients_where_alpha_is_0():
    unit = float(GaussianGrad(0.7, 1.0).surrogate_grad(0.3))
    close(jax.grad(lambda a: jax.grad(gaussian_grad)(0.3, 0.7, a))(0.0), unit)


def test_hypergradients_of_array_parameters(kernels, case):
    """One parameter is an array, the others are scalars. The gradient of a scalar is a sum."""
    for name, value in case.parameters.items():
        values = np.linspace(0.6, 1.4, X.size) * value
        points = list(zip(X, values, strict=True))
        others = {other: v for other, v in case.parameters.items() if other != name}

        def loss(array, others, name=name):
            def inner(x):
                return (case.function(x, **{**others, name: array}) * np.cos(X)).sum()

            return jax.grad(inner)(X).sum()

        by_array, by_others = jax.grad(loss, (0, 1))(values, others)
        one_by_one = [case.derivative(0, x_i, by=name, **{name: v}) for x_i, v in points]
        close(by_array, np.cos(X) * np.array(one_by_one), rtol=1e-11)
        for other in others:
            expected = [case.derivative(0, x_i, by=other, **{name: v}) for x_i, v in points]
            close(by_others[other], np.sum(np.cos(X) * np.array(expected)), rtol=1e-11)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_tangents_of_parameters_keep_their_primals_dtype(case, dtype):
    x = jnp.asarray(X, dtype)
    for name, value in case.parameters.items():

        def loss(p, name=name):
            gradient = jax.grad(lambda x: case.function(x, **{name: p}).astype(jnp.float32).sum())(x)
            return gradient.astype(jnp.float32).sum()

        assert jax.grad(loss)(jnp.float32(value)).dtype == jnp.float32
        assert jax.grad(loss)(jnp.asarray(value, dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_second_derivatives_of_halves_are_rounded_once(dtype):
    """x_dot * t = 131072 overflows float16, but the second derivative of f is -28307."""
    f = lambda x: gaussian_grad(x, 0.5) * dtype(32768)
    x, x_dot = dtype(1), dtype(4)
    second = float(jax.jvp(jax.grad(f), (x,), (x_dot,))[1])
    expected = 4 * 32768 * -4 * np.exp(-2) / np.sqrt(2 * np.pi)
    assert abs(second / expected - 1) < 0.51 * float(jnp.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_hypergradients_of_halves_are_rounded_once(case, dtype):
    """At sigma = 0.01, g''(0) = -199471 overflows float16, but dg/dsigma = sigma g'' = -1995 does not."""
    values = {**case.parameters, "sigma": 0.01} if "sigma" in case.parameters else case.parameters
    x = dtype(values.get("sigma", 0.3))
    held = {name: float(np.float32(value)) for name, value in values.items()}
    primals = {name: jnp.float32(value) for name, value in values.items()}
    for name in values:
        tangents = {other: jnp.float32(other == name) for other in values}
        gradient = lambda values: jax.grad(lambda y: case.function(y, **values))(x)
        tangent = float(jax.jvp(gradient, (primals,), (tangents,))[1])
        expected = float(case.derivative(0, float(x), by=name, **held))
        assert abs(tangent / expected - 1) < 0.51 * float(jnp.finfo(dtype).eps), name


def test_an_order_beyond_the_highest_is_refused(case):
    x = jnp.float64(0.3)
    derivative = functools.partial(spike_derivative, x, jnp.float64(1), *case.operands(x), family=case.family)
    assert np.isfinite(derivative(order=64))
    for order in (65, -2):
        with pytest.raises(ValueError, match=f"must be from -1 to 64, and is {order}"):
            derivative(order=order)


def test_jax_s_own_consistency_check(case):
    """Check the surrogate gradient, a smooth function, with respect to x and its parameters at once."""
    x = X[::5]
    grad = lambda x, values: case.surrogate(**values).surrogate_grad(x)
    check_grads(grad, (x, case.parameters), order=2, modes=("fwd", "rev"), rtol=1e-5)
    fun = lambda x, values: case.surrogate(**values).surrogate_fun(x)
    check_grads(fun, (x, case.parameters), order=1, modes=("fwd", "rev"), rtol=1e-5)
