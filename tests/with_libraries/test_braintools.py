"""`braintools.surrogate` 0.3.0 and 0.4.0: equal values and names, the convention in `compat`, and differences."""

import itertools

import braintools
import braintools.surrogate as theirs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from braintools_functions import FUNCTIONS, GRIDS, exact
from spikegrad.compat import braintools as compat

BEFORE_0_4 = tuple(map(int, braintools.__version__.split(".")[:2])) < (0, 4)
X = np.linspace(-10, 10, 2001)
POINTS = [
    (name, dict(zip(grid, values, strict=True)))
    for name, grid in GRIDS.items()
    for values in itertools.product(*grid.values())
]


@pytest.mark.parametrize("name, parameters", POINTS, ids=str)
def test_forward_gradient_and_names(x64, name, parameters):
    ours, other = getattr(spikegrad, name)(**parameters), getattr(theirs, name)(**parameters)
    np.testing.assert_array_equal(ours(X), other(X))
    # Where the Gaussians or the terms of 1 - s cancel, the error may be 1e-12 of the largest term.
    largest = np.abs(other.surrogate_grad(X)).max() if name != "GaussianGrad" else 0
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-300 + 1e-12 * largest)
    close(*[jax.vmap(jax.grad(f))(X) for f in (ours, other)])
    close(ours.surrogate_grad(X), other.surrogate_grad(X))
    functions = [getattr(module, FUNCTIONS[name]) for module in (spikegrad, theirs)]
    close(*[jax.grad(lambda x, f=f: f(x, *parameters.values()).sum())(X) for f in functions])
    if name == "Sigmoid":
        close(ours.surrogate_fun(X), other.surrogate_fun(X))
    assert repr(ours) == repr(other)


@pytest.mark.parametrize("name, parameters", POINTS[::5], ids=str)
@pytest.mark.parametrize("form", ["function", "object"])
def test_the_gradient_of_the_output_by_a_parameter(x64, name, parameters, form):
    def gradients(module):
        def total(parameters, x):
            if form == "function":
                spikes = getattr(module, FUNCTIONS[name])(x, **parameters)
            else:
                spikes = getattr(module, name)(**parameters)(x)
            return (spikes * np.cos(X)).sum()

        return jax.jit(jax.grad(total, (0, 1)))(parameters, X)

    (ours, ours_by_x), (other, other_by_x) = gradients(compat if BEFORE_0_4 else spikegrad), gradients(theirs)
    assert any(abs(gradient) > 1e-3 for gradient in other.values()) == BEFORE_0_4
    for parameter in parameters:
        np.testing.assert_allclose(ours[parameter], other[parameter], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours_by_x, other_by_x, rtol=1e-12, atol=1e-13)
    spikes = getattr(compat, name)(**parameters)(X)
    np.testing.assert_array_equal(spikes, X >= 0)


def test_compat_for_a_surrogate_of_one_s_own(x64):
    def gradients(module):
        class FastSigmoid(module.Surrogate):
            def __init__(self, slope):
                self.slope = slope

            def surrogate_grad(self, x):
                return 1 / (1 + self.slope * jnp.abs(x)) ** 2

        return jax.grad(lambda slope, x: (FastSigmoid(slope)(x) * np.cos(X)).sum(), (0, 1))(2.0, X)

    for ours, other in zip(gradients(compat if BEFORE_0_4 else spikegrad), gradients(theirs), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-12)
    assert gradients(compat)[0] != 0 and gradients(spikegrad)[0] == 0


@pytest.mark.parametrize("name, parameters", POINTS[::5], ids=str)
def test_compat_gives_the_derivative_of_surrogate_grad_by_a_parameter(x64, name, parameters):
    """The same for every release. In 0.2 and 0.3 the gradient of the output equals this derivative."""
    ours = jax.grad(lambda p: (getattr(compat, name)(**p)(X) * np.cos(X)).sum())(parameters)
    other = jax.grad(lambda p: (getattr(theirs, name)(**p).surrogate_grad(X) * np.cos(X)).sum())(parameters)
    assert any(abs(gradient) > 1e-3 for gradient in other.values())
    for parameter in parameters:
        np.testing.assert_allclose(ours[parameter], other[parameter], rtol=1e-9, atol=1e-9)


