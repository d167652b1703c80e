"""`lif_tangent` and `lif_cotangent`: the derivative of a lif layer and its transpose, each the transpose of the other.

    lif_tangent    current decay threshold v0 checkpoints  current_dot decay_dot threshold_dot v0_dot  *parameters
                   ->  spikes_dot v_final_dot [membrane_dot]
    lif_cotangent  current decay threshold v0 checkpoints  spikes_bar v_final_bar membrane_bar  *parameters
                   ->  current_bar v0_bar [decay_bar threshold_bar]

Both are linear in the second group of operands only. They share the first group so that each can be the transpose of
the other: `lif_tangent` runs forward and does not read the checkpoints; `lif_cotangent` runs backward from checkpoint
to checkpoint and does not read v0, on which its own derivative depends.

The second derivative is the derivative of the scan of fused.py. It ignores the tangents of the checkpoints, which are a
function of the four operands before them.

The static parameter `nonzero` of `lif_tangent` names the tangents that are not symbolic zeros. Only they add a term,
since 0 times an infinite membrane or decay would be NaN.

The cotangents of decay and threshold have a value for each neuron, even where the operand is a scalar.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad

from spikegrad import ffi_targets
from spikegrad.fused import wide_dtype
from spikegrad.primitives.binding import bind, evaluate_by_jit
from spikegrad.primitives.lif_batching import define_layer_batching
from spikegrad.primitives.lif_call import lif_call
from spikegrad.primitives.lif_lowering import as_arrays, define_lowering, scan_of
from spikegrad.primitives.lif_operands import (
    CHECKPOINTS,
    COTANGENTS,
    LAYER,
    MEMBRANE,
    SPIKES,
    TANGENTS,
    V0,
    V_FINAL,
    KernelLayer,
    Kind,
    Layer,
    Operand,
    Signature,
    kinds,
)
from spikegrad.primitives.lif_shapes import define_abstract_eval

lif_tangent_p = Primitive("lif_tangent")
lif_cotangent_p = Primitive("lif_cotangent")
for _primitive in (lif_tangent_p, lif_cotangent_p):
    _primitive.multiple_results = True
    evaluate_by_jit(_primitive)


Nonzero = tuple[bool, ...]
"""For each tangent, whether it is not a symbolic zero."""


def are_nonzero(tangents: Sequence[Any]) -> Nonzero:
    return tuple(not isinstance(tangent, ad.Zero) for tangent in tangents)


def instantiated(tangents: Sequence[Any], operands: Sequence[Operand], current: Array) -> list[Array]:
    """The tangents or cotangents as arrays, with a scalar 0 for each symbolic zero."""
    dtypes = [current.dtype if operand.kind == "time" else wide_dtype(current.dtype) for operand in operands]
    return [
        jnp.zeros((), dtype) if isinstance(tangent, ad.Zero) else jnp.asarray(tangent, dtype)
        for tangent, dtype in zip(tangents, dtypes, strict=True)
    ]


# Operands and results


def _cotangents(of_neuron: bool) -> list[Operand]:
    """The operands whose cotangents `lif_cotangent` returns, in its order."""
    always = [operand for operand in LAYER if not operand.of_neuron]
    return [*always, *[operand for operand in LAYER if operand.of_neuron and of_neuron]]


def _tangent_results(params: Mapping[str, Any]) -> list[Kind]:
    return kinds([SPIKES, V_FINAL, *[MEMBRANE] * params["membrane"]])


def _cotangent_results(params: Mapping[str, Any]) -> list[Kind]:
    return kinds(_cotangents(params["of_neuron"]))


_TANGENT = Signature(((*LAYER, CHECKPOINTS), TANGENTS), _tangent_results)
_COTANGENT = Signature(((*LAYER, CHECKPOINTS), COTANGENTS), _cotangent_results)

for _primitive, _signature in ((lif_tangent_p, _TANGENT), (lif_cotangent_p, _COTANGENT)):
    define_abstract_eval(_primitive, _signature)
    define_layer_batching(_primitive, _signature)


# Derivatives


def _at(f: Callable[..., Any], operands: Sequence[Array], places: Sequence[int]) -> Callable[..., Any]:
    """f as a function of the operands at these places, the others as given."""

    def of_some(*values: Array) -> Any:
        all_operands = list(operands)
        for i, value in zip(places, values, strict=True):
            all_operands[i] = value
        return f(*all_operands)

    return of_some


def _tangent_by_scan(*operands: Array, nonzero: Nonzero, membrane: bool, **layer: Unpack[Layer]) -> list[Array]:
    (*primals, _), dots, parameters = _TANGENT.split(operands)
    f = scan_of(parameters, layer)
    arrays, dot_arrays = (as_arrays(given, kinds(LAYER), primals[0], layer["axis"]) for given in (primals, dots))
    along = [i for i, is_nonzero in enumerate(nonzero) if is_nonzero]
    along_arrays, along_dots = ([given[i] for i in along] for given in (arrays, dot_arrays))
    _, (spikes_dot, v_final_dot, membrane_dot, _) = jax.jvp(_at(f, arrays, along), along_arrays, along_dots)
    return [spikes_dot, v_final_dot, *[membrane_dot] * membrane]


def _cotangent_by_scan(*operands: Array, of_neuron: bool, **layer: Unpack[Layer]) -> list[Array]:
    (*primals, _), bars, parameters = _COTANGENT.split(operands)
    f = scan_of(parameters, layer)
    _, pull_back = jax.vjp(lambda *o: f(*o)[:3], *as_arrays(primals, kinds(LAYER), primals[0], layer["axis"]))
    found = pull_back(tuple(as_arrays(bars, kinds(COTANGENTS), primals[0], layer["axis"])))
    named = dict(zip(LAYER, found, strict=True))
    return [named[operand] for operand in _cotangents(of_neuron)]


@functools.cache
def _compiled_jvp(
    by_scan: Callable[..., list[Array]], along: tuple[int, ...], params: tuple[tuple[str, Any], ...]
) -> Callable[[tuple[Array, ...], tuple[Array, ...]], list[Array]]:
    """`jvp(operands, tangents)` of the scan along the operands at these places.

    It is compiled, since outside `jit` jax compiles each new scan again and keeps its program (lif_scan.py).
    """

    def lif_scan_jvp(operands: tuple[Array, ...], tangents: tuple[Array, ...]) -> list[Array]:
        of_some = _at(functools.partial(by_scan, **dict(params)), operands, along)
        return jax.jvp(of_some, tuple(operands[i] for i in along), tangents)[1]

    return jax.jit(lif_scan_jvp)


def _define_jvp(primitive: Primitive, signature: Signature, by_scan: Callable[..., list[Array]]) -> None:
    """Register the JVP rule: the primitive itself in the operands in which it is linear, the scan in the others."""
    linear = signature.span(1)
    _, of_linear = signature.groups

    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Array], list[Any]]:
        outs = bind(primitive, *primals, **params)
        terms = []
        if any(are_nonzero(tangents[linear])):
            operands = list(primals)
            operands[linear] = instantiated(tangents[linear], of_linear, primals[0])
            own = {"nonzero": are_nonzero(tangents[linear])} if "nonzero" in params else {}
            terms.append(bind(primitive, *operands, **{**params, **own}))
        named = signature.named
        constant = [i for i, operand in enumerate(named) if operand in of_linear or not operand.differentiable]
        along = [i for i, is_nonzero in enumerate(are_nonzero(tangents)) if is_nonzero and i not in constant]
        if along:
            dots = tuple(jnp.asarray(tangents[i], primals[i].dtype) for i in along)
            scan_jvp = _compiled_jvp(by_scan, tuple(along), tuple(sorted(params.items())))
            terms.append(scan_jvp(tuple(primals), dots))
        if not terms:
            return outs, [ad.Zero(jax.typeof(out).to_tangent_aval()) for out in outs]
        return outs, [functools.reduce(lax.add, dots) for dots in zip(*terms, strict=True)]

    ad.primitive_jvps[primitive] = jvp


_define_jvp(lif_tangent_p, _TANGENT, _tangent_by_scan)
_define_jvp(lif_cotangent_p, _COTANGENT, _cotangent_by_scan)


def _summed_like(cotangent: Array, operand: Any) -> Array:
    return cotangent if operand.aval.ndim or not cotangent.ndim else jnp.sum(cotangent)


def _tangent_transpose(
    bars: Any, *operands: Any, nonzero: Nonzero, membrane: bool, **layer: Unpack[Layer]
) -> list[Any]:
    primals, dots, parameters = _TANGENT.split(operands)
    assert not any(map(ad.is_undefined_primal, (*primals, *parameters))), "lif_tangent is linear in tangents alone"
    bars = [*bars, *[ad.Zero(jax.typeof(primals[0]))] * (not membrane)]
    wanted = [ad.is_undefined_primal(dot) for dot in dots]
    of_neuron = any(want for want, operand in zip(wanted, LAYER, strict=True) if operand.of_neuron)
    filled = instantiated(bars, COTANGENTS, primals[0])
    found = bind(lif_cotangent_p, *primals, *filled, *parameters, of_neuron=of_neuron, **layer)
    named = dict(zip(_cotangents(of_neuron), found, strict=True))
    summed = [
        _summed_like(named[operand], dot) if want else None
        for operand, dot, want in zip(LAYER, dots, wanted, strict=True)
    ]
    return [*[None] * len(primals), *summed, *[None] * len(parameters)]


def _cotangent_transpose(dots: Any, *operands: Any, of_neuron: bool, **layer: Unpack[Layer]) -> list[Any]:
    primals, bars, parameters = _COTANGENT.split(operands)
    assert not any(map(ad.is_undefined_primal, (*primals, *parameters))), "lif_cotangent is linear in cotangents alone"
    given = dict(zip(_cotangents(of_neuron), dots, strict=True))
    named = [given.get(operand, ad.Zero(jax.typeof(primals[0]))) for operand in LAYER]
    wanted = [ad.is_undefined_primal(bar) for bar in bars]
    spikes_dot, v_final_dot, *membrane_dot = bind(
        lif_tangent_p,
        *primals,
        *instantiated(named, LAYER, primals[0]),
        *parameters,
        nonzero=are_nonzero(named),
        membrane=wanted[2],
        **layer,
    )
    found = [spikes_dot, v_final_dot, *(membrane_dot or (None,))]
    summed = [_summed_like(dot, bar) if want else None for dot, bar, want in zip(found, bars, wanted, strict=True)]
    return [*[None] * len(primals), *summed, *[None] * len(parameters)]


ad.primitive_transposes[lif_tangent_p] = _tangent_transpose
ad.primitive_transposes[lif_cotangent_p] = _cotangent_transpose


# Lowering


def _call_operands(signature: Signature, operands: Sequence[Array], unread: Operand) -> list[tuple[Kind, Array]]:
    """The operands with their kinds, for a kernel that does not read one of them."""
    arrays = [*zip(signature.kinds(operands), operands, strict=True)]
    del arrays[signature.named.index(unread)]
    return arrays


def _kernel_tangent(*operands: Array, nonzero: Nonzero, membrane: bool, **layer: Unpack[KernelLayer]) -> list[Array]:
    current, decay, threshold, v0 = nonzero
    resets = layer["reset"] == "subtract" or (layer["reset"] == "zero" and not layer["detach_reset"])
    flags = {"v_moves": current or decay or v0 or (threshold and resets), "decay_moves": decay}
    target = ffi_targets.lif_tangent_of(layer["family"])
    results = _tangent_results({"membrane": membrane})
    return lif_call("lif_tangent", target, _call_operands(_TANGENT, operands, CHECKPOINTS), results, layer, flags)


def _kernel_cotangent(*operands: Array, of_neuron: bool, **layer: Unpack[KernelLayer]) -> list[Array]:
    target = ffi_targets.lif_cotangent_of(layer["family"])
    results = _cotangent_results({"of_neuron": of_neuron})
    return lif_call("lif_cotangent", target, _call_operands(_COTANGENT, operands, V0), results, layer)


define_lowering(lif_tangent_p, _TANGENT, _kernel_tangent, _tangent_by_scan)
define_lowering(lif_cotangent_p, _COTANGENT, _kernel_cotangent, _cotangent_by_scan)
