"""The scalar functions and the kernels of every supported instruction set against the closed form, without XLA."""

import platform

import ml_dtypes
import mpmath
import numpy as np
import pytest
from closed_form import (
    error_in_ulp,
    exact_error_in_ulp,
    exact_gaussian_derivative,
    gaussian_derivative,
    gaussian_mixture_derivative,
    multi_gaussian_parameters,
    ulp,
)
from references import REFERENCES
from requirements import module_for_tests

scalar = module_for_tests("spikegrad_scalar")

pytestmark = pytest.mark.host_only

SIGMAS = (1e-3, 0.0371, 0.3, 0.5, 1.0, 2.7, 1e3)
HALVES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}
SETS = scalar.instruction_sets()


def is_fused(instruction_set):
    """Whether the instruction set has fused multiply-add."""
    return instruction_set != "baseline" or platform.machine() == "aarch64"


def run_family(family, dtype, instruction_set, x, t, parameters, order, in_place=False):
    return getattr(scalar, f"run_{family}_{dtype}")(instruction_set, x, t, parameters, order, in_place)


def run(dtype, instruction_set, x, t, sigma, alpha, order):
    """Run the kernel of one Gaussian."""
    return run_family("gaussian_mixture", dtype, instruction_set, x, t, [alpha, 0, sigma], order)


def widened(x):
    """x in float32. On aarch64 NumPy reports signalling NaNs as invalid."""
    with np.errstate(invalid="ignore"):
        return x.astype(np.float32)


