"""The families of surrogates: what `spike` and `spike_derivative` have to know of g besides its order.

A family is named by a string in the primitives' parameters, so that a jaxpr can be read; the kernels know it by the
same name (csrc/math/families.h).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from spikegrad import fused


class BindDerivative(Protocol):
    """`t g^(order)(x)` of the family at hand, for any parameters and order, in x's wide dtype."""

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
    # An infinite x, where g and all its derivatives are 0, must not make NaN of that.
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
