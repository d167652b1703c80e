"""The smooth function whose derivative is a surrogate: order -1 of the same closed forms."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from spikegrad.primitives.families import FAMILIES
from spikegrad.primitives.spike_derivative import spike_derivative
from spikegrad.reference import wide_dtype


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def smooth_step(family: str, x: Array, *parameters: Array) -> Array:
    """The integral of the family's g from -infinity to x, in x's dtype."""
    return FAMILIES[family].integral(jnp.asarray(x), *parameters)


@functools.partial(smooth_step.defjvp, symbolic_zeros=True)
def _jvp(family: str, primals: Any, tangents: Any) -> tuple[Array, Array]:
    x, *parameters = (jnp.asarray(primal) for primal in primals)
    x_dot, *parameter_dots = tangents
    out = smooth_step(family, x, *parameters)
    wide_x = x.astype(wide_dtype(x.dtype))

    def derivative(*parameters: Array, order: int) -> Array:
        if order < 0:
            return smooth_step(family, wide_x, *parameters)
        return spike_derivative(wide_x, jnp.ones((), wide_x.dtype), *parameters, family=family, order=order)

    tangent = jnp.zeros_like(out)
    if not isinstance(x_dot, SymbolicZero):
        tangent += spike_derivative(x, x_dot, *parameters, family=family, order=0)
    for i, dot in enumerate(parameter_dots):
        if not isinstance(dot, SymbolicZero):
            wide_tangent = FAMILIES[family].parameter_jvp(derivative, wide_x, parameters, i, -1, dot)
            tangent += wide_tangent.astype(x.dtype)
    return out, tangent
