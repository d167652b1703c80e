"""How far the derivatives of the spikes are from the true ones, in units in the last place.

The unit is the distance between neighbours of the dtype at the exact value, below the smallest normal number the
distance of subnormals. Order 0 is g(x), what a gradient multiplies with; order 1 is g'(x), the second derivative.

Normal results stand apart, since XLA flushes smaller ones to 0.

The exact values: mpmath for float64, else NumPy's long double, which has 11 bits more than a float64.

Run as a program it prints its table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from jax import Array
from tqdm import tqdm

from benchmarks.competitors import ALPHA, SIGMA, Spike, spikes, vjp
from benchmarks.tables import table

ORDERS = (0, 1)

Values = np.ndarray


@dataclass(frozen=True)
class Errors:
    """The largest errors of one derivative.

    Attributes:
        normal_ulp: where the exact value is a normal number of the dtype.
        ulp: everywhere; infinite where NaN was returned.
        relative: as `normal_ulp`, relative to the exact value.
        worst_x: where `normal_ulp` is.
        points: how many values of x were looked at.
    """

    dtype: str
    order: int
    name: str
    normal_ulp: float
    ulp: float
    relative: float
    worst_x: float
    points: int


def _inputs(dtype: str, quick: bool) -> Values:
    """Both signs, up to where g is less than the smallest subnormal number; every value there is of half precision."""
    if dtype in ("float16", "bfloat16"):
        every = np.arange(1 << 16, dtype=np.uint16).view(jnp.dtype(dtype))
        return every[np.isfinite(every.astype(np.float32))]
    end, count = (14.5 * SIGMA, 1_000_000) if dtype == "float32" else (39 * SIGMA, 4_000)
    count //= 10 if quick else 1
    smallest = float(np.finfo(dtype).smallest_subnormal)
    magnitudes = np.geomspace(smallest, end, count // 2)
    return np.concatenate([np.linspace(-end, end, count), -magnitudes, magnitudes]).astype(dtype)


def _exact_wide(x: Values, order: int) -> Values:
    """g or g' in long double."""
    if np.finfo(np.longdouble).nmant < 63:
        raise RuntimeError("NumPy's long double is no wider than float64 here, too narrow for a reference")
    wide, sigma = x.astype(np.float64).astype(np.longdouble), np.longdouble(SIGMA)
    root = np.longdouble("2.506628274631000502415765284811045253")  # sqrt(2 pi)
    g = np.longdouble(ALPHA) / (sigma * root) * np.exp(-((wide / sigma) ** 2) / 2)
    return -wide / sigma**2 * g if order else g


def _exact_decimal(x: Values, order: int) -> list[mpmath.mpf]:
    """g or g' to 40 digits."""
    with mpmath.workdps(40):
        sigma = mpmath.mpf(SIGMA)
        amplitude = ALPHA / (sigma * mpmath.sqrt(2 * mpmath.pi))
        points = [mpmath.mpf(float(value)) for value in x]
        return [(-p / sigma**2 if order else 1) * amplitude * mpmath.exp(-((p / sigma) ** 2) / 2) for p in points]


def _compare_decimal(got: Values, exact: list[mpmath.mpf], digits: int, lowest: int) -> tuple[Values, Values, Values]:
    with mpmath.workdps(40):
        errors = [abs(mpmath.mpf(float(g)) - e) for g, e in zip(got, exact, strict=True)]
        exponents = [max(int(mpmath.frexp(e)[1]), lowest) for e in exact]
        ulp = [float(mpmath.ldexp(error, digits - k)) for error, k in zip(errors, exponents, strict=True)]
        relative = [float(error / abs(e)) if e else 0.0 for error, e in zip(errors, exact, strict=True)]
        normal = [bool(abs(e) >= mpmath.ldexp(1, lowest - 1)) for e in exact]
    return np.array(ulp), np.array(relative), np.array(normal)


def _compare_wide(got: Values, exact: Values, digits: int, lowest: int) -> tuple[Values, Values, Values]:
    error = abs(got.astype(np.float64).astype(np.longdouble) - exact)
    exponents = np.maximum(np.frexp(exact)[1], lowest)
    relative = np.divide(error, abs(exact), out=np.zeros_like(error), where=exact != 0)
    normal = abs(exact) >= np.ldexp(np.longdouble(1), lowest - 1)
    return np.ldexp(error, digits - exponents), relative, normal


def _derivatives(spike: Spike) -> list[Callable[[Array], Array]]:
    """g and g' by reverse mode."""

    def differentiated(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: vjp(function)(x, jnp.ones_like(x))

    g = differentiated(spike)
    return [g, differentiated(g)]


def _measure_dtype(dtype: str, quick: bool) -> list[Errors]:
    x = _inputs(dtype, quick)
    info = jnp.finfo(dtype)
    # As frexp counts them: a value is m 2^k with 0.5 <= m < 1, and a unit in its last place 2^(k - digits).
    digits, lowest = info.nmant + 1, int(info.minexp) + 1
    found = []
    for order in ORDERS:
        decimal = _exact_decimal(x, order) if dtype == "float64" else None
        wide = _exact_wide(x, order) if dtype != "float64" else None
        for name, spike in spikes().items():
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
    for dtype in tqdm(("float32", "float16", "bfloat16", "float64"), desc="accuracy"):
        with jax.enable_x64(dtype == "float64"):
            found += _measure_dtype(dtype, quick)
    return found


def as_table(found: list[Errors]) -> str:
    def ulp(value: float) -> str:
        if math.isinf(value):
            return "NaN"
        return f"{value:.3f}" if value < 10 else f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"

    def percent(value: float) -> str:
        return f"{100 * value:.0f} %" if value > 0.01 else f"{100 * value:.2g} %"

    header = [
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
    return table(header, rows, left=3)


if __name__ == "__main__":
    print(as_table(measure(quick=False)))
