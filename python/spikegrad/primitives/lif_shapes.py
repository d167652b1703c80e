"""The shapes of a lif layer, and what its primitives share: the layer's parameters, and batching.

Arrays over time have the current's shape. Along its axis of time, checkpoints have their number of rows; what a neuron
has once, its state, lacks the axis. Where a scalar may stand for an array it has rank 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from jax import Array
from jax.core import ShapedArray
from jax.sharding import AxisType

from spikegrad.fused import wide_dtype
from spikegrad.kernel_policy import Policy
from spikegrad.primitives.batching_rules import Batch, without_dimension

Kind = str
"""What an operand of a primitive is: "time", "checkpoints", "state" (see above), or a "parameter" of the surrogate."""


class Layer(TypedDict):
    """The static parameters that the primitives of a layer share.

    Attributes:
        axis: that of time.
        every: steps from one checkpoint to the next.
        family: that of the surrogate.
    """

    axis: int
    order: str
    reset: str | None
    detach_reset: bool
    every: int
    family: str
    kernels: Policy


class KernelLayer(Layer):
    """The same for a kernel.

    Attributes:
        partitionable: whether the program may run on several devices.
    """

    partitionable: bool


def checkpoint_count(steps: int, every: int) -> int:
    """The checkpoints of so many steps, the one before step 0 included."""
    return (steps + every - 1) // every


def checkpoints_like(current: ShapedArray, axis: int, every: int) -> ShapedArray:
    shape = (*current.shape[:axis], checkpoint_count(current.shape[axis], every), *current.shape[axis + 1 :])
    return current.update(shape=shape, dtype=wide_dtype(current.dtype), weak_type=False)


def state_like(current: ShapedArray, axis: int) -> ShapedArray:
    shape = (*current.shape[:axis], *current.shape[axis + 1 :])
    sharding = current.sharding
    if AxisType.Explicit in sharding.mesh.axis_types and sharding.spec[axis] is not None:
        raise ValueError(
            f"current is sharded over time, {current}: a neuron needs all of its steps. "
            "Reshard it with jax.sharding.reshard, so that time is whole"
        )
    sharding = without_dimension(sharding, current.ndim, axis)
    return current.update(shape=shape, dtype=wide_dtype(current.dtype), sharding=sharding, weak_type=False)


def over_time_like(current: ShapedArray) -> ShapedArray:
    return current.update(weak_type=False)


def check_like(name: str, operand: ShapedArray, expected: ShapedArray) -> None:
    """Raises unless the operand is a scalar of the dtype expected, or like what is expected in shape and sharding."""
    if operand.dtype != expected.dtype:
        raise TypeError(f"{name} must be {expected.dtype}, and is {operand.dtype}")
    if operand.ndim == 0:
        return
    if operand.shape != expected.shape:
        raise ValueError(f"{name} must have shape {expected.shape} or rank 0, and has shape {operand.shape}")
    explicit = AxisType.Explicit in expected.sharding.mesh.axis_types
    if explicit and operand.sharding != expected.sharding:
        raise ValueError(f"{name} must be sharded like {expected}, and is {operand}; see jax.sharding.reshard")


class BatchedLayer:
    """The operands of a primitive with the mapped dimension that they lack; current is the first.

    It goes where it needs no transposition: where the current has it, else where another array over time or a state
    has it. The axis of time follows.
    """

    def __init__(
        self, axis_data: Any, kinds: Sequence[Kind], operands: Sequence[Array], dims: Sequence[int | None], axis: int
    ):
        current, current_dim = operands[0], dims[0]
        rank = current.ndim - (current_dim is not None)
        dim = current_dim
        if dim is None:
            dim = self._dim_of_others(kinds, operands, dims, axis, rank)
        self.dim = dim
        self.axis = axis + (dim <= axis)
        over_time = Batch(axis_data, current, current_dim, dim)
        state = over_time.without(self.axis)
        self.state_dim = state.dim

        def batched(kind: Kind, operand: Array, operand_dim: int | None) -> Array:
            if kind == "parameter":
                return state.parameter(operand, operand_dim)
            if operand_dim is None and operand.ndim == 0:
                return operand
            if kind == "checkpoints":
                count = operand.shape[axis + (operand_dim is not None and operand_dim <= axis)]
                return over_time.with_size(self.axis, count).array(operand, operand_dim)
            return (state if kind == "state" else over_time).array(operand, operand_dim)

        self.operands = [batched(k, o, d) for k, o, d in zip(kinds, operands, dims, strict=True)]

    @staticmethod
    def _dim_of_others(
        kinds: Sequence[Kind], operands: Sequence[Array], dims: Sequence[int | None], axis: int, rank: int
    ) -> int:
        for kind, operand, dim in zip(kinds, operands, dims, strict=True):
            if dim is not None and kind in ("time", "checkpoints") and operand.ndim == rank + 1:
                return dim
        for kind, operand, dim in zip(kinds, operands, dims, strict=True):
            if dim is not None and kind == "state" and operand.ndim == rank:
                return dim if dim < axis else dim + 1
        return axis + 1
