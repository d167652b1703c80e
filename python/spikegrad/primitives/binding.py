"""How a primitive is bound and evaluated, whoever asks: a user's call, a JVP rule or a batching rule."""

from __future__ import annotations

import functools
from typing import Any

import jax
from jax.extend.core import Primitive

from spikegrad.jax_versions import to_varying, varying_axes


def unified(*operands: Any) -> list[Any]:
    """The operands, all varying over the same mesh axes.

    Inside `shard_map` an operand may be replicated while x differs from device to device. `lax` operations insert the
    cast to "varying", whose transpose is the `psum` that the gradient of a replicated operand needs; a primitive that
    does not insert it returns the gradient of one shard, silently.
    """
    axes = [varying_axes(operand) for operand in operands]
    union = frozenset().union(*axes)
    return [to_varying(o, sorted(union - a)) if union - a else o for o, a in zip(operands, axes, strict=True)]


def bind(primitive: Primitive, *operands: Any, **params: Any) -> Any:
    """Binds with operands unified: here, so that derived rules cannot forget it."""
    return primitive.bind(*unified(*operands), **params)


def evaluate_by_jit(primitive: Primitive) -> None:
    """Gives a primitive its eager evaluation: compiled once a set of parameters, and by `jit` once a shape."""

    @functools.cache
    def compiled(params: tuple[tuple[str, Any], ...]) -> Any:
        def evaluate(*operands: Any) -> Any:
            return primitive.bind(*operands, **dict(params))

        evaluate.__name__ = primitive.name
        return jax.jit(evaluate)

    primitive.def_impl(lambda *operands, **params: compiled(tuple(sorted(params.items())))(*operands))
