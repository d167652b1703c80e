"""The errors of the spikes' derivatives, in units in the last place.

The unit is the spacing of the dtype at the exact value; below the smallest normal number it is the spacing of
subnormals. The multi-Gaussian changes sign, so its unit is the spacing at the sum of its terms' magnitudes. Order 0 is
g(x), the factor of a gradient. Order 1 is g'(x), the second derivative.

Normal results are listed separately, because XLA flushes subnormal results to 0.

Exact values come from mpmath for float64. For smaller types they come from NumPy's long double, which has 11 bits more
than float64.

As a program it prints its table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from jax import Array
from tqdm import tqdm

from benchmarks.measured.competitor_names import AUTO, GAUSSIAN, MULTI_GAUSSIAN, SIGMOID, SURROGATES
from benchmarks.measured.competitors import ALPHA, SCALE, SIGMA, STEEPNESS, H, S, Spike, spikes, vjp
from benchmarks.reported.tables import table

ORDERS = (0, 1)

Values = np.ndarray


@dataclass(frozen=True)
class Errors:
    """The largest errors of one derivative.

    Attributes:
        normal_ulp: where the exact value is a normal number of the dtype.
        ulp: everywhere. Infinite if the result was NaN.
        relative: like `normal_ulp`, relative to the exact value.
        worst_x: the x of `normal_ulp`.
        points: the number of tested x.
    """

    surrogate: str
    dtype: str
    order: int
    name: str
    normal_ulp: float
    ulp: float
    relative: float
    worst_x: float
    points: int


WIDTHS = {GAUSSIAN: SIGMA, MULTI_GAUSSIAN: S * SIGMA, SIGMOID: 1 / STEEPNESS}


def _inputs(surrogate: str, dtype: str, quick: bool) -> Values:
    """x of both signs, up to where g is below the smallest subnormal. For 16-bit types: every such x."""
    if dtype in ("float16", "bfloat16"):
        every = np.arange(1 << 16, dtype=np.uint16).view(jnp.dtype(dtype))
        return every[np.isfinite(every.astype(np.float32))]
    widths, count = (14.5, 1_000_000) if dtype == "float32" else (39, 4_000)
    if surrogate == SIGMOID:
        widths = 105 if dtype == "float32" else 746
    end = widths * WIDTHS[surrogate]
    count //= 10 if quick else 1
    smallest = float(np.finfo(dtype).smallest_subnormal)
    magnitudes = np.geomspace(smallest, end, count // 2)
    return np.concatenate([np.linspace(-end, end, count), -magnitudes, magnitudes]).astype(dtype)


# Functions for the closed form, in long double or in mpmath.
Exact = tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any], Any]


def _terms(surrogate: str, x: Any, order: int, functions: Exact) -> list[Any]:
    """The terms whose sum is g or g'."""
    exp, expm1, number, root_two_pi = functions
    if surrogate == SIGMOID:
        y = number(STEEPNESS) * abs(x)
        p = exp(-y)
        g = number(STEEPNESS) * p / (1 + p) ** 2
        if order:
            # tanh(|y| / 2) with the sign of x
            slope = expm1(-y) / (1 + p)
            return [number(STEEPNESS) * g * slope * (1 - 2 * (x < 0))]
        return [g]
    gaussians = [(ALPHA, 0.0, SIGMA)]
    if surrogate == MULTI_GAUSSIAN:
        sides = [(-SCALE * H, mean, S * SIGMA) for mean in (SIGMA, -SIGMA)]
        gaussians = [(SCALE * (1 + H), 0.0, SIGMA), *sides]
    terms = []
    for weight, mean, sigma in gaussians:
        w, m, s = (number(v) for v in (weight, mean, sigma))
        z = (x - m) / s
        g = w / (s * root_two_pi) * exp(-z * z / 2)
        terms.append(-z / s * g if order else g)
    return terms


def _exact_wide(surrogate: str, x: Values, order: int) -> tuple[Values, Values]:
    """g or g' in long double, and the value that its error is relative to."""
    if np.finfo(np.longdouble).nmant < 63:
        raise RuntimeError("NumPy's long double is no wider than float64 here, so it can't be the reference")
    root = np.longdouble("2.506628274631000502415765284811045253")  # sqrt(2 pi)
    functions: Exact = (np.exp, np.expm1, lambda v: np.longdouble(np.float32(v)), root)
    terms = _terms(surrogate, x.astype(np.float64).astype(np.longdouble), order, functions)
    return sum(terms), sum(abs(term) for term in terms)


def _exact_decimal(surrogate: str, x: Values, order: int) -> tuple[list[mpmath.mpf], list[mpmath.mpf]]:
    """g or g' to 40 digits, and the value that its error is relative to."""
    with mpmath.workdps(40):
        functions: Exact = (mpmath.exp, mpmath.expm1, mpmath.mpf, mpmath.sqrt(2 * mpmath.pi))
        terms = [_terms(surrogate, mpmath.mpf(float(value)), order, functions) for value in x]
        return [sum(each) for each in terms], [sum(map(abs, each)) for each in terms]


