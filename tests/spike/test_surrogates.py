"""The surrogates as objects, and the parameters that objects and functions reject."""

import copy
import doctest
import functools
import inspect
import pickle

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from families import CASES
from spikegrad import GaussianGrad, MultiGaussianGrad, Sigmoid, gaussian_grad, multi_gaussian_grad, sigmoid, surrogates
from spikegrad.compat import braintools as compat

EVERY_PARAMETER = [(case, name) for case in CASES for name in case.parameters]
POSITIVE = [(case, name) for case, name in EVERY_PARAMETER if (case.name, name) not in (("gaussian", "alpha"),)]
POSITIVE = [(case, name) for case, name in POSITIVE if name not in ("h", "scale")]


def ids(parameter):
    return str(parameter)


def test_repr_is_that_of_braintools():
    assert repr(GaussianGrad()) == "GaussianGrad(alpha=0.5, sigma=0.5)"
    assert repr(GaussianGrad(sigma=2, alpha=1)) == "GaussianGrad(alpha=1.0, sigma=2.0)"
    assert repr(MultiGaussianGrad()) == "MultiGaussianGrad(h=0.15, s=6.0, sigma=0.5, scale=0.5)"
    assert repr(Sigmoid()) == "Sigmoid(alpha=4.0)"


def test_the_documented_examples():
    names = {"jax": jax, "jnp": jnp}
    results = doctest.testmod(surrogates, extraglobs=names)
    assert results.failed == 0 and results.attempted >= 6


def test_function_and_object_have_the_same_defaults(case):
    of_function = dict(list(inspect.signature(case.function).parameters.items())[1:])
    of_object = dict(inspect.signature(case.surrogate).parameters)
    assert of_function == of_object
    assert list(of_function) == list(case.parameters)


def test_equality_and_hash(case):
    values = {name: float(np.float32(value)) for name, value in case.parameters.items()}
    same = [
        case.surrogate(**{name: kind(value) for name, value in values.items()})
        for kind in (float, np.float64, np.float32, np.array, jnp.float32)
    ]
    assert len(set(same)) == 1
    for name, value in values.items():
        other = case.surrogate(**{**values, name: value * 2})
        assert other != same[0] and hash(other) != hash(same[0])
    assert case.make() != 0.5
    assert len({case.surrogate() for case in CASES}) == len(CASES)


def test_copies_and_pickles_are_equal(case):
    f = case.make()
    for other in (pickle.loads(pickle.dumps(f)), copy.copy(f), copy.deepcopy(f)):
        assert other == f and hash(other) == hash(f)


def test_subclasses_with_another_signature_are_copied_and_pickled():
    f = Narrow(0.3)
    for other in (pickle.loads(pickle.dumps(f)), copy.copy(f), copy.deepcopy(f)):
        assert type(other) is Narrow and other == f and other.sigma == 0.15


class Narrow(GaussianGrad):
    def __init__(self, width):
        super().__init__(sigma=width / 2, alpha=1.0)


def test_the_object_is_the_function_for_any_plain_number():
    x = jnp.linspace(-9, 9, 1001)
    gradient = jax.vmap(jax.grad(lambda x: multi_gaussian_grad(x, 0.15, 6, np.float64(0.3), jnp.float32(0.75))))(x)
    np.testing.assert_array_equal(gradient, MultiGaussianGrad(0.15, 6, 0.3, 0.75).surrogate_grad(x))


def test_immutable(case):
    f = case.make()
    for name, value in case.parameters.items():
        with pytest.raises(AttributeError, match="immutable"):
            setattr(f, name, 1.0)
        with pytest.raises(AttributeError, match="immutable"):
            delattr(f, name)
        assert getattr(f, name) == value
    with pytest.raises(AttributeError):
        f.other = 1


def test_opaque_to_pytrees(case):
    """Libraries train all arrays in a module. A surrogate must contain none."""
    f = case.make()
    assert jax.tree.leaves(f) == [f]


def test_equal_objects_are_one_static_argument(case):
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def apply(f, x):
        traces.append(f)
        return f(x)

    for _ in range(5):
        apply(case.make(), jnp.zeros(3))
    assert len(traces) == 1
    apply(case.surrogate(), jnp.zeros(3))
    assert len(traces) == 2


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_an_object_with_an_array_says_why_it_has_no_hash(case, name, asarray):
    values = [0.3, 0.4]
    f = case.make(**{name: asarray(values, "float32")})
    with pytest.raises(TypeError, match=rf"{name}.*make the surrogate inside"):
        hash(f)
    assert f == case.make(**{name: asarray(values, "float32")}) == pickle.loads(pickle.dumps(f))
    assert f != case.make(**{name: asarray([0.3, 0.5], "float32")}) and f != case.make(**{name: 0.3})
    expected = [case.make(**{name: value}).surrogate_grad(0.1) for value in values]
    np.testing.assert_allclose(f.surrogate_grad(jnp.full(2, 0.1)), expected, rtol=1e-5, atol=1e-7)


