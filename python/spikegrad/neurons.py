"""`lif`: a layer of leaky integrate-and-fire neurons over all time steps in one call."""

from __future__ import annotations

from typing import Literal, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from spikegrad import reference
from spikegrad.parameters import as_input
from spikegrad.reference import wide_dtype
from spikegrad.surrogate import Surrogate
from spikegrad.surrogates import GaussianGrad

Reset = Literal["subtract", "zero"]
Order = Literal["charge_fire_reset", "reset_undecayed", "fire_charge"]

RESETS = ("subtract", "zero", None)
ORDERS = ("charge_fire_reset", "reset_undecayed", "fire_charge")


def lif(
    current: ArrayLike,
    decay: ArrayLike,
    threshold: ArrayLike,
    *,
    v0: ArrayLike | None = None,
    reset: Reset | None = "subtract",
    detach_reset: bool = False,
    order: Order = "charge_fire_reset",
    surrogate: Surrogate = GaussianGrad(),
    return_membrane: bool = False,
    checkpoint_every: int | None = None,
) -> tuple[Array, Array] | tuple[Array, Array, Array]:
    current = as_input(current, differentiable=True)
    step = jax.ShapeDtypeStruct(current.shape[1:], wide_dtype(current.dtype))
    decay, threshold, v0 = (jnp.asarray(v, step.dtype) for v in (decay, threshold, 0.0 if v0 is None else v0))
    spikes, v_final, membrane, _ = reference.lif(
        surrogate, current, decay, threshold, v0, order=order, reset=reset, detach_reset=detach_reset
    )
    return (spikes, v_final, membrane) if return_membrane else (spikes, v_final)
