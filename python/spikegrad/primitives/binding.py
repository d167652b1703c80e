"""Binding and eager evaluation of the primitives, for user calls, JVP rules and batching rules alike."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive

from spikegrad.jax_versions import to_varying, varying_axes


def unified(*operands: Any) -> list[Any]:
    """Return the operands, all varying over the same mesh axes.

    Inside `shard_map` an operand may be replicated while x differs from device to device. `lax` operations insert the
    cast to "varying", whose transpose is the `psum` that the gradient of a replicated operand needs; a primitive that
    does not insert it returns the gradient of one shard, silently.
    """
    axes = [varying_axes(operand) for operand in operands]
    union = frozenset().union(*axes)
    return [to_varying(o, sorted(union - a)) if union - a else o for o, a in zip(operands, axes, strict=True)]


def bind(primitive: Primitive, *operands: Any, **params: Any) -> Any:
    """Bind with unified operands. Every rule binds by this function, so that none can forget to unify."""
    return primitive.bind(*unified(*operands), **params)


def evaluate_by_jit(primitive: Primitive) -> None:
    """Give a primitive its eager evaluation: one compiled function for each set of parameters, and for each shape.

    `jax.disable_jit` and the flags `jax_debug_nans` and `jax_debug_infs` make `jax.jit` call the Python function, which
    would bind the primitive again, without end. So the compiled function runs without them, and its results are checked
    here.
    """

    @functools.cache
    def compiled(params: tuple[tuple[str, Any], ...]) -> Any:
        def evaluate(*operands: Any) -> Any:
            return primitive.bind(*operands, **dict(params))

        evaluate.__name__ = primitive.name
        return jax.jit(evaluate)

    def evaluate(*operands: Any, **params: Any) -> Any:
        function = compiled(tuple(sorted(params.items())))
        nans, infs = jax.config.jax_debug_nans, jax.config.jax_debug_infs
        if not (nans or infs or jax.config.jax_disable_jit):
            return function(*operands)
        with jax.disable_jit(False), jax.debug_nans(False), jax.debug_infs(False):
            out = function(*operands)
            for array in jax.tree.leaves(out):
                for value, wanted, found in (("nan", nans, jnp.isnan), ("inf", infs, jnp.isinf)):
                    if wanted and found(array).any():
                        raise FloatingPointError(f"invalid value ({value}) encountered in {primitive.name}")
        return out

    primitive.def_impl(evaluate)
