"""How a primitive is bound and evaluated, whoever asks: a user's call, a JVP rule or a batching rule."""

from __future__ import annotations

import functools
from typing import Any

import jax
from jax.extend.core import Primitive

from spikegrad.jax_versions import to_varying, varying_axes


def bind(primitive: Primitive, *operands: Any, **params: Any) -> Any:
    """Binds with operands that all vary over the same mesh axes.

    Inside `shard_map` an operand may be replicated while x differs from device to device. `lax` operations insert the
    cast to "varying", whose transpose is the `psum` that the gradient of a replicated operand needs; a primitive that
    does not insert it returns the gradient of one shard, silently. Here, so that derived rules cannot forget it.
    """
    axes = [varying_axes(operand) for operand in operands]
    union = frozenset().union(*axes)
    return primitive.bind(
        *(to_varying(o, sorted(union - a)) if union - a else o for o, a in zip(operands, axes, strict=True)), **params
    )


def evaluate_by_jit(primitive: Primitive) -> None:
    """Gives a primitive its eager evaluation: compiled once a set of parameters, and by `jit` once a shape."""

    @functools.cache
    def compiled(params: tuple[tuple[str, Any], ...]) -> Any:
        def evaluate(*operands: Any) -> Any:
            return primitive.bind(*operands, **dict(params))

        evaluate.__name__ = primitive.name
        return jax.jit(evaluate)

    primitive.def_impl(lambda *operands, **params: compiled(tuple(sorted(params.items())))(*operands))
