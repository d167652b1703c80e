"""The fused form, compiled, against the closed form: both exponent types, every dtype, constant and traced parameters.

XLA flushes subnormal results on CPUs. So errors count only where the exact result is normal. Elsewhere the result must
be smaller than the smallest normal number.
"""

import math
from functools import partial

import closed_form
import jax
import jax.numpy as jnp
import ml_dtypes
import mpmath
import numpy as np
import pytest
import spikegrad
from families import CASES
from jax import lax
from references import REFERENCES
from requirements import needs_cuda_module
from spikegrad import fused
from spikegrad.primitives.families import FAMILIES
from spikegrad.primitives.spike_derivative import spike_derivative

FLOAT64_BOUND = 3.5
HALF_BOUND = 0.51

EXPONENTS = ("float64", "split")
SIGMAS = (1e-3, 0.0371, 0.5, 2.7, 1e3)
HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}

each_surrogate = pytest.mark.parametrize("surrogate", [case.name for case in CASES])
each_exponent = pytest.mark.parametrize("exponent", EXPONENTS)


def parameters_of(surrogate, sigma, dtype=np.float32, alpha=0.5):
    return [dtype(value) for value in REFERENCES[surrogate].operands(sigma, alpha)]


def points(surrogate, sigma, count=40_000, seed=0):
    """Points dense up to where g is the smallest float32 subnormal, and log-uniform over all magnitudes."""
    reach = sigma * REFERENCES[surrogate].reach[0]
    rng = np.random.default_rng(seed)
    far = 10.0 ** rng.uniform(-37, 38, count // 6) * rng.choice([-1, 1], count // 6)
    return np.concatenate([np.linspace(-reach, reach, count // 3), rng.uniform(-reach, reach, count // 2), far]).astype(
        np.float32
    )


def exact(surrogate, x, parameters, order=0):
    """g^(order)(x) and the sum of its terms' magnitudes, in long double."""
    return REFERENCES[surrogate].exact(np.asarray(x).astype(np.longdouble), parameters, order)


def assert_within(bound, computed, value, of, dtype=np.float32):
    """|computed - value| is at most `bound` ulp of `of`. Subnormal results may also be 0."""
    computed = np.asarray(computed)
    assert computed.dtype == dtype
    error = closed_form.error_in_ulp(computed, value, dtype, of=of)
    flushed = np.where(abs(value) < smallest_counted(dtype), abs(value) / closed_form.ulp(of, dtype), 0)
    assert np.mean(flushed == 0) > 0.1
    worst = np.argmax(error - flushed)
    assert np.all(error <= bound + flushed), (error[worst], computed[worst], value[worst])


def smallest_counted(dtype):
    """Slightly above the smallest normal number: below, rounding decides whether a result is flushed."""
    return np.longdouble(ml_dtypes.finfo(dtype).smallest_normal) * (1 + 2.0**-20)


def derivative(surrogate, exponent, order=0):
    return partial(FAMILIES[REFERENCES[surrogate].family].derivative, order=order, exponent=exponent)


@each_surrogate
@each_exponent
@pytest.mark.parametrize("sigma", SIGMAS)
def test_float32_keeps_its_bound(surrogate, exponent, sigma):
    """Traced parameters. Cotangents have full significands, so their product with g is the last rounding."""
    x, parameters = points(surrogate, sigma), parameters_of(surrogate, sigma)
    t = np.random.default_rng(1).uniform(1, 2, x.size).astype(np.float32)
    value, terms = exact(surrogate, x, parameters)
    f = jax.jit(derivative(surrogate, exponent))
    bound = REFERENCES[surrogate].bounds[exponent]
    assert_within(bound, f(x, jnp.float32(1), *parameters), value, terms)
    assert_within(bound, f(x, t, *parameters), value * t, terms * t)


def test_the_plain_formula_does_not_keep_it():
    x, parameters = points("gaussian", 0.5), parameters_of("gaussian", 0.5)
    plain = jax.jit(lambda x: parameters[0] / (0.5 * math.sqrt(2 * math.pi)) * jnp.exp(-x * x / 0.5))
    with pytest.raises(AssertionError):
        assert_within(50, plain(x), *exact("gaussian", x, parameters))


@each_exponent
@pytest.mark.parametrize("alpha, sigma", [(-1.3, 1e-20), (1e-20, 1e-20), (1e30, 0.3), (-1e-20, 0.3), (1e30, 1e20)])
def test_weights_of_any_size_and_sign(exponent, alpha, sigma):
    """A large weight brings a subnormal tail back into the normal range."""
    x, parameters = points("gaussian", sigma) * np.float32(1.5), parameters_of("gaussian", sigma, alpha=alpha)
    value, terms = exact("gaussian", x, parameters)
    computed = jax.jit(derivative("gaussian", exponent))(x, jnp.float32(1), *parameters)
    assert_within(REFERENCES["gaussian"].bounds[exponent], computed, value, terms)


@each_surrogate
@each_exponent
def test_cotangents_lift_what_alone_is_subnormal(surrogate, exponent):
    x, parameters = points(surrogate, 0.5) * np.float32(1.3), parameters_of(surrogate, 0.5)
    rng = np.random.default_rng(2)
    t = (rng.standard_normal(x.size) * 10.0 ** rng.uniform(-37, 30, x.size)).astype(np.float32)
    value, terms = exact(surrogate, x, parameters)
    computed = jax.jit(derivative(surrogate, exponent))(x, t, *parameters)
    assert_within(REFERENCES[surrogate].bounds[exponent], computed, value * t, terms * np.abs(t))


@each_exponent
@pytest.mark.parametrize("h, s", [(0.0, 6.0), (-0.3, 2.0), (0.9, 1.1), (0.2, 30.0)])
def test_mixtures_of_other_shapes(exponent, h, s):
    parameters = [np.float32(p) for p in closed_form.multi_gaussian_parameters(h, s, 0.3, -1.3)]
    x = points("multi_gaussian", 0.3)
    computed = jax.jit(derivative("multi_gaussian", exponent))(x, jnp.float32(1), *parameters)
    assert_within(REFERENCES["multi_gaussian"].bounds[exponent], computed, *exact("multi_gaussian", x, parameters))


# The primitive, as users reach it


def under_jit(f, x, parameters):
    return jax.jit(lambda x: f(x, *parameters))(x)


def traced(f, x, parameters):
    return jax.jit(f)(x, *parameters)


def under_vmap(f, x, parameters):
    return jax.jit(jax.vmap(f, in_axes=(0, *[None] * len(parameters))))(x.reshape(6, -1), *parameters).ravel()


def mapped_parameters(f, x, parameters):
    rows = [np.full(6, parameter) for parameter in parameters]
    return jax.jit(jax.vmap(f))(x.reshape(6, -1), *rows).ravel()


def arrays_as_parameters(f, x, parameters):
    return jax.jit(f)(x, *[np.full(x.shape, parameter) for parameter in parameters])


def in_a_scan(f, x, parameters):
    """Sigma is the carry of a loop, x is its input."""

    def step(carry, x):
        return carry, f(x, *carry)

    rows = jax.jit(lambda x, carry: lax.scan(step, carry, x)[1])
    return rows(x.reshape(6, -1), [jnp.asarray(parameter) for parameter in parameters]).ravel()


REACHED = [under_jit, traced, under_vmap, mapped_parameters, arrays_as_parameters, in_a_scan]


@each_surrogate
@pytest.mark.parametrize("reached", REACHED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("sigma", [1e-3, 1e3])
def test_the_primitive_without_kernels(surrogate, reached, sigma):
    x, parameters = points(surrogate, sigma, 30_000), parameters_of(surrogate, sigma)
    bind = partial(spike_derivative, family=REFERENCES[surrogate].family, order=0)
    with spikegrad.kernels(False):
        computed = reached(lambda x, *parameters: bind(x, jnp.ones((), x.dtype), *parameters), x, parameters)
    assert_within(REFERENCES[surrogate].bounds["float64"], computed, *exact(surrogate, x, parameters))


def test_the_derivative_of_a_surrogate(case):
    """With kernels off, `surrogate_grad` and the cotangent of the spike use the fused form."""
    x = np.linspace(-4, 4, 20_001).astype(np.float32)
    parameters = [np.float32(p) for p in case.operands(x)]
    value, terms = exact(case.name, x, parameters)
    bound = REFERENCES[case.name].bounds["float64"]
    with spikegrad.kernels(False):
        spike = case.make()
        assert_within(bound, jax.jit(spike.surrogate_grad)(x), value, terms)
        pullback = jax.jit(lambda x, t: jax.vjp(spike, x)[1](t)[0])
        assert_within(bound, pullback(x, 3 * jnp.ones_like(x)), 3 * value, 3 * terms)


# Higher orders


def higher_order_bounds(surrogate, exponent, order):
    """Bounds: (ulp of the result, error relative to the sum of the terms' magnitudes).

    In float64 the result is rounded once, and the polynomial adds 2^-28. In float32 a step of the recurrence rounds at
    most `roundings` times, and the start has the error of order 0.
    """
    if exponent == "float64":
        return 0.5, 2.0**-27.5
    return 0, (REFERENCES[surrogate].roundings * order + 5) * 2.0**-24


def counted(exponent, order, value, g):
    """Where neither the result nor, in float32, an intermediate result is flushed. The recurrence starts from g."""
    if order and exponent == "split":
        return np.minimum(abs(value), abs(g)) >= 2.0**-100
    return abs(value) >= smallest_counted(np.float32)


@each_surrogate
@each_exponent
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("sigma", [1e-3, 0.5, 1e3])
def test_higher_orders(surrogate, exponent, order, sigma):
    x, parameters = points(surrogate, sigma, 20_000), parameters_of(surrogate, sigma)
    value, terms = exact(surrogate, x, parameters, order)
    computed = np.asarray(jax.jit(derivative(surrogate, exponent, order))(x, jnp.float32(1), *parameters))
    ulps, relative = higher_order_bounds(surrogate, exponent, order)
    allowed = ulps * closed_form.ulp(value, np.float32) + relative * terms
    g, _ = exact(surrogate, x, parameters)
    counts = counted(exponent, order, value, g)
    assert np.mean(counts) > 0.1
    error = abs(computed - value)
    assert np.all(error[counts] <= allowed[counts]), np.max(error[counts] / allowed[counts])


@each_surrogate
@pytest.mark.parametrize("order", [1, 2, 4])
def test_higher_orders_of_float64(surrogate, order, x64):
    """The error of long double, z^2 / 2 units of 2^-64, is below 2^-54. This is enough for the bound."""
    x = np.random.default_rng(5).uniform(-15, 15, 20_000)
    parameters = parameters_of(surrogate, 0.5, np.float64)
    value, terms = exact(surrogate, x, parameters, order)
    computed = np.asarray(jax.jit(derivative(surrogate, "split", order))(x, jnp.float64(1), *parameters))
    _, relative = higher_order_bounds(surrogate, "split", order)
    assert np.all(abs(computed - value) <= (relative * 2.0**-29 + 2.0**-54) * terms)


@each_surrogate
@each_exponent
@pytest.mark.parametrize("order", [1, 2, 5, 16])
@pytest.mark.parametrize("sigma", [1e-20, 1e-3, 1e20])
def test_higher_orders_stay_in_range(surrogate, exponent, order, sigma):
    """g, sigma^-n, He_n and t leave float32's range, but their product does not. Cotangents scale it into range."""
    parameters = parameters_of(surrogate, sigma)
    rng = np.random.default_rng(6)
    reach = REFERENCES[surrogate].reach[2]
    z = np.concatenate([rng.uniform(-3, 3, 1000), rng.uniform(-reach, reach, 2000), 10 ** rng.uniform(-15, 0, 1000)])
    x = np.append((z * sigma).astype(np.float32), np.float32([0, np.inf, -np.inf]))
    value, terms = exact(surrogate, x[:-2], parameters, order)
    middle = 10.0 ** rng.uniform(-30, 38, value.size) / np.maximum(terms, np.longdouble("1e-4000"))
    t = np.append(np.clip(middle, 1e-37, 3e38), [1, 1]).astype(np.float32)
    computed = np.asarray(jax.jit(derivative(surrogate, exponent, order))(x, t, *parameters))
    assert np.all(computed[-2:] == 0)
    value, terms, computed = value * t[:-2], terms * t[:-2], computed[:-2]
    ulps, relative = higher_order_bounds(surrogate, exponent, order)
    allowed = ulps * closed_form.ulp(value, np.float32) + relative * terms + smallest_counted(np.float32)
    largest = np.longdouble(np.finfo(np.float32).max)
    fits = abs(value) + allowed < largest
    error = abs(computed[fits] - value[fits])
    assert np.all(error <= allowed[fits]), np.max(error / allowed[fits])
    beyond = abs(value) - allowed > largest * (1 + 2.0**-24)
    np.testing.assert_array_equal(computed[beyond], np.copysign(np.inf, value[beyond]))


@each_exponent
@pytest.mark.parametrize(
    "surrogate, sigma, order, z, t",
    [
        ("sigmoid", 1e-20, 1, 0.0, 1),
        ("sigmoid", 1e-20, 5, 0.0, 1),
        ("sigmoid", 1e-3, 10, 1.0, 1),
        ("sigmoid", 1 / 25, 17, 1.4, 1),
        ("sigmoid", 1 / 4, 25, 1.2, 1),
        ("sigmoid", 1 / 4, 40, 12.0, 1),
        ("sigmoid", 1 / 4, 51, 12.0, 1e-10),
        ("gaussian", 1e-3, 13, 0.0, 1),
        ("gaussian", 1e-2, 17, 0.0, 1),
        ("gaussian", 0.5, 45, 1.4, 1),
        ("gaussian", 0.5, 64, 1.4, 1e-30),
        ("gaussian", 1e-20, 2, 0.3, 1e-25),
        ("gaussian", 1e-20, 17, 0.0, 1),
    ],
)
def test_single_values_of_high_orders(exponent, surrogate, sigma, order, z, t):
    x, parameters = np.float32([z * sigma]), parameters_of(surrogate, sigma)
    value, terms = exact(surrogate, x, parameters, order)
    computed = np.asarray(jax.jit(derivative(surrogate, exponent, order))(x, jnp.float32(t), *parameters))
    ulps, relative = higher_order_bounds(surrogate, exponent, order)
    t = np.longdouble(np.float32(t))
    assert np.all(np.isfinite(computed))
    assert abs(computed - value * t) <= ulps * closed_form.ulp(value * t, np.float32) + relative * terms * t


@pytest.mark.parametrize(
    "surrogate, sigma, order, z, t",
    [
        ("sigmoid", 1e-200, 1, 0.0, 1),
        ("sigmoid", 1e-200, 3, 0.0, 1),
        ("sigmoid", 1e-200, 2, 0.7, 1e-300),
        ("sigmoid", 1 / 4, 64, 12.0, 1),
        ("gaussian", 1e-300, 1, 0.7, 1e-300),
        ("gaussian", 1e-150, 2, 0.3, 1e-200),
        ("gaussian", 1e-20, 15, 0.3, 1e-20),
        ("gaussian", 1e-300, 2, 0.0, 1),
    ],
)
def test_single_values_of_float64_stay_in_range(surrogate, sigma, order, z, t, x64):
    x, parameters = np.float64([z * sigma]), parameters_of(surrogate, sigma, np.float64)
    value, terms = exact(surrogate, x, parameters, order)
    with spikegrad.kernels(False):
        f = jax.jit(partial(spike_derivative, family=REFERENCES[surrogate].family, order=order))
        computed = np.asarray(f(jnp.asarray(x), jnp.asarray(float(t)), *parameters))
    value, terms = value * np.longdouble(t), terms * np.longdouble(t)
    if abs(value) > np.finfo(np.float64).max:
        assert computed == np.copysign(np.inf, value)
    else:
        assert abs(computed - value) <= ((8 * order + 5) * 2.0**-53 + 2.0**-54) * terms


# Other dtypes


@each_surrogate
@each_exponent
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", HALVES)
def test_every_half_is_rounded_once(surrogate, exponent, order, name):
    x = np.arange(65536, dtype=np.uint16).view(HALVES[name])
    parameters = parameters_of(surrogate, 0.5)
    computed = np.asarray(jax.jit(derivative(surrogate, exponent, order))(x, jnp.ones((), x.dtype), *parameters))
    finite = np.isfinite(x.astype(np.float32))
    value, terms = exact(surrogate, x[finite], parameters, order)
    error = abs(computed[finite].astype(np.longdouble) - value)
    # Where terms cancel, the error of the wide dtype is visible.
    _, relative = higher_order_bounds(surrogate, exponent if order else "split", order)
    cancels = REFERENCES[surrogate].cancels or order > 0
    allowed = HALF_BOUND * closed_form.ulp(value, x.dtype) + (relative * terms if cancels else 0)
    counts = counted(exponent, order, value, exact(surrogate, x[finite], parameters)[0])
    counts &= abs(x[finite].astype(np.float32)) >= (2.0**-126 if order else 0)  # XLA also flushes subnormal inputs
    assert np.mean(counts) > 0.1
    assert np.all(error[counts] <= allowed[counts]), np.max(error[counts] / allowed[counts])
    assert np.all(computed[np.isinf(x.astype(np.float32))].astype(np.float32) == 0)
    assert np.all(np.isnan(computed[np.isnan(x.astype(np.float32))].astype(np.float32)))


@each_surrogate
@pytest.mark.parametrize("sigma", [1e-3, 0.5, 1e3])
def test_float64_keeps_its_bound(surrogate, sigma, x64):
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, 2000) * sigma * REFERENCES[surrogate].reach[1]
    parameters = parameters_of(surrogate, sigma, np.float64)
    t = rng.uniform(1, 2, x.size)
    with spikegrad.kernels(False):
        f = jax.jit(partial(spike_derivative, family=REFERENCES[surrogate].family, order=0))
        computed = np.asarray(f(jnp.asarray(x), jnp.asarray(t), *parameters))
    assert computed.dtype == np.float64
    for c, x_i, t_i in zip(computed.tolist(), x.tolist(), t.tolist(), strict=True):
        value, terms = REFERENCES[surrogate].exact_in_mpmath(x_i, parameters, 0)
        unit = mpmath.mpf(2) ** (int(mpmath.floor(mpmath.log(terms * t_i, 2))) - 52)
        assert abs(c - value * t_i) <= FLOAT64_BOUND * unit


# The contract


@each_surrogate
@each_exponent
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_special_values(surrogate, exponent, order, dtype, x64):
    x = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0], dtype)
    wide = np.float64 if dtype == np.float64 else np.float32
    f = jax.jit(derivative(surrogate, exponent, order))
    for t in (1, 3e4):
        computed = np.asarray(f(x, jnp.asarray(t, dtype), *parameters_of(surrogate, 0.5, wide)), np.float64)
        np.testing.assert_array_equal(computed[:2], 0)
        assert np.isnan(computed[2])
        assert computed[3] == computed[4]


@each_surrogate
@each_exponent
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("index", [0, -1])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, 1e-38])
def test_bad_parameters_are_nan(surrogate, exponent, order, index, bad):
    parameters = parameters_of(surrogate, 0.5)
    parameters[index] = np.float32(bad)
    x = np.array([-100, -0.3, 0, 2, np.inf], np.float32)
    computed = np.asarray(jax.jit(derivative(surrogate, exponent, order))(x, jnp.float32(1), *parameters))
    is_weight = REFERENCES[surrogate].weighted and index == 0
    if is_weight and np.isfinite(bad) and bad < 1:
        assert np.all(np.isfinite(computed))
        assert bad or REFERENCES[surrogate].cancels or np.all(computed == 0)
    else:
        assert np.all(np.isnan(computed))