def test_an_object_does_not_follow_the_array_it_was_made_from():
    sigma = np.array([0.3, 0.4])
    f = GaussianGrad(sigma)
    sigma[0] = -1
    np.testing.assert_array_equal(f.sigma, [0.3, 0.4])
    with pytest.raises(ValueError, match="read-only"):
        f.sigma[0] = -1


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
def test_one_compile_over_a_hundred_values(case, name):
    """Changing a parameter's value does not retrace or recompile."""
    traces = []

    @jax.jit
    def gradient(x, value):
        traces.append(value)
        return jax.grad(lambda x: case.function(x, **{name: value}).sum())(x)

    x = jnp.linspace(-1, 1, 11)
    for value in np.linspace(0.1, 2, 100):
        out = gradient(x, value)
        np.testing.assert_allclose(out, case.surrogate(**{name: value}).surrogate_grad(x), rtol=2e-5, atol=1e-6)
    assert len(traces) == 1
    assert gradient._cache_size() == 1


def test_surrogate_grad_is_the_gradient(case):
    f, x = case.make(), jnp.linspace(-3, 3, 101)
    np.testing.assert_array_equal(f.surrogate_grad(x), jax.vmap(jax.grad(f))(x))
    exact = case.derivative(0, x, **{name: float(np.float32(value)) for name, value in case.parameters.items()})
    np.testing.assert_allclose(f.surrogate_grad(x), exact, rtol=1e-6, atol=1e-7)


def test_without_its_sides_the_multi_gaussian_is_the_gaussian(kernels):
    x = jnp.linspace(-8, 8, 1001)
    multi = MultiGaussianGrad(h=0.0, sigma=0.6, scale=0.7).surrogate_grad(x)
    gaussian = GaussianGrad(0.6, 0.7).surrogate_grad(x)
    if kernels:
        np.testing.assert_array_equal(multi, gaussian)
    else:  # the two compute the power differently, both within 2 ulp
        np.testing.assert_array_max_ulp(multi, gaussian, maxulp=2)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_surrogate_fun_is_the_smooth_function_behind_it(x64, case, dtype):
    f, x = case.make(), jnp.linspace(-3, 3, 7).astype(dtype)
    value = f.surrogate_fun(x)
    assert value.dtype == dtype
    parameters = {name: mpmath.mpf(p) for name, p in case.parameters.items()}
    integral = lambda v: mpmath.quad(lambda x: case.g(x, **parameters), [-60, -10, -3, float(v)])
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(value.astype(np.float64), [float(integral(v)) for v in x], rtol=8 * eps, atol=2e-7)
    np.testing.assert_array_equal(jax.vmap(jax.grad(f.surrogate_fun))(x), f.surrogate_grad(x))


def test_surrogate_fun_differentiated_twice_inside_scan(x64, case):
    """Equal to an unrolled loop, also at infinity, where JAX's derivative of the integral is NaN."""
    x = np.array([np.inf, 0.1, -0.4])
    name = next(iter(case.parameters))
    smooth = lambda p, x: case.surrogate(**{**case.parameters, name: p}).surrogate_fun(x)
    run = lambda p: jax.lax.scan(lambda c, x: (c + smooth(p, x) ** 2, None), 0.0, x)[0]
    unrolled = lambda p: sum(smooth(p, x_i) ** 2 for x_i in x)
    expected = jax.hessian(unrolled)(case.parameters[name])
    assert np.isfinite(expected)
    np.testing.assert_allclose(jax.hessian(run)(case.parameters[name]), expected, rtol=1e-12)


def test_surrogate_fun_by_its_parameters(case):
    """The derivatives by parameters are the closed forms at order -1."""
    smooth = lambda x, parameters: case.surrogate(**parameters).surrogate_fun(x)
    by_x, by_parameters = jax.grad(smooth, (0, 1))(0.3, case.parameters)
    np.testing.assert_allclose(by_x, case.derivative(0, 0.3), rtol=1e-5)
    values = {name: mpmath.mpf(p) for name, p in case.parameters.items()}
    for name, gradient in by_parameters.items():
        # d/dp of the integral is the integral of d/dp g
        slope = lambda x, name=name: mpmath.diff(lambda p: case.g(x, **{**values, name: p}), values[name])
        np.testing.assert_allclose(gradient, float(mpmath.quad(slope, [-40, -10, -3, 0.3])), rtol=2e-5)


