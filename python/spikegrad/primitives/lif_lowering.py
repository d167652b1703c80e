"""The lowerings of the primitives of a lif layer: a kernel, or the scan of fused.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import AxisType

from spikegrad import ffi_targets, fused
from spikegrad.jax_versions import is_for_one_device
from spikegrad.kernel_policy import calls_kernel
from spikegrad.primitives.binding import bind
from spikegrad.primitives.elementwise_call import KERNEL_DTYPES
from spikegrad.primitives.lif_operands import Kind, Layer, Signature
from spikegrad.primitives.lif_shapes import state_like
from spikegrad.primitives.spike import spike_p


def scan_of(parameters: Sequence[Array], layer: Layer) -> Callable[..., tuple[Array, Array, Array, Array]]:
    """The scan (current, decay, threshold, v0) -> (spikes, v_final, membrane, v before each step)."""
    axis = layer["axis"]

    def spike(z: Array) -> Array:
        return bind(spike_p, z, *parameters, family=layer["family"], kernels=layer["kernels"])

    def scan(current: Array, decay: Array, threshold: Array, v0: Array) -> tuple[Array, Array, Array, Array]:
        spikes, v_final, membrane, before = fused.lif(
            spike,
            jnp.moveaxis(current, axis, 0),
            decay,
            threshold,
            v0,
            step_order=layer["step_order"],
            reset=layer["reset"],
            detach_reset=layer["detach_reset"],
        )
        over_time = (jnp.moveaxis(array, 0, axis) for array in (spikes, membrane, before))
        spikes, membrane, before = over_time
        return spikes, v_final, membrane, before

    return scan


def as_arrays(operands: Sequence[Array], kinds: Sequence[Kind], current: Array, axis: int) -> list[Array]:
    """The operands, each scalar broadcast to the array for which it stands."""
    over_time = jax.typeof(current)
    like = {"time": over_time, "state": state_like(over_time, axis)}

    def as_array(operand: Array, kind: Kind) -> Array:
        if operand.ndim == like[kind].ndim:
            return operand
        sharding = like[kind].sharding
        explicit = AxisType.Explicit in sharding.mesh.axis_types
        return lax.broadcast_in_dim(operand, like[kind].shape, (), out_sharding=sharding if explicit else None)

    return [as_array(operand, kind) for operand, kind in zip(operands, kinds, strict=True)]


def define_lowering(
    primitive: Primitive, signature: Signature, kernel: Callable[..., list[Array]], scan: Callable[..., list[Array]]
) -> None:
    """Register the scan everywhere, and by the kernel policy the kernel on the platforms that have one."""
    to_kernel = mlir.lower_fun(kernel, multiple_results=True)
    to_scan = mlir.lower_fun(scan, multiple_results=True)

    def define(platform: str) -> None:
        def lower(ctx: mlir.LoweringRuleContext, *operands: Any, **params: Any) -> Any:
            current, steps = ctx.avals_in[0], ctx.avals_in[0].shape[params["axis"]]
            *_, parameters = signature.split(ctx.avals_in)
            scalars = all(parameter.ndim == 0 for parameter in parameters)
            has_kernel = scalars and current.dtype in KERNEL_DTYPES
            if has_kernel and calls_kernel(params["kernels"], platform, "lif", current, steps):
                return to_kernel(ctx, *operands, partitionable=not is_for_one_device(ctx), **params)
            return to_scan(ctx, *operands, **params)

        mlir.register_lowering(primitive, lower, platform=platform)

    mlir.register_lowering(primitive, to_scan)
    for platform in ffi_targets.PLATFORMS:
        define(platform)
