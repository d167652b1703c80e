"""Batching: give operands the mapped dimension that they lack."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import batching
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Rule = Callable[..., tuple[Any, Any]]


def define_batching(primitive: Primitive, rule: Rule) -> None:
    """Register `rule(axis_data, operands, dims, **params)`.

    Only a rule of this kind receives the mesh axis that is mapped. jax also calls it where no operand is mapped, and
    with Python numbers as operands (the tangent 1.0 of `jax.jvp(f, (x,), (1.0,))`).
    """

    def rule_where_mapped(axis_data: Any, operands: Any, dims: Any, **params: Any) -> tuple[Any, Any]:
        if all(dim is None for dim in dims):
            out = primitive.bind(*operands, **params)
            return out, [None] * len(out) if primitive.multiple_results else None
        arrays = [operand if isinstance(operand, Array) else jnp.asarray(operand) for operand in operands]
        return rule(axis_data, arrays, dims, **params)

    batching.fancy_primitive_batchers[primitive] = rule_where_mapped


def without_dimension(sharding: NamedSharding, rank: int, axis: int) -> NamedSharding:
    """The sharding that an array of this rank has after one dimension is removed."""
    spec = [*sharding.spec, *[None] * (rank - len(sharding.spec))]
    del spec[axis]
    return NamedSharding(sharding.mesh, PartitionSpec(*spec))


class Batch:
    """The result of a batched call: x's shape with the mapped dimension at `dim`."""

    def __init__(self, axis_data: Any, x: Array, x_dim: int | None, dim: int):
        self.dim = dim
        sharding = jax.typeof(x).sharding
        if x_dim is None:
            self.shape = (*x.shape[:dim], axis_data.size, *x.shape[dim:])
            spec = [*sharding.spec, *[None] * (x.ndim - len(sharding.spec))]
            spec.insert(dim, axis_data.explicit_mesh_axis)
            sharding = NamedSharding(sharding.mesh, PartitionSpec(*spec))
        else:
            assert dim == x_dim
            self.shape = x.shape
        # Otherwise the new dimension of an explicitly sharded array is replicated, and an all-gather follows.
        self.sharding = sharding if AxisType.Explicit in sharding.mesh.axis_types else None

    def without(self, axis: int) -> Batch:
        """The result of the same call for an x without one of its unmapped dimensions."""
        lesser = copy.copy(self)
        lesser.dim = self.dim - (axis < self.dim)
        lesser.shape = (*self.shape[:axis], *self.shape[axis + 1 :])
        lesser.sharding = self.sharding and without_dimension(self.sharding, len(self.shape), axis)
        return lesser

    def with_size(self, axis: int, size: int) -> Batch:
        """The same result with another size of one unsharded dimension."""
        other = copy.copy(self)
        other.shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        return other

    def array(self, operand: Array, operand_dim: int | None) -> Array:
        """An operand of x's shape or rank 0, mapped or not, broadcast to the result. XLA fuses the broadcast."""
        if operand_dim is not None and operand.ndim == len(self.shape):
            return jnp.moveaxis(operand, operand_dim, self.dim)
        if operand_dim is not None:
            dimensions = [self.dim]
        elif operand.ndim == 0:
            dimensions = []
        else:
            dimensions = [i for i in range(len(self.shape)) if i != self.dim]
        return lax.broadcast_in_dim(operand, self.shape, dimensions, out_sharding=self.sharding)

    def parameter(self, operand: Array, operand_dim: int | None) -> Array:
        """A parameter as the primitives take it: of rank 0, or of the result's rank and broadcasting to it."""
        rank = len(self.shape)
        if operand_dim is None:
            return lax.expand_dims(operand, (self.dim,)) if operand.ndim else operand
        if operand.ndim == rank:
            return jnp.moveaxis(operand, operand_dim, self.dim)
        return lax.expand_dims(operand, [i for i in range(rank) if i != self.dim])

    def parameters(self, operands: Sequence[Array], dims: Sequence[int | None]) -> list[Array]:
        return [self.parameter(operand, dim) for operand, dim in zip(operands, dims, strict=True)]