def points(sigma, dtype, count, seed=0):
    """Points dense where g is not 0 (with its subnormal edge), and log-uniform over the finite range."""
    rng = np.random.default_rng(seed)
    reach = 15 if dtype == np.float32 else 40
    exponents = np.log10(float(np.finfo(dtype).smallest_subnormal)), np.log10(float(np.finfo(dtype).max))
    everywhere = 10.0 ** rng.uniform(*exponents, count // 4) * rng.choice([-1, 1], count // 4)
    return np.concatenate(
        [np.linspace(-reach, reach, count // 4) * sigma, rng.uniform(-reach, reach, count // 2) * sigma, everywhere]
    ).astype(dtype)


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("order", [0, 1])
def test_float32_is_within_two_ulp(instruction_set, sigma, order):
    sigma = float(np.float32(sigma))
    x = points(sigma, np.float32, 400_000)
    exact = gaussian_derivative(x, sigma, 0.5, order)
    computed = run("f32", instruction_set, x, np.float32(1), sigma, 0.5, order)
    assert error_in_ulp(computed, exact, np.float32).max() <= 2


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("order", [0, 1])
def test_float32_times_any_cotangent_is_within_two_ulp(instruction_set, sigma, order):
    """A large t brings a subnormal g back into range, and a large 1 / sigma brings back a small t."""
    sigma = float(np.float32(sigma))
    x = points(sigma, np.float32, 200_000)
    rng = np.random.default_rng(1)
    t = (rng.standard_normal(x.size) * 10.0 ** rng.uniform(-44, 30, x.size)).astype(np.float32)
    exact = gaussian_derivative(x, sigma, 0.5, order) * t.astype(np.longdouble)
    computed = run("f32", instruction_set, x, t, sigma, 0.5, order)
    assert error_in_ulp(computed, exact, np.float32).max() <= 2


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_float32_times_a_cotangent_with_a_full_mantissa(instruction_set, sigma):
    """The rounding of the last product adds to all others. Measured without fused multiply-add: 2.12 ulp."""
    sigma = float(np.float32(sigma))
    x = points(sigma, np.float32, 400_000)
    t = np.random.default_rng(2).uniform(1, 2, x.size).astype(np.float32)
    exact = gaussian_derivative(x, sigma, 0.5) * t.astype(np.longdouble)
    computed = run("f32", instruction_set, x, t, sigma, 0.5, 0)
    assert error_in_ulp(computed, exact, np.float32).max() <= (2 if is_fused(instruction_set) else 2.2)


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [2, 3, 4, 7, 12])
def test_float32_at_higher_orders_is_rounded_once(instruction_set, order):
    """Float64 results round correctly except at ties. Near a root of He_n the error of float64 is visible."""
    x = points(0.5, np.float32, 40_000)
    exact = gaussian_derivative(x, 0.5, 0.5, order)
    error = error_in_ulp(run("f32", instruction_set, x, np.float32(1), 0.5, 0.5, order), exact, np.float32)
    scale = (
        gaussian_derivative(x, 0.5, 0.5, 0) * np.longdouble(2) ** order * hermite_bound(x / np.longdouble(0.5), order)
    )
    at_roots = 2.0**-52 * 4 * (order + 1) * scale / np.maximum(np.abs(exact), np.longdouble(1e-300)) * 2**24
    assert np.all(error <= 0.5001 + at_roots)
    assert np.median(error) <= 0.5


def hermite_bound(z, order):
    """The sum of the magnitudes of He_n's terms: He_n at |z| with all coefficients positive."""
    previous, current = 0 * z, 0 * z + 1
    for n in range(order):
        previous, current = current, abs(z) * current + n * previous
    return current


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("order", [0, 1])
def test_float64_is_within_two_ulp(instruction_set, sigma, order):
    x = points(sigma, np.float64, 2_000)
    computed = run("f64", instruction_set, x, np.float64(1), sigma, 0.5, order)
    assert exact_error_in_ulp(computed, exact_gaussian_derivative(x, sigma, 0.5, order)).max() <= 2


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [2, 3, 5, 9])
def test_float64_at_higher_orders_keeps_the_stated_bound(instruction_set, order):
    """|error| <= (2 n + 4) 2^-53 g times the magnitudes of He_n's terms (derivation: docs/accuracy.md)."""
    sigma = 0.3
    x = points(sigma, np.float64, 2_000)
    x = x[np.abs(x) > 1e-290]  # for smaller |x| the terms of an odd He_n are subnormal
    computed = run("f64", instruction_set, x, np.float64(1), sigma, 0.5, order).tolist()
    exact = exact_gaussian_derivative(x, sigma, 0.5, order)
    g = exact_gaussian_derivative(x, sigma, 0.5, 0)
    for x_i, c, e, g_i in zip(x.tolist(), computed, exact, g, strict=True):
        terms = hermite_bound(mpmath.mpf(x_i) / mpmath.mpf(sigma), order) / mpmath.mpf(sigma) ** order
        bound = (2 * order + 4) * mpmath.mpf(2) ** -53 * g_i * terms + mpmath.mpf(2) ** -1074
        assert abs(c - e) <= bound, (x_i, c, e)


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [30, 63, 64])
@pytest.mark.parametrize("t", [1e-250, 1.0, 1e250])
def test_orders_that_leave_the_range_on_the_way(instruction_set, order, t):
    """He_64 alone exceeds 1e100, but only the size of the derivative decides whether it is finite."""
    sigma = 3.0
    x = np.linspace(-40, 40, 41) * sigma
    computed = run("f64", instruction_set, x, np.float64(t), sigma, 0.5, order).tolist()
    g = exact_gaussian_derivative(x, sigma, 0.5, 0)
    for x_i, c, e, g_i in zip(x.tolist(), computed, exact_gaussian_derivative(x, sigma, 0.5, order), g, strict=True):
        terms = hermite_bound(mpmath.mpf(x_i) / mpmath.mpf(sigma), order) / mpmath.mpf(sigma) ** order
        bound = t * (2 * order + 4) * mpmath.mpf(2) ** -53 * g_i * terms + mpmath.mpf(2) ** -1074
        overflows = abs(e * t) > mpmath.mpf(2) ** 1024
        assert np.isinf(c) if overflows else abs(c - e * t) <= bound, (x_i, c, e)


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("name", HALVES)
def test_every_half_is_rounded_once(instruction_set, sigma, order, name):
    sigma = float(np.float32(sigma))
    dtype = HALVES[name]
    bits = np.arange(65536, dtype=np.uint16)
    x = bits.view(dtype)
    finite = np.isfinite(widened(x))
    one = np.ones((), dtype).view(np.uint16)
    computed = run(name, instruction_set, bits, one, sigma, 0.5, order).view(dtype)
    exact = gaussian_derivative(x[finite].astype(np.longdouble), sigma, 0.5, order)
    assert error_in_ulp(computed[finite], exact, dtype).max() <= 0.51
    infinite = np.isinf(widened(x))
    assert np.all(computed[infinite].astype(np.float32) == 0)
    assert np.all(np.isnan(computed[np.isnan(widened(x))].astype(np.float32)))


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("alpha", [0.0, -2.0, 1e30, 1e-30, 3e38])
@pytest.mark.parametrize("sigma", [1e-38, 1e-20, 1e20, 3e38])
@pytest.mark.parametrize("order", [0, 1])
def test_extreme_parameters(instruction_set, sigma, alpha, order):
    """Outside the range of GaussianValue, gaussian_derivative is used. alpha may be negative or zero."""
    sigma, alpha = float(np.float32(sigma)), float(np.float32(alpha))
    x = (np.linspace(-16, 16, 2001) * min(sigma, 1e37)).astype(np.float32)
    computed = run("f32", instruction_set, x, np.float32(1), sigma, alpha, order)
    with np.errstate(over="ignore"):
        exact = gaussian_derivative(x, sigma, alpha, order)
    assert error_in_ulp(computed, exact, np.float32).max() <= 2


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_special_values(dtype, instruction_set, order):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], {"f32": np.float32, "f64": np.float64}[dtype])
    g = run(dtype, instruction_set, x, x.dtype.type(1), 0.5, 0.5, order)
    assert np.isnan(g[0])
    assert np.all(g[1:3] == 0)
    assert g[3] == g[4]
    assert np.all(np.isnan(run(dtype, instruction_set, x, x.dtype.type(np.nan), 0.5, 0.5, order)))
    for sigma, alpha in ((0.0, 1.0), (-1.0, 1.0), (np.nan, 1.0), (np.inf, 1.0), (1.0, np.inf), (1.0, np.nan)):
        assert np.all(np.isnan(run(dtype, instruction_set, x, x.dtype.type(1), sigma, alpha, order)))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [0, 2])