@pytest.mark.parametrize("case, name", POSITIVE, ids=ids)
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, np.float32(0), jnp.float32(-1)])
def test_some_parameters_must_be_positive(case, name, value):
    for make in (lambda: case.surrogate(**{name: value}), lambda: case.function(jnp.zeros(3), **{name: value})):
        with pytest.raises(ValueError, match=f"{name} must be greater than 0, and is"):
            make()


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan"), jnp.float32(jnp.inf)])
def test_parameters_must_be_finite(case, name, value):
    for make in (lambda: case.surrogate(**{name: value}), lambda: case.function(jnp.zeros(3), **{name: value})):
        with pytest.raises(ValueError, match=f"{name} must be finite, and is"):
            make()


def test_parameters_must_be_in_range_where_they_are_held():
    """Values outside float32's range raise when x is float32. Objects accept them, because x is not known yet."""
    for x in (jnp.zeros(3), jnp.zeros(3, jnp.float16)):
        for sigma in (1e-46, np.float64(1e-50)):
            with pytest.raises(ValueError, match=r"sigma must be greater than 0 in float32, .* and is .*1e-"):
                GaussianGrad(sigma)(x)
        for name in ("sigma", "alpha"):
            with pytest.raises(ValueError, match=rf"{name} must be finite in float32, .* and is 1e\+39"):
                gaussian_grad(x, **{name: 1e39})
        with pytest.raises(ValueError, match=r"s \* sigma must be finite in float32, .* and is 1e\+40"):
            MultiGaussianGrad(s=1e20, sigma=1e20)(x)


def test_positive_parameters_must_be_normal_where_they_are_held():
    """XLA flushes subnormal numbers on CPUs: sigma would be 0, and the derivative NaN."""
    smallest = r"must be at least 1\.1754944e-38 in float32, .* and is 1e-38"
    with pytest.raises(ValueError, match=f"sigma {smallest}"):
        jax.grad(gaussian_grad)(jnp.float32(0), 1e-38, 1e-38)
    with pytest.raises(ValueError, match=f"sigma {smallest}"):
        GaussianGrad(1e-38)(jnp.zeros(3, jnp.float16))
    with pytest.raises(ValueError, match=f"alpha {smallest}"):
        sigmoid(jnp.zeros(3), 1e-38)
    with pytest.raises(ValueError, match=r"sigma must be at least 2\.2250738585072014e-308, and is 1e-308"):
        GaussianGrad(1e-308)
    assert np.isfinite(gaussian_grad(jnp.zeros(3), 1.2e-38)).all()
    assert np.isfinite(gaussian_grad(jnp.zeros(3), alpha=1e-38)).all()


def test_float64_holds_what_float32_does_not(x64):
    assert np.isfinite(GaussianGrad(1e-50, 1e39).surrogate_grad(np.float64(0)))


