"""Reference values and error bounds for each surrogate, one entry of a table each.

Tests of the fused form run over this table. Its operands are the operands of the primitive.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import closed_form
import mpmath
import numpy as np

Operands = Sequence[Any]
ValueAndTerms = tuple[Any, Any]
"""g^(order)(x), and the sum of the magnitudes of the terms that add up to it."""


@dataclass(frozen=True)
class Reference:
    """The reference for one surrogate.

    Attributes:
        family: its family in `primitives/families.py`.
        operands: `operands(sigma, alpha)`: the operands for a g about sigma wide and about alpha / sigma high.
        weighted: whether the first operand is a weight, for which 0 and negative numbers are allowed.
        cancels: whether terms of different sign add up to g.
        exact: `exact(x, operands, order)` in long double.
        exact_in_mpmath: `exact_in_mpmath(x, operands, order)` of one x in mpmath, by formulas that share nothing with
            the kernels.
        bounds: the bound of order 0 in float32 for each `exponent`, in ulp of the sum of the terms' magnitudes.
            docs/accuracy.md derives it.
        roundings: how often one step of the recurrence of the higher orders rounds in float32.
        reach: three values of |x| / sigma. Up to the first, g is a float32 number. Up to the second, it is a normal
            float64 number. Beyond the third, no cotangent lifts a derivative back into float32's range.
    """

    family: str
    operands: Callable[[float, float], list[float]]
    weighted: bool
    cancels: bool
    exact: Callable[[Any, Operands, int], ValueAndTerms]
    exact_in_mpmath: Callable[[float, Operands, int], ValueAndTerms]
    bounds: dict[str, float]
    roundings: int
    reach: tuple[float, float, float]


def _mixture(x: Any, operands: Operands, order: int) -> ValueAndTerms:
    value, terms = closed_form.gaussian_mixture_derivative(x, operands, order)
    if order:
        terms = 0
        for w, mu, sigma in zip(operands[::3], operands[1::3], operands[2::3], strict=True):
            g, z = closed_form.gaussian_derivative(x - mu, sigma, w), abs(x - mu) / np.longdouble(sigma)
            previous, hermite = 0 * z, 0 * z + 1
            for n in range(order):
                previous, hermite = hermite, z * hermite + n * previous
            terms = terms + abs(g) * hermite / np.longdouble(sigma) ** order
    return value, terms


def _mixture_in_mpmath(x: float, operands: Operands, order: int) -> ValueAndTerms:
    value, magnitudes = mpmath.mpf(0), mpmath.mpf(0)
    for w, mu, sigma in zip(*[map(mpmath.mpf, map(float, operands))] * 3, strict=True):
        z = (mpmath.mpf(x) - mu) / sigma
        g = w * mpmath.npdf(z) / sigma ** (order + 1)
        root = mpmath.sqrt(2)
        value += (-1) ** order * root**-order * mpmath.hermite(order, z / root) * g
        # The sum of the magnitudes of He_n's terms is i^-n He_n(i |z|).
        magnitudes += abs(root**-order * mpmath.hermite(order, mpmath.mpc(0, abs(z)) / root)) * abs(g)
    return value, magnitudes


def _sigmoid(x: Any, operands: Operands, order: int) -> ValueAndTerms:
    return closed_form.sigmoid_derivative(x, operands[0], order)


def _sigmoid_in_mpmath(x: float, operands: Operands, order: int) -> ValueAndTerms:
    alpha, n = mpmath.mpf(float(operands[0])), order + 1
    p = mpmath.exp(-alpha * abs(mpmath.mpf(x)))
    # Eulerian numbers from their closed sum, independent of the recurrence in the kernels.
    numbers = [sum((-1) ** j * mpmath.binomial(n + 1, j) * (k + 1 - j) ** n for j in range(k + 1)) for k in range(n)]
    signed = [(-1) ** k * number for k, number in enumerate(numbers)]
    factor = alpha**n * p / (1 + p) ** (n + 1) * (-mpmath.sign(x)) ** order
    if order % 2:
        # The root p = 1 is factored out; the magnitudes are of the remaining terms.
        signed, factor = list(itertools.accumulate(signed))[:-1], factor * (1 - p)
    terms = [c * p**k for k, c in enumerate(signed)]
    return factor * sum(terms), abs(factor) * sum(map(abs, terms))


REFERENCES = {
    "gaussian": Reference(
        family="gaussian_mixture",
        operands=lambda sigma, alpha: [alpha, 0.0, sigma],
        weighted=True,
        cancels=False,
        exact=_mixture,
        exact_in_mpmath=_mixture_in_mpmath,
        bounds={"float64": 2.0, "split": 3.5},
        roundings=6,
        reach=(15, 37, 60),
    ),
    "multi_gaussian": Reference(
        family="gaussian_mixture",
        operands=lambda sigma, alpha: closed_form.multi_gaussian_parameters(0.15, 6.0, sigma, alpha),
        weighted=True,
        cancels=True,
        exact=_mixture,
        exact_in_mpmath=_mixture_in_mpmath,
        bounds={"float64": 0.6, "split": 3.5},
        roundings=6,
        reach=(90, 220, 300),
    ),
    "sigmoid": Reference(
        family="sigmoid",
        operands=lambda sigma, alpha: [1 / sigma],
        weighted=False,
        cancels=False,
        exact=_sigmoid,
        exact_in_mpmath=_sigmoid_in_mpmath,
        bounds={"float64": 3.4, "split": 3.0},
        roundings=8,
        reach=(110, 700, 1500),
    ),
}