def test_an_infinite_cotangent_stays_infinite(dtype, instruction_set, order):
    x = np.linspace(-0.4, 0.4, 33).astype({"f32": np.float32, "f64": np.float64}[dtype])
    t = np.where(np.arange(33) % 2, np.inf, -np.inf).astype(x.dtype)
    sign = 1 if order == 0 else -1  # within |x| < sigma
    np.testing.assert_array_equal(run(dtype, instruction_set, x, t, 0.5, 0.5, order), sign * t)


# All tests from here on run over every surrogate of references.py, unless they are about one.
each_surrogate = pytest.mark.parametrize("surrogate", REFERENCES)
beside_the_gaussian = pytest.mark.parametrize("surrogate", [name for name in REFERENCES if name != "gaussian"])
of_one_term = [name for name, reference in REFERENCES.items() if not reference.cancels]


def example(surrogate, sigma=0.5):
    """The family of a surrogate, and parameters for it."""
    return REFERENCES[surrogate].family, REFERENCES[surrogate].operands(sigma, 0.5)


@each_surrogate
@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [0, 1, 5])
def test_sizes_and_places_do_not_change_a_bit(surrogate, dtype, instruction_set, order):
    """Vectors and remainders agree, also in place and with memory aligned to an element only."""
    family, parameters = example(surrogate)
    rng = np.random.default_rng(2)
    kind = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}[dtype]
    x, t = (rng.standard_normal(1500).astype(kind) for _ in range(2))
    if dtype in HALVES:
        x, t = x.view(np.uint16), t.view(np.uint16)
    whole = run_family(family, dtype, instruction_set, x, t, parameters, order)
    for begin, end in [(0, 0), (0, 1), (1, 2), (3, 520), (7, 1031), (511, 1500)]:
        part = run_family(family, dtype, instruction_set, x[begin:end], t[begin:end], parameters, order)
        np.testing.assert_array_equal(part, whole[begin:end])
    in_place = x.copy()
    run_family(family, dtype, instruction_set, in_place, t, parameters, order, in_place=True)
    np.testing.assert_array_equal(in_place, whole)


