"""Reference values for kernel tests: the closed form in long double or mpmath, and errors in ulp."""

import itertools

import ml_dtypes
import mpmath
import numpy as np

mpmath.mp.prec = 160
SQRT_TWO_PI = np.longdouble(mpmath.nstr(mpmath.sqrt(2 * mpmath.pi), 30))


def gaussian_derivative(x, sigma, alpha, order=0):
    """g^(order)(x) in long double, as a reference for float32 and smaller types.

    Its own error, z^2 / 2 units of 2^-64, is below 2^-57 wherever a float32 result is not 0.
    """
    x, sigma, alpha = np.longdouble(x), np.longdouble(sigma), np.longdouble(alpha)
    z = x / sigma
    return hermite(z, order) * (-1) ** order / sigma**order * (alpha / (sigma * SQRT_TWO_PI)) * np.exp(-z * z / 2)


def multi_gaussian_parameters(h, s, sigma, scale):
    """w, mu, sigma of the three Gaussians, in the order of the kernels' parameters."""
    return [scale * (1 + h), 0.0, sigma, -scale * h, sigma, s * sigma, -scale * h, -sigma, s * sigma]


def gaussian_mixture_derivative(x, parameters, order=0):
    """g^(order)(x) in long double, and the sum of its terms' magnitudes. The error bound is relative to this sum."""
    terms = [
        gaussian_derivative(np.longdouble(x) - np.longdouble(mu), sigma, w, order)
        for w, mu, sigma in zip(parameters[::3], parameters[1::3], parameters[2::3], strict=True)
    ]
    return sum(terms), sum(abs(term) for term in terms)


def sigmoid_derivative(x, alpha, order=0):
    """g^(order)(x) in long double, and the sum of the magnitudes of the terms of its polynomial in p = e^(-alpha |x|).

    The polynomial has the Eulerian numbers as coefficients. For odd orders its root p = 1 is factored out.
    """
    x, alpha = np.longdouble(x), np.longdouble(alpha)
    eulerian = [1]
    for n in range(2, order + 2):
        eulerian = [
            (k + 1) * (eulerian[k] if k < n - 1 else 0) + (n - k) * (eulerian[k - 1] if k else 0) for k in range(n)
        ]
    coefficients = [(-1) ** k * c for k, c in enumerate(eulerian)]
    y = alpha * np.abs(x)
    p = np.exp(-y)
    factor = alpha ** (order + 1) * p / (1 + p) ** (order + 2)
    if order % 2:
        coefficients = list(itertools.accumulate(coefficients))[:-1]
        factor = factor * np.sign(x) * np.expm1(-y)
    powers = [np.longdouble(c) * p**k for k, c in enumerate(coefficients)]
    return factor * sum(powers), np.abs(factor) * sum(abs(power) for power in powers)


def hermite(z, order):
    previous, current = np.zeros_like(z), np.ones_like(z)
    for n in range(order):
        previous, current = current, z * current - n * previous
    return current


def exact_gaussian_derivative(x, sigma, alpha, order=0):
    """g^(order)(x) as mpmath numbers, as a reference for float64."""
    sigma, alpha = mpmath.mpf(float(sigma)), mpmath.mpf(float(alpha))
    values = []
    for x_i in np.ravel(x):
        z = mpmath.mpf(float(x_i)) / sigma
        previous, current = mpmath.mpf(0), mpmath.mpf(1)
        for n in range(order):
            previous, current = current, z * current - n * previous
        g = alpha / (sigma * mpmath.sqrt(2 * mpmath.pi)) * mpmath.exp(-z * z / 2)
        values.append((-1) ** order * current / sigma**order * g)
    return values


def ulp(exact, dtype):
    """The spacing of `dtype` at exact long-double values. Below the normal range it is the subnormal spacing."""
    info = ml_dtypes.finfo(dtype)
    magnitude = np.maximum(np.abs(exact), np.longdouble(info.smallest_normal))
    _, exponent = np.frexp(magnitude)
    return np.ldexp(np.longdouble(1), exponent - 1 - info.nmant)


def error_in_ulp(computed, exact, dtype, of=None):
    """|computed - exact| in ulp of `of`, by default of `exact`. It is 0 where both overflow `dtype` with equal sign."""
    computed = np.asarray(computed).astype(np.longdouble)
    largest = np.longdouble(ml_dtypes.finfo(dtype).max)
    overflows = np.abs(exact) > largest + ulp(largest, dtype) / 2
    with np.errstate(invalid="ignore"):
        error = np.abs(computed - exact) / ulp(exact if of is None else of, dtype)
    return np.where(overflows & (computed == np.copysign(np.inf, exact)), 0, error)


def exact_error_in_ulp(computed, exact):
    """|computed - exact| in float64 ulp, for mpmath numbers `exact`."""
    errors = []
    for c, e in zip(np.ravel(computed), exact, strict=True):
        magnitude = max(abs(e), mpmath.mpf(2) ** -1022)
        unit = mpmath.mpf(2) ** (int(mpmath.floor(mpmath.log(magnitude, 2))) - 52)
        errors.append(float(abs(mpmath.mpf(float(c)) - e) / unit))
    return np.array(errors)