@each_exponent
@pytest.mark.parametrize("alpha", [0.0, -2.0, 1e-30, 1e30, 3e38])
@pytest.mark.parametrize("sigma", [2e-38, 1e-20, 1e20, 3e38])
def test_parameters_at_the_ends_of_the_range(exponent, alpha, sigma):
    parameters = parameters_of("gaussian", sigma, alpha=alpha)
    x = (np.linspace(-16, 16, 2001) * min(sigma, 1e37)).astype(np.float32)
    x[abs(x) < 2.0**-126] = 0  # XLA also flushes subnormal inputs
    with np.errstate(over="ignore"):
        value, _ = exact("gaussian", x, parameters)
    computed = np.asarray(jax.jit(derivative("gaussian", exponent))(x, jnp.float32(1), *parameters))
    normal = abs(value) >= 2.0**-126 * (1 + 2.0**-20)
    error = closed_form.error_in_ulp(computed, value, np.float32)
    assert np.all(error[normal] <= REFERENCES["gaussian"].bounds[exponent])
    assert np.all(np.abs(computed[~normal]) <= 2.0**-126)


# The lowered program


def lowered(f, *operands, platform):
    with spikegrad.kernels(False):
        return jax.jit(f).trace(*operands).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("platform", ["cpu", pytest.param("cuda", marks=needs_cuda_module), "tpu"])
