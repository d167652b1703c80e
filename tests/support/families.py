"""The surrogates under test: the public objects, and the closed form of g in mpmath.

`SPIKEGRAD_ONE_SURROGATE=1` leaves only the first, for runs in which they are all alike.

Reference derivatives come from mpmath's numerical differentiation of g in 60 digits, not from the package's formulas.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import spikegrad
from spikegrad.parameters import as_input


@dataclass(frozen=True)
class Case:
    """A surrogate with non-default parameters.

    Attributes:
        g: g(x, **parameters) for mpmath numbers.
        parameters: by name, in the order of the function's arguments.
        in_braintools: whether `spikegrad.compat.braintools` has the surrogate too.
    """

    name: str
    surrogate: type[Any]
    function: Callable[..., Any]
    family: str
    parameters: dict[str, float]
    g: Callable[..., mpmath.mpf]
    in_braintools: bool = True

    def __str__(self) -> str:
        return self.name

    def make(self, **parameters: Any) -> Any:
        return self.surrogate(**{**self.parameters, **parameters})

    def operands(self, x: Any) -> tuple[Any, ...]:
        """The parameters as operands of the primitives, for this x."""
        return self.make()._parameters(as_input(x))

    def derivative(self, order: int, x: Any, by: str | None = None, **parameters: float) -> np.ndarray:
        """g^(order)(x) in float64, or its derivative with respect to the parameter `by`."""
        values = tuple((name, float(value)) for name, value in {**self.parameters, **parameters}.items())
        return np.reshape([_derivative(self.name, order, float(v), by, values) for v in np.ravel(x)], np.shape(x))


@functools.cache
def _derivative(name: str, order: int, x: float, by: str | None, parameters: tuple[tuple[str, float], ...]) -> float:
    (case,) = (case for case in CASES if case.name == name)
    values = {key: mpmath.mpf(value) for key, value in parameters}
    with mpmath.workdps(60):
        if by is None:
            return float(mpmath.diff(lambda x: case.g(x, **values), mpmath.mpf(x), order))
        return float(mpmath.diff(lambda x, p: case.g(x, **{**values, by: p}), (mpmath.mpf(x), values[by]), (order, 1)))


def _gaussian(x: mpmath.mpf, sigma: mpmath.mpf, alpha: mpmath.mpf) -> mpmath.mpf:
    return alpha * mpmath.npdf(x, 0, sigma)


def _multi_gaussian(x: mpmath.mpf, h: mpmath.mpf, s: mpmath.mpf, sigma: mpmath.mpf, scale: mpmath.mpf) -> mpmath.mpf:
    sides = mpmath.npdf(x, sigma, s * sigma) + mpmath.npdf(x, -sigma, s * sigma)
    return scale * ((1 + h) * mpmath.npdf(x, 0, sigma) - h * sides)


def _sigmoid(x: mpmath.mpf, alpha: mpmath.mpf) -> mpmath.mpf:
    s = 1 / (1 + mpmath.exp(-alpha * x))
    return alpha * s * (1 - s)


CASES = [
    Case(
        "gaussian",
        spikegrad.GaussianGrad,
        spikegrad.gaussian_grad,
        "gaussian_mixture",
        {"sigma": 0.7, "alpha": 1.3},
        _gaussian,
    ),
    Case(
        "multi_gaussian",
        spikegrad.MultiGaussianGrad,
        spikegrad.multi_gaussian_grad,
        "gaussian_mixture",
        {"h": 0.2, "s": 3.0, "sigma": 0.7, "scale": 1.3},
        _multi_gaussian,
    ),
    Case("sigmoid", spikegrad.Sigmoid, spikegrad.sigmoid, "sigmoid", {"alpha": 2.3}, _sigmoid),
]
if os.environ.get("SPIKEGRAD_ONE_SURROGATE") == "1":
    del CASES[1:]
