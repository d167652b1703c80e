"""Differences between jax versions, and the check of jaxlib's version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jaxlib
from jax import lax
from jax.sharding import AxisType

OLDEST_JAXLIB = (0, 8, 0)
FIRST_UNKNOWN_JAXLIB = (0, 13, 0)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def check_jaxlib(jaxlib_of_headers: str, version: str = jaxlib.__version__) -> None:
    """Raise ImportError where jaxlib is too new, or too old for the Python code or for the modules' FFI headers.

    This check must run before any handler is registered. XLA checks a handler's FFI version when the backend starts,
    and one refused handler stops the whole backend.
    """
    oldest_jaxlib = max(OLDEST_JAXLIB, _numbers(jaxlib_of_headers))
    if oldest_jaxlib <= _numbers(version) < FIRST_UNKNOWN_JAXLIB:
        return
    oldest, unknown = (".".join(map(str, v)) for v in (oldest_jaxlib, FIRST_UNKNOWN_JAXLIB))
    raise ImportError(
        f"this spikegrad was built with the headers of jaxlib {jaxlib_of_headers}. It works with jaxlib >= {oldest} "
        f"and < {unknown}, and found jaxlib {version}. "
        f'Install a pair that fits: pip install "jax>={oldest},<{unknown}", or a newer spikegrad.'
    )


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
