"""`spike_derivative`: a derivative of a surrogate times a cotangent. The primitive is closed under differentiation.

    spike_derivative[family, order] x t *parameters  ->  t g^(order)(x), of x's shape and dtype

Order -1 is the integral of g from -infinity, the smooth function behind a surrogate. It has the same rules.

The primitive is linear in t, which has x's shape or rank 0. With rank 0, `surrogate_grad`, Jacobians and batching need
no array of ones. The transpose is the primitive itself. The JVP in x is the primitive at the next order. The JVPs in
the parameters are the primitive again, by the closed forms of families.py.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.extend.core.primitives import mul_p
from jax.interpreters import ad, mlir

from spikegrad import ffi_targets
from spikegrad.fused import Exponent, wide_dtype
from spikegrad.jax_versions import is_for_one_device
from spikegrad.kernel_policy import Policy, calls_kernel, current_policy
from spikegrad.primitives.batching_rules import Batch, define_batching
from spikegrad.primitives.binding import bind, evaluate_by_jit
from spikegrad.primitives.elementwise_call import KERNEL_DTYPES, elementwise_call
from spikegrad.primitives.families import FAMILIES
from spikegrad.primitives.operand_checks import check_parameters

HIGHEST_ORDER = 64
"""Equals kHighestOrder in csrc/math/family.h, which gives the reason."""

spike_derivative_p = Primitive("spike_derivative")
evaluate_by_jit(spike_derivative_p)


def spike_derivative(x: Array, t: Array, *parameters: Array, family: str, order: int) -> Array:
    """Bind `spike_derivative`. t has x's dtype; the parameters are as for `spike`."""
    kernels = current_policy()
    return bind(spike_derivative_p, x, t, *parameters, family=family, order=order, kernels=kernels)


@spike_derivative_p.def_abstract_eval
def _abstract_eval(
    x: ShapedArray, t: ShapedArray, *parameters: ShapedArray, family: str, order: int, kernels: Policy
) -> ShapedArray:
    check_parameters(x, parameters, family)
    if not -1 <= order <= HIGHEST_ORDER:
        raise ValueError(f"the order of a surrogate's derivative must be from -1 to {HIGHEST_ORDER}, and is {order}")
    if t.ndim == 0:
        if t.dtype != x.dtype:
            raise TypeError(f"t must have the dtype of x, {x.dtype}, and has {t.dtype}")
        return x
    # Refuse what lax.mul refuses for x * t: other shapes, dtypes, explicit shardings.
    mul_p.abstract_eval(x, t)
    return x


def _jvp(primals: Any, tangents: Any, *, family: str, order: int, kernels: Policy) -> tuple[Array, Any]:
    x, t, *parameters = primals
    x_dot, t_dot, *parameter_dots = tangents
    derivative = functools.partial(bind, spike_derivative_p, family=family, kernels=kernels)
    out = derivative(x, t, *parameters, order=order)
    terms = []
    if not isinstance(t_dot, ad.Zero):
        terms.append(derivative(x, t_dot, *parameters, order=order))
    if not all(isinstance(dot, ad.Zero) for dot in (x_dot, *parameter_dots)):
        # Compute these products in the wide dtype and round once. In float16, x_dot * t and sigma * g'' can overflow
        # although the whole product does not.
        wide = wide_dtype(out.dtype)
        wide_x, wide_t = lax.convert_element_type(x, wide), lax.convert_element_type(t, wide)
        wide_terms = []
        if not isinstance(x_dot, ad.Zero):
            wide_t_dot = lax.convert_element_type(x_dot, wide) * wide_t
            wide_terms.append(derivative(wide_x, wide_t_dot, *parameters, order=order + 1))
        wide_derivative = functools.partial(derivative, wide_x, wide_t)
        for i, dot in enumerate(parameter_dots):
            if not isinstance(dot, ad.Zero):
                jvp = FAMILIES[family].parameter_jvp(wide_derivative, wide_x, parameters, i, order, dot)
                wide_terms.append(jvp)
        terms.append(lax.convert_element_type(functools.reduce(lax.add, wide_terms), out.dtype))
    if not terms:
        return out, ad.Zero(jax.typeof(out).to_tangent_aval())
    return out, functools.reduce(lax.add, terms)