Compared = tuple[Values, Values, Values]


def _compare_decimal(got: Values, exact: tuple[list[mpmath.mpf], ...], digits: int, lowest: int) -> Compared:
    with mpmath.workdps(40):
        values, sizes = exact
        errors = [abs(mpmath.mpf(float(g)) - e) for g, e in zip(got, values, strict=True)]
        exponents = [max(int(mpmath.frexp(e)[1]), lowest) for e in sizes]
        ulp = [float(mpmath.ldexp(error, digits - k)) for error, k in zip(errors, exponents, strict=True)]
        relative = [float(error / e) if e else 0.0 for error, e in zip(errors, sizes, strict=True)]
        normal = [bool(abs(e) >= mpmath.ldexp(1, lowest - 1)) for e in values]
    return np.array(ulp), np.array(relative), np.array(normal)


def _compare_wide(got: Values, exact: tuple[Values, Values], digits: int, lowest: int) -> Compared:
    values, sizes = exact
    error = abs(got.astype(np.float64).astype(np.longdouble) - values)
    exponents = np.maximum(np.frexp(sizes)[1], lowest)
    relative = np.divide(error, sizes, out=np.zeros_like(error), where=sizes != 0)
    normal = abs(values) >= np.ldexp(np.longdouble(1), lowest - 1)
    return np.ldexp(error, digits - exponents), relative, normal


def _derivatives(spike: Spike) -> list[Callable[[Array], Array]]:
    """g and g', computed in reverse mode."""

    def differentiated(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: vjp(function)(x, jnp.ones_like(x))

    g = differentiated(spike)
    return [g, differentiated(g)]


def _measure_dtype(surrogate: str, dtype: str, quick: bool) -> list[Errors]:
    x = _inputs(surrogate, dtype, quick)
    info = jnp.finfo(dtype)
    # Exponents as in frexp: a value is m 2^k with 0.5 <= m < 1, and a unit in its last place is 2^(k - digits).
    digits, lowest = info.nmant + 1, int(info.minexp) + 1
    found = []
    for order in ORDERS:
        decimal = _exact_decimal(surrogate, x, order) if dtype == "float64" else None
        wide = _exact_wide(surrogate, x, order) if dtype != "float64" else None
        for name, spike in spikes(surrogate).items():
            if name == AUTO:  # the kernels or the fused form, by size
                continue
            got = np.asarray(jax.jit(_derivatives(spike)[order])(jnp.asarray(x)))
            if got.dtype != x.dtype:
                raise AssertionError(f"{name} returned {got.dtype} for {x.dtype}")
            if decimal is not None:
                ulp, relative, normal = _compare_decimal(got, decimal, digits, lowest)
            else:
                assert wide is not None
                ulp, relative, normal = _compare_wide(got, wide, digits, lowest)
            ulp = np.where(np.isnan(ulp), math.inf, ulp)
            worst = int(np.argmax(np.where(normal, ulp, -1)))
            found.append(
                Errors(
                    surrogate=surrogate,
                    dtype=dtype,
                    order=order,
                    name=name,
                    normal_ulp=float(ulp[worst]),
                    ulp=float(ulp.max()),
                    relative=float(relative[normal].max()),
                    worst_x=float(x[worst]),
                    points=x.size,
                )
            )
    return found


def measure(quick: bool) -> list[Errors]:
    found: list[Errors] = []
    dtypes = ("float32", "float16", "bfloat16", "float64")
    for surrogate, dtype in tqdm([(s, d) for s in SURROGATES for d in dtypes], desc="accuracy"):
        with jax.enable_x64(dtype == "float64"):
            found += _measure_dtype(surrogate, dtype, quick)
    return found


def as_table(found: list[Errors]) -> str:
    def ulp(value: float) -> str:
        if math.isinf(value):
            return "NaN"
        return f"{value:.3f}" if value < 10 else f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"

    def percent(value: float) -> str:
        return f"{100 * value:.0f} %" if value > 0.01 else f"{100 * value:.2g} %"

    header = [
        "surrogate",
        "dtype",
        "derivative",
        "spike",
        "max ULP, normal",
        "at x",
        "max ULP, all",
        "max relative, normal",
        "points",
    ]
    rows = [
        [
            e.surrogate,
            e.dtype,
            "g" if e.order == 0 else "g'",
            e.name,
            ulp(e.normal_ulp),
            f"{e.worst_x:.4g}",
            ulp(e.ulp),
            percent(e.relative),
            f"{e.points:,}",
        ]
        for e in found
    ]
    return table(header, rows, left=4)


if __name__ == "__main__":
    print(as_table(measure(quick=False)))