INTEGERS = {
    "int32": np.array([-1, 0, 2], np.int32),
    "uint8": np.array([0, 2], np.uint8),
    "bool": np.array([True, False]),
    "int": -1,
    "Python bool": True,
}


@pytest.mark.parametrize("x", INTEGERS.values(), ids=INTEGERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_integers(name, x):
    """Integers become the default float in spikegrad and in 0.4. Version 0.3 keeps the dtype of arrays."""
    for module in (spikegrad, compat):
        for spikes in (getattr(module, name)()(x), getattr(module, FUNCTIONS[name])(x)):
            assert spikes.dtype == np.float32
            np.testing.assert_array_equal(spikes, np.asarray(x) >= 0)
    if BEFORE_0_4:
        if isinstance(x, np.ndarray):
            assert getattr(theirs, name)()(jnp.asarray(x)).dtype == x.dtype
    else:
        other = getattr(theirs, name)()(x)
        assert other.dtype == np.float32
        np.testing.assert_array_equal(other, spikes)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_traced_integers(name):
    parameter = next(iter(GRIDS[name]))
    for module in (spikegrad, compat, theirs):
        f = jax.jit(lambda p, m=module: getattr(m, FUNCTIONS[name])(jnp.array([-1, 0, 2]), **{parameter: p}))
        np.testing.assert_array_equal(f(0.5), [0, 1, 1])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compat_objects(name):
    ours, plain = getattr(compat, name)(), getattr(spikegrad, name)()
    assert isinstance(ours, type(plain)) and ours == getattr(compat, name)() and hash(ours) is not None
    assert ours != plain
    assert repr(ours) == repr(plain)
    np.testing.assert_allclose(jax.hessian(ours)(0.3), jax.hessian(plain)(0.3))


def test_the_second_derivative(x64):
    for name in FUNCTIONS:
        ours, other = getattr(spikegrad, name)(), getattr(theirs, name)()
        assert (jax.grad(jax.grad(other))(0.3) == 0) == BEFORE_0_4
        step = 1e-5
        expected = (other.surrogate_grad(0.3 + step) - other.surrogate_grad(0.3 - step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(jax.grad(ours))(0.3), expected, rtol=1e-8)
        if not BEFORE_0_4:
            np.testing.assert_allclose(jax.grad(jax.grad(other))(0.3), expected, rtol=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_second_derivative_through_two_spikes(x64, name):
    """braintools 0.4.0 omits the term of the second spike that comes from the first spike's derivative."""
    ours, other = getattr(spikegrad, name)(), getattr(theirs, name)()
    x, g = 0.3, other.surrogate_grad
    curvature = jax.grad(g)
    y, inner = 2 + x - 1.2, 2 * g(x) + 1
    expected = curvature(y) * inner**2 + g(y) * 2 * curvature(x)
    chain = lambda f: lambda x: f(2 * f(x) + x - 1.2)
    for f in (ours, exact(g)):
        np.testing.assert_allclose(jax.grad(jax.grad(chain(f)))(x), expected, rtol=1e-12)
    left_out = 0 if BEFORE_0_4 else curvature(y) * inner + g(y) * 2 * curvature(x)
    np.testing.assert_allclose(jax.grad(jax.grad(chain(other)))(x), left_out, rtol=1e-12)
    assert abs(expected - left_out) > 0.05


@pytest.mark.parametrize("name", FUNCTIONS)
def test_traces_of_equal_objects(name):
    def traces(make):
        count = 0

        def apply(f, x):
            nonlocal count
            count += 1
            return f(x)

        jitted = jax.jit(apply, static_argnums=0)
        for _ in range(4):
            jitted(make(), jnp.zeros(3))
        return count

    assert traces(getattr(spikegrad, name)) == 1
    assert traces(getattr(theirs, name)) == (4 if BEFORE_0_4 else 1)
