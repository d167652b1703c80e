"""`lif_call`: the primitive behind the kernels of lif, which exists only inside lowerings.

Arrays without time get a dimension of size 1 in its place.

As in `elementwise_call.py`, its task in a program for several devices is that the partitioners leave the call where its
operands are: here along every dimension but time. So the arrays get a last dimension of size 1. The sharding rule has
one factor for each dimension of the current and, since they have other sizes, one each for the place of time in the
states and in the checkpoints. Time and checkpoints are kept whole by a constraint: an array that is sharded over time
is gathered before the call, and the handler refuses a current that lacks steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax import Array, ffi, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import sdy
from jax.interpreters import mlir

from spikegrad.fused import wide_dtype
from spikegrad.jax_versions import may_constrain_sharding
from spikegrad.primitives.binding import bind
from spikegrad.primitives.lif_shapes import checkpoint_count

Role = str
"""What an array is to the kernel: "time", "checkpoints" or "state", by what it has along the axis of time (all steps,
the checkpoints, nothing), or "scalar"."""

lif_call_p = Primitive("lif_call")
lif_call_p.multiple_results = True

_RESETS = {None: 0, "subtract": 1, "zero": 2}
_ORDERS = {"charge_fire_reset": 0, "reset_undecayed": 1, "fire_charge": 2}
"""As in csrc/neurons/neuron.h."""


def lif_call(
    name: str,
    target: str,
    operands: Sequence[tuple[Role, Array]],
    results: Sequence[Role],
    *,
    axis: int,
    order: str,
    reset: str | None,
    detach_reset: bool,
    every: int,
    partitionable: bool,
    flags: Mapping[str, bool] = MappingProxyType({}),
) -> list[Array]:
    """The kernel `target` with the current as its first operand; `every` is 0 where there are no checkpoints.

    `partitionable` is for programs that may run on several devices; `flags` are further attributes of the target.
    """
    rank = operands[0][1].ndim

    def units(role: Role) -> tuple[int, ...]:
        return (axis,) * (role == "state") + (rank,) * partitionable

    def with_units(role: Role, operand: Array) -> Array:
        return lax.expand_dims(operand, units(role)) if units(role) else operand

    roles: list[Role] = ["scalar" if operand.ndim == 0 else role for role, operand in operands]
    arrays = [o if role == "scalar" else with_units(role, o) for role, (_, o) in zip(roles, operands, strict=True)]
    steps = operands[0][1].shape[axis]
    attributes = {
        "axis": axis,
        "steps": steps if isinstance(steps, int) else -1,
        "order": _ORDERS[order],
        "reset": _RESETS[reset],
        "detach_reset": int(detach_reset),
        "every": every,
        **{name: int(flag) for name, flag in flags.items()},
    }
    with jax.named_scope(name):
        outs = bind(
            lif_call_p,
            *arrays,
            target=target,
            partitionable=partitionable,
            roles=tuple(roles),
            results=tuple(results),
            attributes=tuple(sorted(attributes.items())),
        )
    return [lax.squeeze(out, units(role)) if units(role) else out for role, out in zip(results, outs, strict=True)]


def _size(role: Role, current: ShapedArray, attributes: dict[str, int]) -> Any:
    steps = current.shape[attributes["axis"]]
    return {"time": steps, "state": 1, "checkpoints": checkpoint_count(steps, attributes["every"] or 1)}[role]


@lif_call_p.def_abstract_eval
def _abstract_eval(
    current: ShapedArray, *_: ShapedArray, results: Any, attributes: Any, **params: Any
) -> list[ShapedArray]:
    named = dict(attributes)
    axis = named["axis"]

    def result(role: Role) -> ShapedArray:
        shape = (*current.shape[:axis], _size(role, current, named), *current.shape[axis + 1 :])
        return current.update(shape=shape, dtype=current.dtype if role == "time" else wide_dtype(current.dtype))

    return [result(role) for role in results]


def _sharding_rule(ctx: mlir.LoweringRuleContext, roles: Any, results: Any, named: dict[str, int]) -> ir.Attribute:
    current, axis = ctx.avals_in[0], named["axis"]
    sizes = list(current.shape)
    along_time = {"time": axis}
    for role in ("state", "checkpoints"):
        if role in (*roles, *results):
            along_time[role] = len(sizes)
            sizes.append(_size(role, current, named))

    def mapping(role: Role) -> sdy.TensorMappingAttr:
        if role == "scalar":
            return sdy.TensorMappingAttr.get([])
        factors = [along_time[role] if i == axis else i for i in range(current.ndim)]
        return sdy.TensorMappingAttr.get([sdy.DimMappingAttr.get(factor_indices=[i]) for i in factors])

    return sdy.OpShardingRuleAttr.get(
        factor_sizes=sizes,
        operand_mappings=[mapping(role) for role in roles],
        result_mappings=[mapping(role) for role in results],
        is_custom=True,
    )


def _keep_time_whole(value: ir.Value, role: Role, rank: int, axis: int) -> ir.Value:
    if role not in ("time", "checkpoints"):
        return value
    dimensions = ", ".join("{}" if i == axis else "{?}" for i in range(rank))
    sharding = ir.Attribute.parse(f"#sdy.sharding<mesh<[]>, [{dimensions}]>")
    return sdy.ShardingConstraintOp(value, sharding).result


def _lowering(
    ctx: mlir.LoweringRuleContext,
    *operands: ir.Value,
    target: str,
    partitionable: bool,
    roles: Any,
    results: Any,
    attributes: Any,
) -> Sequence[ir.Value]:
    named = dict(attributes)
    current, axis = ctx.avals_in[0], named["axis"]
    # A symbolic shape adds an operand to the call, which no rule could match. Without one nobody would keep time whole,
    # and the kernel does not know how many steps to expect: so that call is no partitionable one, and gathered.
    has_rule = partitionable and all(isinstance(size, int) for size in current.shape)
    extra = {}
    if has_rule:
        batch = ir.DictAttr.get({"num_batch_dims": ir.StringAttr.get(str(current.ndim - 1))})
        extra = {
            "mhlo.frontend_attributes": batch,
            "sdy.sharding_rule": _sharding_rule(ctx, roles, results, named),
        }
    # FFI attributes are strict about their type, and a Python int has none.
    typed = {name: np.int64(value) for name, value in named.items()}
    constrained = has_rule and may_constrain_sharding(current)
    if constrained:
        operands = tuple(_keep_time_whole(o, r, current.ndim, axis) for o, r in zip(operands, roles, strict=True))
    outs = ffi.ffi_lowering(target, extra_attributes=extra)(ctx, *operands, **typed)
    if not constrained:
        return outs
    return [_keep_time_whole(o, r, current.ndim, axis) for o, r in zip(outs, results, strict=True)]


mlir.register_lowering(lif_call_p, _lowering)
