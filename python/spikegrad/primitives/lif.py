"""`lif`: a layer of leaky integrate-and-fire neurons over all time steps, whose derivative is `lif_tangent`.

    lif  current decay threshold v0 *parameters  ->  spikes v_final [checkpoints] [membrane]

The parameters are the surrogate's, as in spike.py. The checkpoints are v before every k-th step. The JVP rule asks for
them: reverse mode keeps them and the operands, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import jax
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad

from spikegrad import ffi_targets
from spikegrad.kernel_policy import current_policy
from spikegrad.primitives.binding import bind, evaluate_by_jit
from spikegrad.primitives.lif_batching import define_layer_batching
from spikegrad.primitives.lif_call import lif_call
from spikegrad.primitives.lif_derivative import are_nonzero, instantiated, lif_tangent_p
from spikegrad.primitives.lif_lowering import as_arrays, define_lowering, scan_of
from spikegrad.primitives.lif_operands import (
    CHECKPOINTS,
    LAYER,
    MEMBRANE,
    SPIKES,
    V_FINAL,
    KernelLayer,
    Kind,
    Layer,
    Options,
    Signature,
    kinds,
)
from spikegrad.primitives.lif_shapes import define_abstract_eval

lif_p = Primitive("lif")
lif_p.multiple_results = True
evaluate_by_jit(lif_p)


def _results(params: Mapping[str, Any]) -> list[Kind]:
    return kinds([SPIKES, V_FINAL, *[CHECKPOINTS] * params["checkpoints"], *[MEMBRANE] * params["membrane"]])


_SIGNATURE = Signature((LAYER,), _results)

define_abstract_eval(lif_p, _SIGNATURE)
define_layer_batching(lif_p, _SIGNATURE)


def lif(*operands: Array, membrane: bool, **options: Unpack[Options]) -> list[Array]:
    """Bind `lif`. Time is axis 0. Decay, threshold and v0 have the current's wide dtype, and rank 0 or no time."""
    kernels = current_policy()
    return bind(lif_p, *operands, axis=0, checkpoints=False, membrane=membrane, kernels=kernels, **options)


def _jvp(
    primals: Any, tangents: Any, *, checkpoints: bool, membrane: bool, **layer: Unpack[Layer]
) -> tuple[list[Array], list[Any]]:
    # The outputs do not depend on the surrogate's parameters.
    operands, parameters = _SIGNATURE.split(primals)
    dots, _ = _SIGNATURE.split(tangents)
    if not any(are_nonzero(dots)):
        outs = bind(lif_p, *primals, checkpoints=checkpoints, membrane=membrane, **layer)
        return outs, [ad.Zero(jax.typeof(out).to_tangent_aval()) for out in outs]
    spikes, v_final, kept, *u = bind(lif_p, *primals, checkpoints=True, membrane=membrane, **layer)
    spikes_dot, v_final_dot, *u_dot = bind(
        lif_tangent_p,
        *operands,
        kept,
        *instantiated(dots, LAYER, operands[0]),
        *parameters,
        nonzero=are_nonzero(dots),
        membrane=membrane,
        **layer,
    )
    # The tangent of the checkpoints is not 0, but no rule reads it (lif_derivative.py).
    kept_dot = ad.Zero(jax.typeof(kept).to_tangent_aval())
    return [spikes, v_final, *[kept] * checkpoints, *u], [spikes_dot, v_final_dot, *[kept_dot] * checkpoints, *u_dot]


ad.primitive_jvps[lif_p] = _jvp


def _scan(*operands: Array, checkpoints: bool, membrane: bool, **layer: Unpack[Layer]) -> list[Array]:
    layer_operands, parameters = _SIGNATURE.split(operands)
    arrays = as_arrays(layer_operands, kinds(LAYER), operands[0], layer["axis"])
    spikes, v_final, u, before = scan_of(parameters, layer)(*arrays)
    kept = lax.slice_in_dim(before, 0, None, layer["every"], layer["axis"])
    return [spikes, v_final, *[kept] * checkpoints, *[u] * membrane]


def _kernel(*operands: Array, checkpoints: bool, membrane: bool, **layer: Unpack[KernelLayer]) -> list[Array]:
    layer_operands, _ = _SIGNATURE.split(operands)
    named = zip(kinds(LAYER), layer_operands, strict=True)
    results = _results({"checkpoints": checkpoints, "membrane": membrane})
    return lif_call("lif", ffi_targets.LIF, [*named], results, layer)


define_lowering(lif_p, _SIGNATURE, _kernel, _scan)
