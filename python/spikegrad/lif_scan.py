"""A layer with a surrogate that has no kernel: `lax.scan`, compiled once for equal surrogates.

Outside `jit`, `lax.scan` compiles each new step function, and jax keeps the compiled program: about 2 MiB a call that
`jax.clear_caches` does not free. `jax.jit` keeps nothing once its function is gone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import jax
from jax import Array

from spikegrad import fused

KEPT_SCANS = 32
"""The compiled scans that are kept, each for one surrogate: some 2 MiB for each shape."""


def compiled_scan(surrogate: Callable[[Array], Array]) -> Callable[..., tuple[Array, Array, Array]]:
    """Return `scan(current, decay, threshold, v0, *, order, reset, detach_reset)` for a spike that JAX can trace.

    It returns the spikes, the final membrane and the membrane of each step.
    """
    try:
        return _kept_scan(_Snapshot(surrogate))
    except TypeError:  # something cannot be hashed
        return _new_scan(surrogate)


class _Snapshot:
    """A surrogate as a key: equal to another one if the surrogates and their attributes are equal.

    Without the attributes, an object that was changed in place would get the scan of its earlier values.
    """

    def __init__(self, surrogate: Callable[[Array], Array]):
        self.surrogate = surrogate
        self._key = (surrogate, _attributes(surrogate))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Snapshot) and self._key == other._key


def _attributes(value: Any) -> tuple[Any, ...]:
    if isinstance(value, MethodType):
        return value.__self__, *_attributes(value.__self__)
    if isinstance(value, FunctionType):
        return tuple(cell.cell_contents for cell in value.__closure__ or ())
    slots = [cls.__dict__.get("__slots__", ()) for cls in type(value).__mro__]
    of_slots = (name for names in slots for name in ((names,) if isinstance(names, str) else names))
    # `functools.wraps` copies names like `__annotations__`, which cannot be hashed and change nothing.
    names = [name for name in (*getattr(value, "__dict__", ()), *of_slots) if not name.startswith("__")]
    return tuple((name, getattr(value, name, None)) for name in names)


@functools.lru_cache(maxsize=KEPT_SCANS)
def _kept_scan(snapshot: _Snapshot) -> Callable[..., tuple[Array, Array, Array]]:
    return _new_scan(snapshot.surrogate)


def _new_scan(surrogate: Callable[[Array], Array]) -> Callable[..., tuple[Array, Array, Array]]:
    def lif_scan(*operands: Array, order: str, reset: str | None, detach_reset: bool) -> tuple[Array, Array, Array]:
        outs = fused.lif(surrogate, *operands, order=order, reset=reset, detach_reset=detach_reset)
        return outs[:3]

    return jax.jit(lif_scan, static_argnames=("order", "reset", "detach_reset"))
