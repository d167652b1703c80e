"""The shapes of a lif layer: abstract values by kind, and the abstract evaluation of its primitives."""

from __future__ import annotations

from typing import Any, cast

from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.sharding import AxisType

from spikegrad.fused import wide_dtype
from spikegrad.primitives.batching_rules import without_dimension
from spikegrad.primitives.lif_operands import Kind, Layer, Signature
from spikegrad.primitives.operand_checks import check_parameters


def checkpoint_count(steps: int, every: int) -> int:
    """The number of checkpoints, including the one before step 0."""
    return (steps + every - 1) // every


def state_like(current: ShapedArray, axis: int) -> ShapedArray:
    """The abstract value of a state: one step of the current, in the wide dtype."""
    shape = (*current.shape[:axis], *current.shape[axis + 1 :])
    sharding = current.sharding
    if AxisType.Explicit in sharding.mesh.axis_types and sharding.spec[axis] is not None:
        raise ValueError(
            f"current is sharded over time, {current}: a neuron needs all of its steps. "
            "Reshard it with jax.sharding.reshard, so that time is whole"
        )
    sharding = without_dimension(sharding, current.ndim, axis)
    return current.update(shape=shape, dtype=wide_dtype(current.dtype), sharding=sharding, weak_type=False)


def like(kind: Kind, current: ShapedArray, layer: Layer) -> ShapedArray:
    """The abstract value of an operand or a result of this kind, other than a parameter."""
    axis = layer["axis"]
    if kind == "time":
        return current.update(weak_type=False)
    if kind == "state":
        return state_like(current, axis)
    shape = (*current.shape[:axis], checkpoint_count(current.shape[axis], layer["every"]), *current.shape[axis + 1 :])
    return current.update(shape=shape, dtype=wide_dtype(current.dtype), weak_type=False)


def check_like(name: str, operand: ShapedArray, expected: ShapedArray) -> None:
    """Raises unless the operand has the expected dtype, and rank 0 or the expected shape and sharding."""
    if operand.dtype != expected.dtype:
        raise TypeError(f"{name} must be {expected.dtype}, and is {operand.dtype}")
    if operand.ndim == 0:
        return
    if operand.shape != expected.shape:
        raise ValueError(f"{name} must have shape {expected.shape} or rank 0, and has shape {operand.shape}")
    explicit = AxisType.Explicit in expected.sharding.mesh.axis_types
    if explicit and operand.sharding != expected.sharding:
        raise ValueError(f"{name} must be sharded like {expected}, and is {operand}; see jax.sharding.reshard")


def define_abstract_eval(primitive: Primitive, signature: Signature) -> None:
    """Register the abstract evaluation: check the operands, and derive the results from the current."""

    def abstract_eval(*operands: ShapedArray, **params: Any) -> list[ShapedArray]:
        current, layer = operands[0], cast(Layer, params)
        for operand, (name, kind, *_) in zip(operands[1:], signature.named[1:], strict=False):
            check_like(name, operand, like(kind, current, layer))
        *_, parameters = signature.split(operands)
        check_parameters(state_like(current, layer["axis"]), parameters, layer["family"])
        return [like(kind, current, layer) for kind in signature.results(params)]

    primitive.def_abstract_eval(abstract_eval)
