"""`lif_tangent` and `lif_cotangent`: the derivative of a lif layer and its transpose, each the transpose of the other.

    lif_tangent    current decay threshold v0 checkpoints  current_dot decay_dot threshold_dot v0_dot  *parameters
                   ->  spikes_dot v_final_dot [membrane_dot]
    lif_cotangent  current decay threshold v0 checkpoints  spikes_bar v_final_bar membrane_bar  *parameters
                   ->  current_bar v0_bar [decay_bar threshold_bar]

The first group is what both are not linear in. `lif_cotangent` goes back from checkpoint to checkpoint and needs no v0,
`lif_tangent` goes forward and needs no checkpoints: each has them for the other, and v0 because the second derivative
depends on it. That is found by differentiating the scan of fused.py, in which checkpoints have no part; they are a
function of the other four, and their own tangent is not looked at.

The gradients of decay and threshold are those of each neuron, even where one number serves all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad

from spikegrad import fused, targets
from spikegrad.primitives.batching_rules import define_batching
from spikegrad.primitives.binding import bind, evaluate_by_jit
from spikegrad.primitives.lif_call import Role, lif_call
from spikegrad.primitives.lif_lowering import as_arrays, define_lowering, kernel_attributes, scan_of
from spikegrad.primitives.lif_shapes import (
    BatchedLayer,
    Kind,
    Layer,
    check_like,
    checkpoints_like,
    over_time_like,
    state_like,
)
from spikegrad.primitives.operand_checks import check_parameters

lif_tangent_p = Primitive("lif_tangent")
lif_cotangent_p = Primitive("lif_cotangent")
for _primitive in (lif_tangent_p, lif_cotangent_p):
    _primitive.multiple_results = True
    evaluate_by_jit(_primitive)

OPERANDS = ("current", "decay", "threshold", "v0")
_KINDS: tuple[Kind, ...] = ("time", "state", "state", "state", "checkpoints")
_CHECKPOINTS = _KINDS.index("checkpoints")
_TANGENT_KINDS: tuple[Kind, ...] = ("time", "state", "state", "state")
_COTANGENT_KINDS: tuple[Kind, ...] = ("time", "state", "time")


def instantiated(tangents: Sequence[Any], dtypes: Sequence[Any]) -> list[Array]:
    """The tangents or cotangents, with one number 0 for each symbolic zero."""
    return [
        jnp.zeros((), dtype) if isinstance(tangent, ad.Zero) else jnp.asarray(tangent, dtype)
        for tangent, dtype in zip(tangents, dtypes, strict=True)
    ]


def _dtypes(operands: Sequence[Any]) -> list[Any]:
    return [operand.dtype for operand in operands]


# Shapes


def _check_layer(operands: Sequence[ShapedArray], parameters: Sequence[ShapedArray], layer: Layer) -> ShapedArray:
    current, *states, checkpoints = operands
    state = state_like(current, layer["axis"])
    for name, operand in zip(OPERANDS[1:], states, strict=True):
        check_like(name, operand, state)
    check_like("checkpoints", checkpoints, checkpoints_like(current, layer["axis"], layer["every"]))
    check_parameters(state, parameters, layer["family"])
    return state


@lif_tangent_p.def_abstract_eval
def _tangent_abstract_eval(*operands: ShapedArray, membrane: bool, **layer: Unpack[Layer]) -> list[ShapedArray]:
    primals, dots, parameters = operands[:5], operands[5:9], operands[9:]
    state, current = _check_layer(primals, parameters, layer), primals[0]
    for name, dot, expected in zip(OPERANDS, dots, (current, state, state, state), strict=True):
        check_like(f"the tangent of {name}", dot, expected)
    over_time = over_time_like(current)
    return [over_time, state, *[over_time] * membrane]


@lif_cotangent_p.def_abstract_eval
def _cotangent_abstract_eval(*operands: ShapedArray, scales: bool, **layer: Unpack[Layer]) -> list[ShapedArray]:
    primals, bars, parameters = operands[:5], operands[5:8], operands[8:]
    state, current = _check_layer(primals, parameters, layer), primals[0]
    for name, bar, expected in zip(("spikes", "v_final", "membrane"), bars, (current, state, current), strict=True):
        check_like(f"the cotangent of {name}", bar, expected)
    return [over_time_like(current), state, *[state, state] * scales]


# Derivatives


def _reference_tangent(*operands: Array, membrane: bool, **layer: Unpack[Layer]) -> list[Array]:
    primals, dots, parameters = operands[:4], operands[5:9], operands[9:]
    f = scan_of(parameters, layer)
    arrays = [as_arrays(given, _TANGENT_KINDS, primals[0], layer["axis"]) for given in (primals, dots)]
    _, (spikes_dot, v_final_dot, membrane_dot, _) = jax.jvp(f, *arrays)
    return [spikes_dot, v_final_dot, *[membrane_dot] * membrane]


def _reference_cotangent(*operands: Array, scales: bool, **layer: Unpack[Layer]) -> list[Array]:
    primals, bars, parameters = operands[:4], operands[5:8], operands[8:]
    f = scan_of(parameters, layer)
    _, pull_back = jax.vjp(lambda *o: f(*o)[:3], *as_arrays(primals, _TANGENT_KINDS, primals[0], layer["axis"]))
    current_bar, *scale_bars, v0_bar = pull_back(tuple(as_arrays(bars, _COTANGENT_KINDS, primals[0], layer["axis"])))
    return [current_bar, v0_bar, *scale_bars * scales]


def _jvp(
    primitive: Primitive, by_reference: Callable[..., list[Array]], linear: slice
) -> Callable[..., tuple[list[Array], list[Any]]]:
    """The JVP rule of a primitive that is linear in some operands: itself in these, by the scan in all others."""

    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Array], list[Any]]:
        outs = bind(primitive, *primals, **params)
        terms = []
        if not all(isinstance(dot, ad.Zero) for dot in tangents[linear]):
            operands = list(primals)
            operands[linear] = instantiated(tangents[linear], _dtypes(primals[linear]))
            terms.append(bind(primitive, *operands, **params))
        linear_ones = range(*linear.indices(len(primals)))
        others = [i for i in range(len(primals)) if i != _CHECKPOINTS and i not in linear_ones]
        moving = [i for i in others if not isinstance(tangents[i], ad.Zero)]
        if moving:

            def of_moving(*values: Array) -> list[Array]:
                operands = list(primals)
                for i, value in zip(moving, values, strict=True):
                    operands[i] = value
                return by_reference(*operands, **params)

            dots = [jnp.asarray(tangents[i], primals[i].dtype) for i in moving]
            terms.append(jax.jvp(of_moving, [primals[i] for i in moving], dots)[1])
        if not terms:
            return outs, [ad.Zero(jax.typeof(out).to_tangent_aval()) for out in outs]
        return outs, [functools.reduce(lax.add, dots) for dots in zip(*terms, strict=True)]

    return jvp


ad.primitive_jvps[lif_tangent_p] = _jvp(lif_tangent_p, _reference_tangent, slice(5, 9))
ad.primitive_jvps[lif_cotangent_p] = _jvp(lif_cotangent_p, _reference_cotangent, slice(5, 8))


def _summed_like(cotangent: Array, operand: Any) -> Array:
    return cotangent if operand.aval.ndim or not cotangent.ndim else jnp.sum(cotangent)


def _tangent_transpose(bars: Any, *operands: Any, membrane: bool, **layer: Unpack[Layer]) -> list[Any]:
    primals, dots, parameters = operands[:5], operands[5:9], operands[9:]
    assert not any(map(ad.is_undefined_primal, (*primals, *parameters))), "lif_tangent is linear in tangents alone"
    current, wide = primals[0].dtype, fused.wide_dtype(primals[0].dtype)
    spikes_bar, v_final_bar, *membrane_bar = instantiated(bars, (current, wide, current)[: len(bars)])
    filled = spikes_bar, v_final_bar, *(membrane_bar or [jnp.zeros((), current)])
    wanted = [ad.is_undefined_primal(dot) for dot in dots]
    current_bar, v0_bar, *scale_bars = bind(
        lif_cotangent_p, *primals, *filled, *parameters, scales=wanted[1] or wanted[2], **layer
    )
    found = [current_bar, *(scale_bars or (None, None)), v0_bar]
    summed = [_summed_like(bar, dot) if want else None for bar, dot, want in zip(found, dots, wanted, strict=True)]
    return [*[None] * 5, *summed, *[None] * len(parameters)]


def _cotangent_transpose(dots: Any, *operands: Any, scales: bool, **layer: Unpack[Layer]) -> list[Any]:
    primals, bars, parameters = operands[:5], operands[5:8], operands[8:]
    assert not any(map(ad.is_undefined_primal, (*primals, *parameters))), "lif_cotangent is linear in cotangents alone"
    current, wide = primals[0].dtype, fused.wide_dtype(primals[0].dtype)
    current_dot, v0_dot, *scale_dots = instantiated(dots, (current, *[wide] * (len(dots) - 1)))
    decay_dot, threshold_dot = scale_dots or [jnp.zeros((), wide)] * 2
    wanted = [ad.is_undefined_primal(bar) for bar in bars]
    spikes_dot, v_final_dot, *membrane_dot = bind(
        lif_tangent_p,
        *primals,
        current_dot,
        decay_dot,
        threshold_dot,
        v0_dot,
        *parameters,
        membrane=wanted[2],
        **layer,
    )
    found = [spikes_dot, v_final_dot, *(membrane_dot or (None,))]
    summed = [_summed_like(dot, bar) if want else None for dot, bar, want in zip(found, bars, wanted, strict=True)]
    return [*[None] * 5, *summed, *[None] * len(parameters)]


ad.primitive_transposes[lif_tangent_p] = _tangent_transpose
ad.primitive_transposes[lif_cotangent_p] = _cotangent_transpose


# Batching


def _batch_tangent(
    axis_data: Any, operands: Any, dims: Any, *, membrane: bool, **layer: Unpack[Layer]
) -> tuple[list[Array], list[int]]:
    kinds = [*_KINDS, *_TANGENT_KINDS, *["parameter"] * (len(operands) - 9)]
    batch = BatchedLayer(axis_data, kinds, operands, dims, layer["axis"])
    outs = bind(lif_tangent_p, *batch.operands, membrane=membrane, **{**layer, "axis": batch.axis})
    return outs, [batch.dim, batch.state_dim, *[batch.dim] * membrane]


def _batch_cotangent(
    axis_data: Any, operands: Any, dims: Any, *, scales: bool, **layer: Unpack[Layer]
) -> tuple[list[Array], list[int]]:
    kinds = [*_KINDS, *_COTANGENT_KINDS, *["parameter"] * (len(operands) - 8)]
    batch = BatchedLayer(axis_data, kinds, operands, dims, layer["axis"])
    outs = bind(lif_cotangent_p, *batch.operands, scales=scales, **{**layer, "axis": batch.axis})
    return outs, [batch.dim, batch.state_dim, *[batch.state_dim] * (2 * scales)]


define_batching(lif_tangent_p, _batch_tangent)
define_batching(lif_cotangent_p, _batch_cotangent)


# Lowering


def _kernel_tangent(*operands: Array, membrane: bool, **layer: Unpack[Layer]) -> list[Array]:
    roles: list[Role] = ["time", "state", "state", "state"]
    primals, dots = zip(roles, operands[:4], strict=True), zip(roles, operands[5:9], strict=True)
    parameters = [("scalar", parameter) for parameter in operands[9:]]
    results: list[Role] = ["time", "state", *["time"] * membrane]
    target = targets.lif_tangent_of(layer["family"])
    return lif_call("lif_tangent", target, [*primals, *dots, *parameters], results, **kernel_attributes(layer))


def _kernel_cotangent(*operands: Array, scales: bool, **layer: Unpack[Layer]) -> list[Array]:
    current, decay, threshold, _, checkpoints, spikes_bar, v_final_bar, membrane_bar, *parameters = operands
    roles: list[Role] = ["time", "state", "state", "checkpoints", "time", "state", "time"]
    arrays = (current, decay, threshold, checkpoints, spikes_bar, v_final_bar, membrane_bar)
    named = [*zip(roles, arrays, strict=True), *(("scalar", parameter) for parameter in parameters)]
    results: list[Role] = ["time", "state", *["state", "state"] * scales]
    target = targets.lif_cotangent_of(layer["family"])
    return lif_call("lif_cotangent", target, named, results, **kernel_attributes(layer))


define_lowering(lif_tangent_p, _kernel_tangent, _reference_tangent, first_parameter=9)
define_lowering(lif_cotangent_p, _kernel_cotangent, _reference_cotangent, first_parameter=8)