def cotangents(rng, size):
    """1, and values over the whole float range."""
    any_size = rng.standard_normal(size) * 10.0 ** rng.uniform(-44, 30, size)
    return np.where(rng.random(size) < 0.5, 1, any_size).astype(np.float32)


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize(
    "h, s, sigma, scale",
    [
        (0.15, 6, 0.5, 0.5),
        (0.15, 3, 0.5, 0.5),
        (0.5, 10, 1e-3, 1),
        (0.15, 6, 1e3, 0.5),
        (1e-3, 6, 0.5, 0.5),
        (3, 2, 0.3, -2),
        (-0.2, 1, 0.5, 0.5),
        (0.15, 0.5, 0.5, 0.5),
        (0.15, 1000, 0.5, 0.5),
        (0, 6, 0.5, 0.5),
    ],
)
def test_the_multi_gaussian_is_within_the_bound_of_its_terms(instruction_set, h, s, sigma, scale, order):
    """Where the terms cancel, the error is relative to the largest. From order 1 on, float64 leaves one rounding."""
    parameters = [float(np.float32(p)) for p in multi_gaussian_parameters(h, s, sigma, scale)]
    rng = np.random.default_rng(5)
    widths = max(s, 1) * sigma, sigma
    x = np.concatenate([rng.uniform(-16 * w, 16 * w, 60_000) for w in widths] + [10 ** rng.uniform(-40, 0, 5_000)])
    x = x.astype(np.float32)
    t = cotangents(rng, x.size)
    exact, terms = (v * t.astype(np.longdouble) for v in gaussian_mixture_derivative(x, parameters, order))
    computed = run_family("gaussian_mixture", "f32", instruction_set, x, t, parameters, order)
    finite, terms = np.abs(terms) < 3e38, np.abs(terms)
    if order == 0:
        assert error_in_ulp(computed, exact, np.float32, of=terms)[finite].max() <= (
            2.5 if is_fused(instruction_set) else 3
        )
    else:
        error = error_in_ulp(computed, exact, np.float32)
        assert np.all((error <= 0.5001 + 2.0**-50 * terms / ulp(exact, np.float32))[finite])


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("surrogate", [name for name in of_one_term if name != "gaussian"])
@pytest.mark.parametrize("alpha", [1e-3, 0.3, 4.0, 1e3, 1e-38, 3e38])
@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_the_others_of_one_term_are_within_two_ulp(instruction_set, surrogate, alpha, order):
    family, parameters = example(surrogate, sigma=1 / alpha)
    parameters = [float(np.float32(p)) for p in parameters]
    rng = np.random.default_rng(6)
    spread = np.concatenate(
        [rng.uniform(-110, 110, 60_000), rng.uniform(-3, 3, 60_000), 10 ** rng.uniform(-30, 1, 9_000)]
    )
    with np.errstate(over="ignore"):
        x = (spread / alpha).astype(np.float32)
    x = x[np.isfinite(x)]
    t = cotangents(rng, x.size)
    exact, terms = (v * t.astype(np.longdouble) for v in REFERENCES[surrogate].exact(x, parameters, order))
    computed = run_family(family, "f32", instruction_set, x, t, parameters, order)
    # From order 1 on kernels compute in float64. Its error is visible near a root of the polynomial.
    at_roots = 2.0**-48 * terms / ulp(exact, np.float32)
    assert np.all(error_in_ulp(computed, exact, np.float32) <= (2 if order == 0 else 0.5001 + at_roots))


@pytest.mark.parametrize("instruction_set", SETS)
@beside_the_gaussian
@pytest.mark.parametrize("order", [0, 1, 2, 3, 8])
def test_the_others_in_float64_keep_the_stated_bounds(instruction_set, surrogate, order):
    """The bound of docs/accuracy.md is in units of 2^-53 of the terms' magnitudes: 4 at orders 0 and 1, then more."""
    family, parameters = example(surrogate)
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(-60, 60, 200), rng.uniform(-2, 2, 200)])
    computed = run_family(family, "f64", instruction_set, x, np.float64(1), parameters, order).tolist()
    for x_i, c in zip(x.tolist(), computed, strict=True):
        exact, terms = REFERENCES[surrogate].exact_in_mpmath(x_i, parameters, order)
        bound = (4 if order <= 1 else 2 * order + 6) * mpmath.mpf(2) ** -53 * terms + mpmath.mpf(2) ** -1073
        assert abs(c - exact) <= bound, (x_i, c, exact, float(abs(c - exact) / terms * 2**53))


@pytest.mark.parametrize("instruction_set", SETS)
@beside_the_gaussian
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", HALVES)
def test_every_half_of_the_others_is_rounded_once(instruction_set, surrogate, order, name):
    dtype = HALVES[name]
    family, parameters = example(surrogate)
    parameters = [float(np.float32(p)) for p in parameters]
    bits = np.arange(65536, dtype=np.uint16)
    x = bits.view(dtype)
    finite = np.isfinite(widened(x))
    computed = run_family(family, name, instruction_set, bits, np.ones((), dtype).view(np.uint16), parameters, order)
    computed, wide = computed.view(dtype), x[finite].astype(np.longdouble)
    exact, terms = REFERENCES[surrogate].exact(wide, parameters, order)
    # Where terms cancel to 2^-12 (order 0; else 2^-40) of their size, the error of float32 (float64) is visible.
    cancelled = 2.0 ** (-22 if order == 0 else -50) * np.abs(terms) / ulp(exact, dtype)
    assert np.all(error_in_ulp(computed[finite], exact, dtype) <= 0.51 + cancelled)
    infinite = np.isinf(widened(x))
    assert np.all(computed[infinite].astype(np.float32) == 0)
    assert np.all(np.isnan(computed[np.isnan(widened(x))].astype(np.float32)))


