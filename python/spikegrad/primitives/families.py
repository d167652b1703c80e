"""The families of surrogates: what `spike` and `spike_derivative` have to know of g besides its order.

A family is named by a string in the primitives' parameters, so that a jaxpr can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from spikegrad import reference, targets


class BindDerivative(Protocol):
    """`t g^(order)(x)` of the family at hand, for any parameters and order, in x's wide dtype."""

    def __call__(self, *parameters: Array, order: int) -> Array: ...


@dataclass(frozen=True)
class Family:
    """One family g(x; parameters).

    Attributes:
        parameters: their names.
        target: the FFI target of the kernel, which takes (x, t, *parameters) and the attribute `order`.
        reference: `reference(x, t, *parameters, order=n)`, the same in `jax.numpy`.
        parameter_jvps: for each parameter, the tangent of `t g^(n)(x)` along that parameter's tangent, in closed form:
            a function of (derivative, parameters, n, parameter_tangent), all of them in x's wide dtype.
    """

    parameters: tuple[str, ...]
    target: str
    reference: Callable[..., Array]
    parameter_jvps: tuple[Callable[[BindDerivative, Any, int, Array], Array], ...]


def _gaussian_by_sigma(derivative: BindDerivative, parameters: Any, order: int, tangent: Array) -> Array:
    sigma, alpha = parameters  # the Gaussian solves the heat equation: dg/dsigma = sigma g''
    return derivative(sigma, alpha, order=order + 2) * (sigma * tangent)


def _gaussian_by_alpha(derivative: BindDerivative, parameters: Any, order: int, tangent: Array) -> Array:
    sigma, alpha = parameters  # not g / alpha: alpha may be 0
    return derivative(sigma, jnp.ones_like(alpha), order=order) * tangent


FAMILIES = {
    "gaussian": Family(
        parameters=("sigma", "alpha"),
        target=targets.GAUSSIAN,
        reference=reference.gaussian_derivative,
        parameter_jvps=(_gaussian_by_sigma, _gaussian_by_alpha),
    ),
}