ad.primitive_jvps[spike_derivative_p] = _jvp


def _transpose(cotangent: Any, x: Any, t: Any, *parameters: Any, family: str, order: int, kernels: Policy) -> list[Any]:
    assert not any(map(ad.is_undefined_primal, (x, *parameters))), "spike_derivative is linear in t alone"
    if isinstance(cotangent, ad.Zero):
        t_bar = ad.Zero(t.aval)
    else:
        t_bar = bind(spike_derivative_p, x, cotangent, *parameters, family=family, order=order, kernels=kernels)
        t_bar = t_bar if t.aval.ndim else jnp.sum(t_bar)
    return [None, t_bar, *[None] * len(parameters)]


ad.primitive_transposes[spike_derivative_p] = _transpose


def _batch(axis_data: Any, operands: Any, dims: Any, *, family: str, order: int, kernels: Policy) -> tuple[Array, int]:
    x, t, *parameters = operands
    x_dim, t_dim, *parameter_dims = dims
    t_rank = t.ndim - (t_dim is not None)
    t_has_x_shape = t_rank == x.ndim - (x_dim is not None)
    dim = x_dim if x_dim is not None else t_dim if t_dim is not None and t_has_x_shape else 0
    batch = Batch(axis_data, x, x_dim, dim)
    g_is_mapped = any(d is not None for d in (x_dim, *parameter_dims))
    if g_is_mapped:
        x_batched, parameters = batch.array(x, x_dim), batch.parameters(parameters, parameter_dims)
    else:
        x_batched = x
    derivative = functools.partial(bind, spike_derivative_p, family=family, order=order, kernels=kernels)

    if g_is_mapped and t_dim is not None and t_has_x_shape:
        return derivative(x_batched, batch.array(t, t_dim), *parameters), dim
    if g_is_mapped and t_dim is None and t_rank == 0:
        return derivative(x_batched, t, *parameters), dim
    # Only one of g and t has the mapped dimension. Compute g at t = 1 on the unbatched x, and multiply by t: XLA fuses
    # the product with the broadcast. The wide dtype makes a half round once here too.
    wide = wide_dtype(x.dtype)
    g = derivative(lax.convert_element_type(x_batched, wide), jnp.ones((), wide), *parameters)
    product = batch.array(g, dim if g_is_mapped else None) * batch.array(lax.convert_element_type(t, wide), t_dim)
    return lax.convert_element_type(product, x.dtype), dim


define_batching(spike_derivative_p, _batch)


def _fused(
    x: Array, t: Array, *parameters: Array, family: str, order: int, kernels: Policy, exponent: Exponent
) -> Array:
    return FAMILIES[family].derivative(x, t, *parameters, order=order, exponent=exponent)


def _kernel(
    x: Array, t: Array, *parameters: Array, family: str, order: int, kernels: Policy, partitionable: bool
) -> Array:
    target = ffi_targets.derivative_of(family)
    return elementwise_call("spike_derivative", target, x, t, *parameters, partitionable=partitionable, order=order)


_lower_to_kernel = mlir.lower_fun(_kernel, multiple_results=False)


def _define_lowering(platform: str | None, exponent: Exponent) -> None:
    lower_to_fused = mlir.lower_fun(functools.partial(_fused, exponent=exponent), multiple_results=False)

    def lower(ctx: mlir.LoweringRuleContext, *operands: Any, **params: Any) -> Any:
        x, _, *parameters = ctx.avals_in
        scalars = all(parameter.ndim == 0 for parameter in parameters)
        has_kernel = platform is not None and scalars and x.dtype in KERNEL_DTYPES and params["order"] >= 0
        if has_kernel and calls_kernel(params["kernels"], str(platform), "spike_derivative", x):
            return _lower_to_kernel(ctx, *operands, partitionable=not is_for_one_device(ctx), **params)
        return lower_to_fused(ctx, *operands, **params)

    mlir.register_lowering(spike_derivative_p, lower, platform=platform)


_define_lowering(None, exponent="split")
for _platform in ffi_targets.PLATFORMS:
    _define_lowering(_platform, exponent="float64" if _platform == "cpu" else "split")
