"""`lif_tangent` and `lif_cotangent`: the derivative of a lif layer and its transpose, each the transpose of the other.

    lif_tangent    current decay threshold v0 checkpoints  current_dot decay_dot threshold_dot v0_dot  *parameters
                   ->  spikes_dot v_final_dot [membrane_dot]
    lif_cotangent  current decay threshold v0 checkpoints  spikes_bar v_final_bar membrane_bar  *parameters
                   ->  current_bar v0_bar [decay_bar threshold_bar]

The first group is what both are not linear in. `lif_cotangent` goes back from checkpoint to checkpoint and needs no v0,
`lif_tangent` goes forward and needs no checkpoints: each has them for the other, and v0 because the second derivative
depends on it. The second derivative is found by differentiating the scan of fused.py, in which checkpoints have no
part; they are a function of the other four, and their own tangent is not looked at.

The parameter `moving` of `lif_tangent` tells which of the four tangents are no symbolic zeros. The others add no term,
since 0 times an infinite membrane or decay would be NaN.

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
    KernelLayer,
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

Moving = tuple[bool, ...]
"""For each of `OPERANDS`, whether it has a tangent that is no symbolic zero."""

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


def moving_ones(tangents: Sequence[Any]) -> Moving:
    """Which tangents are no symbolic zeros."""
    return tuple(not isinstance(tangent, ad.Zero) for tangent in tangents)


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
def _tangent_abstract_eval(
    *operands: ShapedArray, moving: Moving, membrane: bool, **layer: Unpack[Layer]
) -> list[ShapedArray]:
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


def _at(f: Callable[..., Any], operands: Sequence[Array], moving: Sequence[int]) -> Callable[..., Any]:
    """f of the operands `moving`; all others as given."""

    def of_moving(*values: Array) -> Any:
        all_operands = list(operands)
        for i, value in zip(moving, values, strict=True):
            all_operands[i] = value
        return f(*all_operands)

    return of_moving


def _reference_tangent(*operands: Array, moving: Moving, membrane: bool, **layer: Unpack[Layer]) -> list[Array]:
    primals, dots, parameters = operands[:4], operands[5:9], operands[9:]
    f = scan_of(parameters, layer)
    arrays, dot_arrays = (as_arrays(given, _TANGENT_KINDS, primals[0], layer["axis"]) for given in (primals, dots))
    along = [i for i, moves in enumerate(moving) if moves]
    along_arrays, along_dots = ([given[i] for i in along] for given in (arrays, dot_arrays))
    _, (spikes_dot, v_final_dot, membrane_dot, _) = jax.jvp(_at(f, arrays, along), along_arrays, along_dots)
    return [spikes_dot, v_final_dot, *[membrane_dot] * membrane]


def _reference_cotangent(*operands: Array, scales: bool, **layer: Unpack[Layer]) -> list[Array]:
    primals, bars, parameters = operands[:4], operands[5:8], operands[8:]
    f = scan_of(parameters, layer)
    _, pull_back = jax.vjp(lambda *o: f(*o)[:3], *as_arrays(primals, _TANGENT_KINDS, primals[0], layer["axis"]))
    current_bar, *scale_bars, v0_bar = pull_back(tuple(as_arrays(bars, _COTANGENT_KINDS, primals[0], layer["axis"])))
    return [current_bar, v0_bar, *scale_bars * scales]


@functools.cache
def _compiled_jvp(
    by_reference: Callable[..., list[Array]], moving: tuple[int, ...], params: tuple[tuple[str, Any], ...]
) -> Callable[[tuple[Array, ...], tuple[Array, ...]], list[Array]]:
    """`jvp(operands, tangents)` of the scan along the operands `moving`.

    Compiled, since outside `jit` each new scan is compiled again and its program kept (lif_scan.py).
    """

    def lif_scan_jvp(operands: tuple[Array, ...], tangents: tuple[Array, ...]) -> list[Array]:
        of_moving = _at(functools.partial(by_reference, **dict(params)), operands, moving)
        return jax.jvp(of_moving, tuple(operands[i] for i in moving), tangents)[1]

    return jax.jit(lif_scan_jvp)


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
            linear_params = dict(params)
            if "moving" in params:
                linear_params["moving"] = moving_ones(tangents[linear])
            terms.append(bind(primitive, *operands, **linear_params))
        linear_ones = range(*linear.indices(len(primals)))
        others = [i for i in range(len(primals)) if i != _CHECKPOINTS and i not in linear_ones]
        moving = [i for i in others if not isinstance(tangents[i], ad.Zero)]
        if moving:
            dots = tuple(jnp.asarray(tangents[i], primals[i].dtype) for i in moving)
            along = _compiled_jvp(by_reference, tuple(moving), tuple(sorted(params.items())))
            terms.append(along(tuple(primals), dots))
        if not terms:
            return outs, [ad.Zero(jax.typeof(out).to_tangent_aval()) for out in outs]
        return outs, [functools.reduce(lax.add, dots) for dots in zip(*terms, strict=True)]

    return jvp


ad.primitive_jvps[lif_tangent_p] = _jvp(lif_tangent_p, _reference_tangent, slice(5, 9))
ad.primitive_jvps[lif_cotangent_p] = _jvp(lif_cotangent_p, _reference_cotangent, slice(5, 8))


def _summed_like(cotangent: Array, operand: Any) -> Array:
    return cotangent if operand.aval.ndim or not cotangent.ndim else jnp.sum(cotangent)


def _tangent_transpose(bars: Any, *operands: Any, moving: Moving, membrane: bool, **layer: Unpack[Layer]) -> list[Any]:
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
    current_dot, v0_dot, *scale_dots = dots
    decay_dot, threshold_dot = scale_dots or [ad.Zero(jax.typeof(primals[1]))] * 2
    named = (current_dot, decay_dot, threshold_dot, v0_dot)
    wanted = [ad.is_undefined_primal(bar) for bar in bars]
    spikes_dot, v_final_dot, *membrane_dot = bind(
        lif_tangent_p,
        *primals,
        *instantiated(named, (current, wide, wide, wide)),
        *parameters,
        moving=moving_ones(named),
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
    axis_data: Any, operands: Any, dims: Any, *, moving: Moving, membrane: bool, **layer: Unpack[Layer]
) -> tuple[list[Array], list[int]]:
    kinds = [*_KINDS, *_TANGENT_KINDS, *["parameter"] * (len(operands) - 9)]
    batch = BatchedLayer(axis_data, kinds, operands, dims, layer["axis"])
    layer["axis"] = batch.axis
    outs = bind(lif_tangent_p, *batch.operands, moving=moving, membrane=membrane, **layer)
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


def _kernel_tangent(*operands: Array, moving: Moving, membrane: bool, **layer: Unpack[KernelLayer]) -> list[Array]:
    roles: list[Role] = ["time", "state", "state", "state"]
    primals, dots = zip(roles, operands[:4], strict=True), zip(roles, operands[5:9], strict=True)
    parameters = [("scalar", parameter) for parameter in operands[9:]]
    results: list[Role] = ["time", "state", *["time"] * membrane]
    target = targets.lif_tangent_of(layer["family"])
    current, decay, threshold, v0 = moving
    resets = layer["reset"] == "subtract" or (layer["reset"] == "zero" and not layer["detach_reset"])
    flags = {"v_moves": current or decay or v0 or (threshold and resets), "decay_moves": decay}
    named = [*primals, *dots, *parameters]
    return lif_call("lif_tangent", target, named, results, flags=flags, **kernel_attributes(layer))


def _kernel_cotangent(*operands: Array, scales: bool, **layer: Unpack[KernelLayer]) -> list[Array]:
    current, decay, threshold, _, checkpoints, spikes_bar, v_final_bar, membrane_bar, *parameters = operands
    roles: list[Role] = ["time", "state", "state", "checkpoints", "time", "state", "time"]
    arrays = (current, decay, threshold, checkpoints, spikes_bar, v_final_bar, membrane_bar)
    named = [*zip(roles, arrays, strict=True), *(("scalar", parameter) for parameter in parameters)]
    results: list[Role] = ["time", "state", *["state", "state"] * scales]
    target = targets.lif_cotangent_of(layer["family"])
    return lif_call("lif_cotangent", target, named, results, **kernel_attributes(layer))


define_lowering(lif_tangent_p, _kernel_tangent, _reference_tangent, first_parameter=9)
define_lowering(lif_cotangent_p, _kernel_cotangent, _reference_cotangent, first_parameter=8)
