"""`spike`: the Heaviside step of x, whose derivative is `spike_derivative` of order 0.

    spike[family] x *parameters  ->  1 where x >= 0, else 0, of x's shape and dtype

The parameters belong to the surrogate. The value does not depend on them. They are operands because the derivative
depends on them, and because a changed operand does not recompile.
"""

from __future__ import annotations

from typing import Any

import jax
from jax import Array
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad

from spikegrad.kernel_policy import Policy, current_policy
from spikegrad.primitives.batching_rules import Batch, define_batching
from spikegrad.primitives.binding import bind, evaluate_by_jit
from spikegrad.primitives.heaviside_lowering import lower_to_heaviside
from spikegrad.primitives.operand_checks import check_parameters
from spikegrad.primitives.spike_derivative import spike_derivative_p

spike_p = Primitive("spike")
evaluate_by_jit(spike_p)


def spike(x: Array, *parameters: Array, family: str) -> Array:
    """Bind `spike`. The parameters have x's wide dtype, and rank 0 or x's rank and a shape that broadcasts to x."""
    return bind(spike_p, x, *parameters, family=family, kernels=current_policy())


@spike_p.def_abstract_eval
def _abstract_eval(x: ShapedArray, *parameters: ShapedArray, family: str, kernels: Policy) -> ShapedArray:
    check_parameters(x, parameters, family)
    return x


def _jvp(primals: Any, tangents: Any, *, family: str, kernels: Policy) -> tuple[Array, Any]:
    x, *parameters = primals
    spikes = bind(spike_p, x, *parameters, family=family, kernels=kernels)
    if isinstance(tangents[0], ad.Zero):
        return spikes, ad.Zero(jax.typeof(spikes).to_tangent_aval())
    return spikes, bind(spike_derivative_p, x, tangents[0], *parameters, family=family, order=0, kernels=kernels)


ad.primitive_jvps[spike_p] = _jvp


def _batch(axis_data: Any, operands: Any, dims: Any, *, family: str, kernels: Policy) -> tuple[Array, int]:
    (x, *parameters), (x_dim, *parameter_dims) = operands, dims
    batch = Batch(axis_data, x, x_dim, dim=0 if x_dim is None else x_dim)
    parameters = batch.parameters(parameters, parameter_dims)
    return bind(spike_p, batch.array(x, x_dim), *parameters, family=family, kernels=kernels), batch.dim


define_batching(spike_p, _batch)


lower_to_heaviside(spike_p)
