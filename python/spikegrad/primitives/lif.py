"""`lif`: a layer of leaky integrate-and-fire neurons through all of time, whose derivative is `lif_tangent`.

    lif  current decay threshold v0 *parameters  ->  spikes v_final [checkpoints] [membrane]

The parameters are those of the surrogate, operands for the reason that spike.py gives. Checkpoints, v before every k-th
step, are put out where somebody differentiates: they are all that reverse mode keeps beside the operands.
"""

from __future__ import annotations

from typing import Any, Unpack

import jax
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad

from spikegrad import targets
from spikegrad.kernel_policy import current_policy
from spikegrad.primitives.batching_rules import define_batching
from spikegrad.primitives.binding import bind, evaluate_by_jit
from spikegrad.primitives.lif_call import Role, lif_call
from spikegrad.primitives.lif_derivative import OPERANDS, instantiated, lif_tangent_p, moving_ones
from spikegrad.primitives.lif_lowering import as_arrays, define_lowering, kernel_attributes, scan_of
from spikegrad.primitives.lif_shapes import (
    BatchedLayer,
    KernelLayer,
    Kind,
    Layer,
    check_like,
    checkpoints_like,
    over_time_like,
    state_like,
)
from spikegrad.primitives.operand_checks import check_parameters

lif_p = Primitive("lif")
lif_p.multiple_results = True
evaluate_by_jit(lif_p)

_KINDS: tuple[Kind, ...] = ("time", "state", "state", "state")


def lif(
    current: Array,
    decay: Array,
    threshold: Array,
    v0: Array,
    *parameters: Array,
    order: str,
    reset: str | None,
    detach_reset: bool,
    every: int,
    family: str,
    membrane: bool,
) -> list[Array]:
    """Binds `lif`; time is axis 0; decay, threshold and v0 have the current's wide dtype, and no time or rank 0."""
    return bind(
        lif_p,
        current,
        decay,
        threshold,
        v0,
        *parameters,
        axis=0,
        order=order,
        reset=reset,
        detach_reset=detach_reset,
        every=every,
        family=family,
        checkpoints=False,
        membrane=membrane,
        kernels=current_policy(),
    )


@lif_p.def_abstract_eval
def _abstract_eval(
    *operands: ShapedArray, checkpoints: bool, membrane: bool, **layer: Unpack[Layer]
) -> list[ShapedArray]:
    (current, *states), parameters = operands[:4], operands[4:]
    state = state_like(current, layer["axis"])
    for name, operand in zip(OPERANDS[1:], states, strict=True):
        check_like(name, operand, state)
    check_parameters(state, parameters, layer["family"])
    kept = checkpoints_like(current, layer["axis"], layer["every"])
    over_time = over_time_like(current)
    return [over_time, state, *[kept] * checkpoints, *[over_time] * membrane]


def _jvp(
    primals: Any, tangents: Any, *, checkpoints: bool, membrane: bool, **layer: Unpack[Layer]
) -> tuple[list[Array], list[Any]]:
    # The outputs do not depend on the surrogate's parameters.
    operands, parameters = primals[:4], primals[4:]
    if all(isinstance(dot, ad.Zero) for dot in tangents[:4]):
        outs = bind(lif_p, *primals, checkpoints=checkpoints, membrane=membrane, **layer)
        return outs, [ad.Zero(jax.typeof(out).to_tangent_aval()) for out in outs]
    spikes, v_final, kept, *u = bind(lif_p, *primals, checkpoints=True, membrane=membrane, **layer)
    dots = instantiated(tangents[:4], [operand.dtype for operand in operands])
    spikes_dot, v_final_dot, *u_dot = bind(
        lif_tangent_p,
        *operands,
        kept,
        *dots,
        *parameters,
        moving=moving_ones(tangents[:4]),
        membrane=membrane,
        **layer,
    )
    # That of the checkpoints is not 0, but nobody looks at it (lif_derivative.py).
    kept_dot = ad.Zero(jax.typeof(kept).to_tangent_aval())
    return [spikes, v_final, *[kept] * checkpoints, *u], [spikes_dot, v_final_dot, *[kept_dot] * checkpoints, *u_dot]


ad.primitive_jvps[lif_p] = _jvp


def _batch(
    axis_data: Any, operands: Any, dims: Any, *, checkpoints: bool, membrane: bool, **layer: Unpack[Layer]
) -> tuple[list[Array], list[int]]:
    kinds: list[Kind] = [*_KINDS, *["parameter"] * (len(operands) - 4)]
    batch = BatchedLayer(axis_data, kinds, operands, dims, layer["axis"])
    layer["axis"] = batch.axis
    outs = bind(lif_p, *batch.operands, checkpoints=checkpoints, membrane=membrane, **layer)
    return outs, [batch.dim, batch.state_dim, *[batch.dim] * (checkpoints + membrane)]


define_batching(lif_p, _batch)


def _scan(*operands: Array, checkpoints: bool, membrane: bool, **layer: Unpack[Layer]) -> list[Array]:
    arrays = as_arrays(operands[:4], _KINDS, operands[0], layer["axis"])
    spikes, v_final, u, before = scan_of(operands[4:], layer)(*arrays)
    kept = lax.slice_in_dim(before, 0, None, layer["every"], layer["axis"])
    return [spikes, v_final, *[kept] * checkpoints, *[u] * membrane]


def _kernel(*operands: Array, checkpoints: bool, membrane: bool, **layer: Unpack[KernelLayer]) -> list[Array]:
    roles: list[Role] = ["time", "state", "state", "state"]
    results: list[Role] = ["time", "state", *["checkpoints"] * checkpoints, *["time"] * membrane]
    attributes = kernel_attributes(layer)
    if not checkpoints:
        attributes["every"] = 0
    return lif_call("lif", targets.LIF, [*zip(roles, operands[:4], strict=True)], results, **attributes)


define_lowering(lif_p, _kernel, _scan, first_parameter=4)