@pytest.mark.parametrize("order", [0, 2])
def test_only_cpus_get_float64(case, platform, order):
    f = partial(spike_derivative, family=case.family, order=order)
    x = jnp.zeros((4, 3))
    text = lowered(f, x, x, *case.operands(x), platform=platform)
    assert ("f64" in text) == (platform == "cpu")
    assert not any(operation in text for operation in ("while", "gather", "custom_call"))


@pytest.mark.parametrize("platform", ["cpu", pytest.param("cuda", marks=needs_cuda_module)])
def test_a_scan_of_lif_gets_the_same(case, platform):
    def f(current, t):
        layer = partial(spikegrad.lif, decay=0.9, threshold=1.0, surrogate=case.make())
        return jax.vjp(layer, current)[1](t)[0]

    current = jnp.zeros((5, 4))
    text = lowered(f, current, (current, jnp.zeros(4)), platform=platform)
    assert ("f64" in text) == (platform == "cpu")


def test_x64_stays_as_it_was(case):
    """With x64 off, the lowered program computes in float64, but returns none of it."""
    x = jnp.linspace(-1, 1, 5)
    with spikegrad.kernels(False):
        gradient = jax.jit(case.make().surrogate_grad)(x)
    assert gradient.dtype == jnp.float32
    assert not jax.config.jax_enable_x64
    assert jnp.arange(3.0).dtype == jnp.float32


def test_both_ways_agree(case):
    """The two implementations compute exponent and power independently."""
    x = jnp.linspace(-3, 3, 10_001)
    f = [derivative(case.name, exponent) for exponent in EXPONENTS]
    a, b = (np.asarray(jax.jit(way)(x, jnp.float32(1), *case.operands(x))) for way in f)
    np.testing.assert_allclose(a, b, rtol=6 * 2.0**-24, atol=4 * 2.0**-24 * np.max(a))
    assert fused.wide_dtype(a.dtype) == np.float32
