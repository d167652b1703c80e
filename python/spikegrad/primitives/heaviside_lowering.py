"""The lowering of `spike` and `sloped_spike`: the Heaviside step of the first operand."""

from __future__ import annotations

from typing import Any

from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import mlir

from spikegrad import ffi_targets, fused
from spikegrad.jax_versions import is_for_one_device
from spikegrad.kernel_policy import calls_kernel
from spikegrad.primitives.elementwise_call import KERNEL_DTYPES, elementwise_call


def _fused(x: Array, *_: Array, **params: Any) -> Array:
    return fused.heaviside(x)


def _kernel(x: Array, *_: Array, partitionable: bool, **params: Any) -> Array:
    return elementwise_call("spike", ffi_targets.HEAVISIDE, x, partitionable=partitionable)


_lower_to_fused = mlir.lower_fun(_fused, multiple_results=False)
_lower_to_kernel = mlir.lower_fun(_kernel, multiple_results=False)


def lower_to_heaviside(primitive: Primitive) -> None:
    """Register the lowerings: the fused form everywhere, and by the kernel policy the kernel where there is one."""

    def define(platform: str) -> None:
        def lower(ctx: mlir.LoweringRuleContext, *operands: Any, **params: Any) -> Any:
            x = ctx.avals_in[0]
            if x.dtype in KERNEL_DTYPES and calls_kernel(params["kernels"], platform, "spike", x):
                return _lower_to_kernel(ctx, *operands, partitionable=not is_for_one_device(ctx), **params)
            return _lower_to_fused(ctx, *operands, **params)

        mlir.register_lowering(primitive, lower, platform=platform)

    mlir.register_lowering(primitive, _lower_to_fused)
    for platform in ffi_targets.PLATFORMS:
        define(platform)