@each_surrogate
@pytest.mark.parametrize("dtype", ["bf16", "f32", "f64"])
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_what_overflows_has_the_right_sign(surrogate, dtype, instruction_set, order):
    """The low part of a product may overflow with another sign, and so may each of three Gaussians."""
    kind = {"bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}[dtype]
    family, narrow = example(surrogate, sigma=0.5e-10)
    x = (np.array([0.11, 0.3, 0.45]) * 1e-10).astype(kind)
    t = np.full(3, float(ml_dtypes.finfo(kind).max) / 4).astype(kind)
    as_bits = (lambda v: v.view(np.uint16)) if dtype == "bf16" else (lambda v: v)
    for scale in 1, -1:
        t_bits = as_bits((scale * t).astype(kind))
        computed = run_family(family, dtype, instruction_set, as_bits(x), t_bits, narrow, order).view(kind)
        exact = [REFERENCES[surrogate].exact_in_mpmath(float(x_i), narrow, order)[0] * scale for x_i in x]
        np.testing.assert_array_equal(computed.astype(np.float64), [np.inf * float(mpmath.sign(e)) for e in exact])


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
@pytest.mark.parametrize("instruction_set", SETS)
def test_heaviside(dtype, instruction_set):
    if dtype in HALVES:
        bits = np.arange(65536, dtype=np.uint16)
        x = widened(bits.view(HALVES[dtype]))
        spikes = getattr(scalar, f"run_heaviside_{dtype}")(instruction_set, bits).view(HALVES[dtype]).astype(np.float32)
        np.testing.assert_array_equal(
            getattr(scalar, f"heaviside_{dtype}")(bits).view(HALVES[dtype]).astype(np.float32), spikes
        )
    else:
        kind = {"f32": np.float32, "f64": np.float64}[dtype]
        tiny = np.finfo(kind).smallest_subnormal
        x = np.array([0.0, -0.0, tiny, -tiny, 1, -1, np.inf, -np.inf, np.nan, -np.nan] * 5, kind)
        spikes = getattr(scalar, f"run_heaviside_{dtype}")(instruction_set, x)
        np.testing.assert_array_equal(getattr(scalar, f"heaviside_{dtype}")(x), spikes)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(spikes, np.where(x >= 0, 1, 0))


@pytest.mark.parametrize("name", HALVES)
def test_conversions_of_halves(name):
    bits = np.arange(65536, dtype=np.uint16)
    dtype = HALVES[name]
    exact = widened(bits.view(dtype))
    np.testing.assert_array_equal(getattr(scalar, f"widen_{name}")(bits), exact)
    rng = np.random.default_rng(3)
    floats = rng.integers(0, 2**32, 1_000_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    ties = np.concatenate(
        [exact, (exact.view(np.uint32) + 0x8000).view(np.float32), (exact.view(np.uint32) + 0x1000).view(np.float32)]
    )
    floats = np.concatenate([floats, ties])
    with np.errstate(over="ignore", invalid="ignore"):
        expected = floats.astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(getattr(scalar, f"narrow_{name}")(floats).view(dtype).astype(np.float32), expected)


@each_surrogate
def test_the_scalar_functions_agree_with_the_kernels(surrogate):
    """The baseline kernels equal the scalar functions bit for bit."""
    family, parameters = example(surrogate)
    rng = np.random.default_rng(4)
    x, t = (rng.standard_normal(1000).astype(np.float32) for _ in range(2))
    value, derivative = getattr(scalar, f"value_{family}_f32"), getattr(scalar, f"derivative_{family}")
    np.testing.assert_array_equal(value(x, t, parameters), run_family(family, "f32", "baseline", x, t, parameters, 0))
    second = derivative(x, t, parameters, 2).astype(np.float32)
    np.testing.assert_array_equal(second, run_family(family, "f32", "baseline", x, t, parameters, 2))


@pytest.mark.parametrize("surrogate", of_one_term)
def test_value_and_derivative_agree_at_order_0(surrogate):
    """The two implementations of order 0 are independent after q, and agree within the sum of their errors."""
    family, parameters = example(surrogate)
    x = points(0.7, np.float64, 20_000)
    value, derivative = getattr(scalar, f"value_{family}_f64"), getattr(scalar, f"derivative_{family}")
    np.testing.assert_array_max_ulp(value(x, 1.0, parameters), derivative(x, 1.0, parameters, 0), maxulp=3)
