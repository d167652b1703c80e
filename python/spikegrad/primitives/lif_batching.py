"""The batching of the primitives of a lif layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import Array
from jax.extend.core import Primitive

from spikegrad.primitives.batching_rules import Batch, define_batching
from spikegrad.primitives.binding import bind
from spikegrad.primitives.lif_operands import Kind, Signature


def define_layer_batching(primitive: Primitive, signature: Signature) -> None:
    """Register the batching rule: the same primitive over arrays with one more dimension."""

    def rule(axis_data: Any, operands: Any, dims: Any, **params: Any) -> tuple[list[Array], list[int]]:
        batch = BatchedLayer(axis_data, signature.kinds(operands), operands, dims, params["axis"])
        outs = bind(primitive, *batch.operands, **{**params, "axis": batch.axis})
        return outs, [batch.state_dim if kind == "state" else batch.dim for kind in signature.results(params)]

    define_batching(primitive, rule)


class BatchedLayer:
    """The operands of a primitive, each with the mapped dimension. The first is the current.

    The mapped dimension goes where no transpose is needed: to its place in the current, else in another array over
    time, else in a state, else right after time.
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
