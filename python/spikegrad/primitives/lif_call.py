"""`lif_call`: the primitive behind the kernels of lif, which exists only inside lowerings.

States get a dimension of size 1 in the place of time.

As in `elementwise_call.py`, its task in a program for several devices is that the partitioners leave the call where its
operands are: here along every dimension but time. So the arrays get a last dimension of size 1. The sharding rule has
one factor for each dimension of the current. The place of time has another size in states and checkpoints, so each of
them has one more factor. A constraint keeps time and checkpoints whole: an array that is sharded over time is gathered
before the call, and the handler refuses a current that lacks steps.
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
from spikegrad.primitives.lif_operands import KernelLayer, Kind
from spikegrad.primitives.lif_shapes import checkpoint_count

lif_call_p = Primitive("lif_call")
lif_call_p.multiple_results = True

_RESETS = {None: 0, "subtract": 1, "zero": 2}
_STEP_ORDERS = {"charge_fire_reset": 0, "reset_undecayed": 1, "fire_charge": 2}
"""As in csrc/neurons/neuron.h."""


def lif_call(
    name: str,
    target: str,
    operands: Sequence[tuple[Kind, Array]],
    results: Sequence[Kind],
    layer: KernelLayer,
    flags: Mapping[str, bool] = MappingProxyType({}),
) -> list[Array]:
    """Call the kernel `target`, whose first operand is the current.

    XLA's program and profiles show `name`, the name of the primitive that is lowered. `flags` are further attributes of
    the target.
    """
    current, axis = operands[0][1], layer["axis"]

    def units(kind: Kind) -> tuple[int, ...]:
        return (axis,) * (kind == "state") + (current.ndim,) * layer["partitionable"]

    def with_units(kind: Kind, operand: Array) -> Array:
        return lax.expand_dims(operand, units(kind)) if operand.ndim and units(kind) else operand

    has_checkpoints = "checkpoints" in (*results, *(kind for kind, _ in operands))
    steps = current.shape[axis]
    attributes = {
        "axis": axis,
        "steps": steps if isinstance(steps, int) else -1,
        "step_order": _STEP_ORDERS[layer["step_order"]],
        "reset": _RESETS[layer["reset"]],
        "detach_reset": int(layer["detach_reset"]),
        "every": layer["every"] if has_checkpoints else 0,
        **{name: int(flag) for name, flag in flags.items()},
    }
    with jax.named_scope(name):
        outs = bind(
            lif_call_p,
            *(with_units(kind, operand) for kind, operand in operands),
            target=target,
            partitionable=layer["partitionable"],
            kinds=tuple(kind for kind, _ in operands),
            results=tuple(results),
            attributes=tuple(sorted(attributes.items())),
        )
    return [lax.squeeze(out, units(kind)) if units(kind) else out for kind, out in zip(results, outs, strict=True)]


def _size(kind: Kind, current: ShapedArray, attributes: Mapping[str, int]) -> Any:
    """The size of the place of time."""
    if kind == "state":
        return 1
    steps = current.shape[attributes["axis"]]
    return steps if kind == "time" else checkpoint_count(steps, attributes["every"])


@lif_call_p.def_abstract_eval
def _abstract_eval(
    current: ShapedArray, *_: ShapedArray, results: Any, attributes: Any, **params: Any
) -> list[ShapedArray]:
    named = dict(attributes)
    axis = named["axis"]

    def result(kind: Kind) -> ShapedArray:
        shape = (*current.shape[:axis], _size(kind, current, named), *current.shape[axis + 1 :])
        return current.update(shape=shape, dtype=current.dtype if kind == "time" else wide_dtype(current.dtype))

    return [result(kind) for kind in results]


def _sharding_rule(
    ctx: mlir.LoweringRuleContext, operands: Sequence[Kind], results: Sequence[Kind], attributes: Mapping[str, int]
) -> ir.Attribute:
    current, axis = ctx.avals_in[0], attributes["axis"]
    arrays = [*zip(operands, ctx.avals_in, strict=True), *zip(results, ctx.avals_out, strict=True)]
    sizes = list(current.shape)
    along_time: dict[Kind, int] = {"time": axis}
    others: tuple[Kind, ...] = ("state", "checkpoints")
    for kind in others:
        if any(kind == of_array and aval.ndim for of_array, aval in arrays):
            along_time[kind] = len(sizes)
            sizes.append(_size(kind, current, attributes))

    def mapping(kind: Kind, aval: ShapedArray) -> sdy.TensorMappingAttr:
        factors = [along_time[kind] if i == axis else i for i in range(aval.ndim)]
        return sdy.TensorMappingAttr.get([sdy.DimMappingAttr.get(factor_indices=[i]) for i in factors])

    mappings = [mapping(kind, aval) for kind, aval in arrays]
    return sdy.OpShardingRuleAttr.get(
        factor_sizes=sizes,
        operand_mappings=mappings[: len(operands)],
        result_mappings=mappings[len(operands) :],
        is_custom=True,
    )


def _keep_time_whole(value: ir.Value, kind: Kind, aval: ShapedArray, axis: int) -> ir.Value:
    if kind not in ("time", "checkpoints") or aval.ndim == 0:
        return value
    dimensions = ", ".join("{}" if i == axis else "{?}" for i in range(aval.ndim))
    sharding = ir.Attribute.parse(f"#sdy.sharding<mesh<[]>, [{dimensions}]>")
    return sdy.ShardingConstraintOp(value, sharding).result


def _lowering(
    ctx: mlir.LoweringRuleContext,
    *operands: ir.Value,
    target: str,
    partitionable: bool,
    kinds: tuple[Kind, ...],
    results: tuple[Kind, ...],
    attributes: tuple[tuple[str, int], ...],
) -> Sequence[ir.Value]:
    named = dict(attributes)
    current, axis = ctx.avals_in[0], named["axis"]
    # A symbolic shape adds an operand to the call, which no rule could match. Without a rule the partitioners could
    # split time, and the kernel would not notice: so this call is not partitionable, and its operands are gathered.
    has_rule = partitionable and all(isinstance(size, int) for size in current.shape)
    extra = {}
    if has_rule:
        batch = ir.DictAttr.get({"num_batch_dims": ir.StringAttr.get(str(current.ndim - 1))})
        extra = {
            "mhlo.frontend_attributes": batch,
            "sdy.sharding_rule": _sharding_rule(ctx, kinds, results, named),
        }
    # FFI attributes are strict about their type, and a Python int has none.
    typed = {name: np.int64(value) for name, value in named.items()}
    call = ffi.ffi_lowering(target, extra_attributes=extra)
    if not (has_rule and may_constrain_sharding(current)):
        return call(ctx, *operands, **typed)
    inputs = zip(operands, kinds, ctx.avals_in, strict=True)
    outs = call(ctx, *(_keep_time_whole(*array, axis) for array in inputs), **typed)
    outputs = zip(outs, results, ctx.avals_out, strict=True)
    return [_keep_time_whole(*array, axis) for array in outputs]


mlir.register_lowering(lif_call_p, _lowering)
