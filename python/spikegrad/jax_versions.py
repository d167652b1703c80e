"""Differences between jax versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
from jax.sharding import AxisType


def varying_axes(x: Any) -> frozenset[str]:
    """The mesh axes over which x differs from device to device inside `shard_map`."""
    aval = jax.typeof(x)
    if hasattr(aval, "manual_axis_type"):  # jax >= 0.10
        return frozenset(aval.manual_axis_type.varying)
    return frozenset(aval.vma)


def to_varying(x: Any, axes: Sequence[str]) -> Any:
    """x, cast to varying over `axes` too."""
    if hasattr(lax, "pcast"):  # jax >= 0.8.2
        return lax.pcast(x, tuple(axes), to="varying")
    return lax.pvary(x, tuple(axes))


def is_for_one_device(context: Any) -> bool:
    """Whether a lowering context belongs to a program for one device; False where jax does not say.

    `jit` of one device has a `ShardingContext` with that number. `shard_map` and `pmap` have a context without it.
    """
    axis_context = getattr(context.module_context, "axis_context", None)
    return getattr(axis_context, "num_devices", None) == 1


def may_constrain_sharding(aval: Any) -> bool:
    """Whether a lowering may hold an open sharding constraint: in manual axes, jax before 0.10 aborts the process."""
    manual = AxisType.Manual in aval.sharding.mesh.axis_types
    return not manual or hasattr(aval, "manual_axis_type")


def set_user_context(context: Any, value: Any) -> None:
    """Set the value of `context` in every thread that is not inside a `with` block of it."""
    if hasattr(context, "set_global"):  # jax >= 0.10
        context.set_global(value)
    else:
        # jax 0.8 and 0.9 have no public name for this. They are released and will not change.
        context._obj.set_global(value)
