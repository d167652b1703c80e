"""The lowering that `spike` and `sloped_spike` share: the step of the first operand, whatever the others are."""

from __future__ import annotations

from typing import Any

from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import mlir

from spikegrad import fused, targets
from spikegrad.primitives.elementwise_call import KERNEL_DTYPES, elementwise_call


def _fused(x: Array, *_: Array, **params: Any) -> Array:
    return fused.heaviside(x)


def _kernel(x: Array, *_: Array, **params: Any) -> Array:
    return elementwise_call("spike", targets.HEAVISIDE, x)


_lower_to_fused = mlir.lower_fun(_fused, multiple_results=False)
_lower_to_kernel = mlir.lower_fun(_kernel, multiple_results=False)


def _lower_where_kernels_are(ctx: mlir.LoweringRuleContext, *operands: Any, **params: Any) -> Any:
    use_kernel = params["kernels"] and ctx.avals_in[0].dtype in KERNEL_DTYPES
    return (_lower_to_kernel if use_kernel else _lower_to_fused)(ctx, *operands, **params)


def lower_to_heaviside(primitive: Primitive) -> None:
    mlir.register_lowering(primitive, _lower_to_fused)
    for platform in targets.PLATFORMS:
        mlir.register_lowering(primitive, _lower_where_kernels_are, platform=platform)
