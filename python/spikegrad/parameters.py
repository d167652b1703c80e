"""Checks and conversion of users' arguments: x, and the parameters of a surrogate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import ShapedArray
from jax.typing import ArrayLike

from spikegrad.fused import wide_dtype


def _wraps_array(value: Any) -> bool:
    return hasattr(value, "__jax_array__") and not isinstance(value, Array)


def _unwrapped(value: Any) -> Any:
    return value.__jax_array__() if _wraps_array(value) else value


def _not_real(name: str, value: Any) -> TypeError:
    return TypeError(f"{name} must be a real number or an array of them, and is {value!r}")


def as_number_or_array(name: str, value: Any) -> Any:
    """Return a JAX array for an object with `__jax_array__` and for a sequence of JAX arrays; else the value itself.

    NumPy cannot convert either of them under a trace.

    Raises:
        TypeError: a sequence of JAX arrays also holds something else than numbers, or is ragged.
    """
    if isinstance(value, (list, tuple)):
        leaves = jax.tree.leaves(value, is_leaf=_wraps_array)
        if any(isinstance(leaf, Array) or _wraps_array(leaf) for leaf in leaves):
            try:
                return jnp.asarray(jax.tree.map(_unwrapped, value, is_leaf=_wraps_array))
            except (TypeError, ValueError) as error:
                raise _not_real(name, value) from error
    return _unwrapped(value)


def as_input(x: ArrayLike, *, name: str = "x") -> Array:
    """Return x as a floating-point array. Integers and booleans become float32 (float64 where x64 is on).

    Raises:
        TypeError: x is complex or no number, or has a dtype without zero and sign.
    """
    x = as_number_or_array(name, x)
    # Skip `asarray` for arrays: on jax 0.8 it inserts a conversion that breaks explicit sharding under `vmap`.
    x = x if isinstance(x, Array) else jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real, and has dtype {x.dtype}")
    if x.dtype == jnp.float8_e8m0fnu:
        raise TypeError(f"{name} has dtype {x.dtype}, which has no 0 and no sign; convert it first")
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x
    if not jnp.issubdtype(x.dtype, jnp.integer) and x.dtype != jnp.bool:
        raise _not_real(name, x)
    return x.astype(jnp.result_type(float))


def check_real(name: str, value: Any) -> None:
    """Raise unless the value is a real number or an array of them. An asynchronous value is not waited for."""
    try:
        dtype = value.dtype if isinstance(value, Array) else np.asarray(value).dtype
    except ValueError as error:  # a ragged sequence
        raise _not_real(name, value) from error
    # The dtype of random keys has no `kind`, and int4 has kind "V".
    if not any(jnp.issubdtype(dtype, real) for real in (jnp.floating, jnp.integer)):
        raise _not_real(name, value)


def check_value(name: str, value: Any, *, positive: bool, dtype: Any = np.float64) -> None:
    """Raise where a concrete parameter is out of its range, as given or converted to dtype. Tracers pass.

    Raises:
        TypeError: the parameter is no real number.
        ValueError: the parameter is not finite; or it must be positive, and is below the smallest normal number.
    """
    check_real(name, value)
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    for held_in, where in ((np.float64, ""), (dtype, f" in {dtype}, in which it is held for this x")):
        with np.errstate(over="ignore", under="ignore"):
            held = values.astype(held_in)
        if not np.all(np.isfinite(held)):
            raise ValueError(f"{name} must be finite{where}, and is {value!r}")
        if positive and not np.all(held > 0):
            raise ValueError(f"{name} must be greater than 0{where}, and is {value!r}")
        # XLA flushes subnormal numbers to 0 on CPUs.
        smallest = np.finfo(held_in).tiny
        if positive and not np.all(held >= smallest):
            raise ValueError(f"{name} must be at least {smallest!s}{where}, and is {value!r}")


def as_parameter(name: str, value: ArrayLike, x: Array | ShapedArray, *, positive: bool = False) -> Array:
    """A parameter as the primitives take it: in x's wide dtype, of rank 0 or of x's rank."""
    wide = wide_dtype(x.dtype)
    value = as_number_or_array(name, value)
    check_value(name, value, positive=positive, dtype=wide)
    shape = np.shape(value)
    if len(shape) > x.ndim or any(p not in (1, s) for p, s in zip(shape[::-1], x.shape[::-1], strict=False)):
        raise ValueError(f"{name} of shape {shape} does not broadcast to x of shape {x.shape}")
    parameter = jnp.asarray(value, dtype=wide)
    return jnp.expand_dims(parameter, range(x.ndim - len(shape))) if shape else parameter


def as_field(value: Any) -> Any:
    """A parameter as a surrogate stores it: a concrete scalar as a float, a NumPy array as a read-only copy."""
    if isinstance(value, jax.core.Tracer):
        return value
    if np.ndim(value) == 0:
        return float(value)
    if isinstance(value, Array):
        return value
    array = np.array(value)
    array.setflags(write=False)
    return array


def same_field(a: Any, b: Any) -> bool:
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    a, b = np.asarray(a), np.asarray(b)
    return bool(a.dtype == b.dtype and np.array_equal(a, b))
