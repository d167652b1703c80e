"""The families of surrogates: their parameters, their derivatives in plain HLO, and their derivatives by parameters.

The primitives hold the name of a family, so that a jaxpr is readable. The kernels have the same names
(csrc/math/families.h).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from spikegrad import fused


class BindDerivative(Protocol):
    """A function that returns `t g^(order)(x)` of one family in x's wide dtype, for any parameters and order."""

    def __call__(self, *parameters: Array, order: int) -> Array: ...


@dataclass(frozen=True)
class Family:
    """One family g(x; parameters).

    Attributes:
        parameters: the names of a term's parameters; a family is a sum of terms.
        derivative: `derivative(x, t, *parameters, order=n, exponent=...)`: `t g^(n)(x)` in plain HLO (fused.py); for
            n = -1 the integral.
        parameter_jvp: the tangent of `t g^(n)(x)` along the tangent of one parameter, in closed form: a function of
            (derivative, x, parameters, index, n, parameter_tangent), all of them in x's wide dtype.
    """

    parameters: tuple[str, ...]
    derivative: Callable[..., Array]
    parameter_jvp: Callable[[BindDerivative, Array, Sequence[Any], int, int, Any], Array]


def _gaussian_mixture_jvp(
    derivative: BindDerivative, x: Array, parameters: Sequence[Any], index: int, order: int, tangent: Any
) -> Array:
    term, which = divmod(index, 3)
    weight, mean, sigma = parameters[3 * term : 3 * term + 3]
    if which == 0:  # not g / w: w may be 0
        return derivative(jnp.ones_like(weight), mean, sigma, order=order) * tangent
    if which == 1:
        return derivative(weight, mean, sigma, order=order + 1) * -tangent
    # The Gaussian solves the heat equation: dg/dsigma = sigma g''.
    return derivative(weight, mean, sigma, order=order + 2) * (sigma * tangent)


def _sigmoid_jvp(
    derivative: BindDerivative, x: Array, parameters: Sequence[Any], index: int, order: int, tangent: Any
) -> Array:
    # g^(n)(x) = alpha^(n+1) f(alpha x)
    (alpha,) = parameters
    # At an infinite x all derivatives of g are 0, and x times 0 must not become NaN.
    product = jnp.where(jnp.isfinite(x), x, 0) * derivative(alpha, order=order + 1)
    if order >= 0:
        product = product + (order + 1) * derivative(alpha, order=order)
    return product * (tangent / alpha)


FAMILIES = {
    "gaussian_mixture": Family(
        parameters=("w", "mu", "sigma"),
        derivative=fused.gaussian_mixture_derivative,
        parameter_jvp=_gaussian_mixture_jvp,
    ),
    "sigmoid": Family(
        parameters=("alpha",),
        derivative=fused.sigmoid_derivative,
        parameter_jvp=_sigmoid_jvp,
    ),
}
