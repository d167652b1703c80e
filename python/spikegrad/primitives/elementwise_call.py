"""`elementwise_call`: the primitive behind all elementwise kernels, which exists only inside lowerings.

Its one task is that XLA's partitioners leave the call where its operands are. They all-gather the operands of a plain
custom call. Of a "batch partitionable" one they keep the leading `num_batch_dims` dimensions sharded as they are, if
these are not all the dimensions there are; so the arrays get a last dimension of size 1, which costs nothing. Shardy
wants the same as a sharding rule, with a factor for each dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, ffi, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import sdy
from jax.interpreters import mlir

from spikegrad.primitives.binding import bind

KERNEL_DTYPES = frozenset(np.dtype(dtype) for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64))
"""The dtypes for which every kernel exists."""

elementwise_call_p = Primitive("elementwise_call")


def elementwise_call(name: str, target: str, x: Array, *operands: Array, **attributes: int) -> Array:
    """The kernel `target` over x; every operand has x's shape, or rank 0 and reaches the kernel as a scalar.

    `name` is that of the primitive which is lowered, for whoever reads XLA's program or a profile of it.
    """

    def with_unit(operand: Array, array: bool) -> Array:
        return lax.expand_dims(operand, (operand.ndim,)) if array else operand

    is_array = [True] + [x.ndim > 0 and operand.ndim > 0 for operand in operands]
    arrays = [with_unit(o, a) for o, a in zip((x, *operands), is_array, strict=True)]
    with jax.named_scope(name):
        out = bind(elementwise_call_p, *arrays, target=target, attributes=tuple(sorted(attributes.items())))
    return lax.squeeze(out, (x.ndim,))


@elementwise_call_p.def_abstract_eval
def _abstract_eval(x: ShapedArray, *operands: ShapedArray, target: str, attributes: Any) -> ShapedArray:
    return x


def _mapping(aval: ShapedArray) -> sdy.TensorMappingAttr:
    return sdy.TensorMappingAttr.get([sdy.DimMappingAttr.get(factor_indices=[i]) for i in range(aval.ndim)])


def _lowering(
    ctx: mlir.LoweringRuleContext, *operands: ir.Value, target: str, attributes: tuple[tuple[str, int], ...]
) -> Sequence[ir.Value]:
    (out,) = ctx.avals_out
    extra = {
        "mhlo.frontend_attributes": ir.DictAttr.get({"num_batch_dims": ir.StringAttr.get(str(out.ndim - 1))}),
    }
    # A symbolic shape adds an operand to the call, which no rule could match.
    if all(isinstance(size, int) for size in out.shape):
        extra["sdy.sharding_rule"] = sdy.OpShardingRuleAttr.get(
            factor_sizes=list(out.shape),
            operand_mappings=[_mapping(aval) for aval in ctx.avals_in],
            result_mappings=[_mapping(out)],
            is_custom=True,
        )
    # FFI attributes are strict about their type, and a Python int has none.
    typed = {name: np.int64(value) for name, value in attributes}
    return ffi.ffi_lowering(target, extra_attributes=extra)(ctx, *operands, **typed)


mlir.register_lowering(elementwise_call_p, _lowering)
