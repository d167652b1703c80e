"""`sloped_spike`: the Heaviside step of x with a given slope as its derivative, the primitive of users' surrogates.

    sloped_spike x slope [followed]  ->  1 where x >= 0, else 0, of x's shape and dtype

The tangent is `x_dot * slope`, plus the tangent of each followed operand. The slope is an operand, not the result of a
call inside a rule. So every transformation sees the values on which it depends, and higher derivatives are the
derivatives of the slope. A `jax.custom_jvp` would not do: jax drops custom rules when it differentiates a scan twice.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.extend.core.primitives import mul_p
from jax.interpreters import ad

from spikegrad.kernel_policy import Policy, current_policy
from spikegrad.primitives.batching_rules import Batch, define_batching
from spikegrad.primitives.binding import bind, evaluate_by_jit
from spikegrad.primitives.heaviside_lowering import lower_to_heaviside

sloped_spike_p = Primitive("sloped_spike")
evaluate_by_jit(sloped_spike_p)


def sloped_spike(x: Array, slope: Array, *followed: Array) -> Array:
    """Bind `sloped_spike`. All operands have x's shape and dtype."""
    return bind(sloped_spike_p, x, slope, *followed, kernels=current_policy())


@sloped_spike_p.def_abstract_eval
def _abstract_eval(x: ShapedArray, *slopes: ShapedArray, kernels: Policy) -> ShapedArray:
    # Refuse what lax.mul refuses for x * slope: other shapes, dtypes, explicit shardings.
    for slope in slopes:
        mul_p.abstract_eval(x, slope)
    return x


def _jvp(primals: Any, tangents: Any, *, kernels: Policy) -> tuple[Array, Any]:
    (x, slope, *followed), (x_dot, _, *followed_dots) = primals, tangents
    out = bind(sloped_spike_p, x, slope, *followed, kernels=kernels)
    terms = [dot for dot in followed_dots if not isinstance(dot, ad.Zero)]
    if not isinstance(x_dot, ad.Zero):
        terms.append(x_dot * slope)  # x_dot may be the Python number of jax.jvp(f, (x,), (1.0,))
    if not terms:
        return out, ad.Zero(jax.typeof(out).to_tangent_aval())
    return out, functools.reduce(lax.add, terms)


ad.primitive_jvps[sloped_spike_p] = _jvp


def _batch(axis_data: Any, operands: Any, dims: Any, *, kernels: Policy) -> tuple[Array, int]:
    x, (x_dim, *slope_dims) = operands[0], dims
    dim = x_dim if x_dim is not None else next(d for d in slope_dims if d is not None)
    batch = Batch(axis_data, x, x_dim, dim)
    arrays = [batch.array(operand, d) for operand, d in zip(operands, dims, strict=True)]
    return bind(sloped_spike_p, *arrays, kernels=kernels), dim


define_batching(sloped_spike_p, _batch)


lower_to_heaviside(sloped_spike_p)