NO_NUMBERS = {
    "text": lambda: "0.5",
    "None": lambda: None,
    "complex": lambda: 1j,
    "complex array": lambda: np.array([1j]),
    "bool": lambda: True,
    "list of None": lambda: [None],
    "None beside an array": lambda: [None, jnp.float32(1)],
    "text beside an array": lambda: ["0.5", jnp.float32(1)],
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "ragged arrays": lambda: [jnp.ones(1), jnp.ones(2)],
    "key": lambda: jax.random.key(0),
    "keys": lambda: [jax.random.key(0)] * 3,
}


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_parameters_must_be_numbers(case, name, value):
    value = NO_NUMBERS[value]()
    with pytest.raises(TypeError, match=f"{name} must be a real number"):
        case.surrogate(**{name: value})
    with pytest.raises(TypeError, match=f"{name} must be a real number"):
        case.function(jnp.zeros(3), **{name: value})


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
@pytest.mark.parametrize("shape", [(2,), (4, 3), (1, 3), (3, 1)])
def test_parameters_must_broadcast_to_x(case, name, shape):
    with pytest.raises(ValueError, match=rf"{name} of shape .* does not broadcast to x of shape \(3,\)"):
        case.function(jnp.zeros(3), **{name: np.ones(shape)})
    with pytest.raises(ValueError, match=f"{name} of shape"):
        jax.jit(lambda p: case.function(jnp.zeros(3), **{name: p}))(np.ones(shape))


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1), (1, 1)])
def test_array_parameters_broadcast(kernels, case, name, shape):
    x = jnp.linspace(-1, 1, 6).reshape(2, 3)
    values = 0.3 + 0.1 * np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    gradient = jax.grad(lambda x: case.function(x, **{name: values}).sum())(x)
    defaults = {key: p.default for key, p in inspect.signature(case.surrogate).parameters.items()}
    one_by_one = [
        [case.derivative(0, v, **{**defaults, name: p}) for v, p in zip(*row, strict=True)]
        for row in zip(x, np.broadcast_to(values, (2, 3)), strict=True)
    ]
    np.testing.assert_allclose(gradient, np.array(one_by_one), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(case.function(x, **{name: values}), np.asarray(x) >= 0)


class Wrapped:
    """An array-like such as flax's `nnx.Param`, which is neither an array nor a number."""

    def __init__(self, value):
        self.value = value

    def __jax_array__(self):
        return jnp.asarray(self.value)


CONTAINERS = {
    "wrapped": Wrapped,
    "wrapped array": lambda value: Wrapped(jnp.full(3, value)),
    "list": lambda value: [value] * 3,
    "tuple": lambda value: (value,) * 3,
    "nested": lambda value: [[value] * 3] * 2,
    "list of wrapped": lambda value: [Wrapped(value)] * 3,
    "mixed list": lambda value: [value, 0.5, np.float32(0.5)],
}


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, lambda f: lambda v: jax.jvp(f, (v,), (v,))[0]])
def test_parameters_in_containers(case, name, container, wrap):
    """Parameters may be anything that `jax.numpy` accepts as an array."""
    x = jnp.linspace(-1, 1, 6).reshape(2, 3)
    given = CONTAINERS[container]
    expected = case.surrogate(**{name: 0.5}).surrogate_grad(x)
    by_object = wrap(lambda value: case.surrogate(**{name: given(value)}).surrogate_grad(x))
    by_function = wrap(lambda value: jax.vjp(lambda x: case.function(x, **{name: given(value)}), x)[1](x * 0 + 1)[0])
    ways = [by_object, by_function]
    if case.in_braintools:
        cls = getattr(compat, case.surrogate.__name__)
        ways.append(wrap(lambda value: cls(**{name: given(value)}).surrogate_grad(x)))
    for f in ways:
        np.testing.assert_allclose(f(jnp.float32(0.5)), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("container", CONTAINERS)
def test_inputs_in_containers(case, container):
    values = jax.jit(lambda v: (case.function(CONTAINERS[container](v)), case.make()(CONTAINERS[container](v))))
    for spikes in values(-1.0):
        assert np.ravel(spikes)[0] == 0


def test_a_gradient_through_a_container():
    smooth = lambda alphas: GaussianGrad(alpha=[alphas[0], Wrapped(alphas[1])]).surrogate_grad(jnp.zeros(2)).sum()
    np.testing.assert_allclose(jax.grad(smooth)(jnp.ones(2)), [0.7978846, 0.7978846], rtol=1e-6)


def test_inputs_without_an_order_or_a_zero_are_refused(case):
    f = case.make()
    for call in (f, case.function, f.surrogate_grad, f.surrogate_fun):
        with pytest.raises(TypeError, match="x must be real"):
            call(jnp.array([1j]))
        with pytest.raises(TypeError, match="float8_e8m0fnu, which has no 0 and no sign"):
            call(jnp.ones(3, jnp.float8_e8m0fnu))
        for value in ("key", "keys", "None beside an array", "ragged arrays"):
            with pytest.raises(TypeError, match="x must be a real number or an array of them, and is"):
                call(NO_NUMBERS[value]())


@pytest.mark.parametrize("case, name", EVERY_PARAMETER, ids=ids)
def test_a_bad_traced_parameter_is_nan(kernels, case, name):
    """A traced value can't raise an error. The spike does not depend on the parameters."""
    bad = (np.nan, np.inf) if (case, name) not in POSITIVE else (0.0, -1.0, np.nan, np.inf)
    x = jnp.array([-jnp.inf, -3e38, -1.0, 0.0, 1.0, 1e30, jnp.inf])

    @jax.jit
    def all_of_it(value):
        f = case.surrogate(**{name: value})
        return f(x), jax.grad(lambda x: f(x).sum())(x), jax.vmap(jax.grad(f.surrogate_grad))(x), f.surrogate_fun(x)

    for value in bad:
        spikes, *rest = all_of_it(value)
        np.testing.assert_array_equal(spikes, x >= 0)
        for result in rest:
            assert np.all(np.isnan(result)), (value, result)
