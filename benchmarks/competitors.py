"""The spikes that are compared: this package's, the formula that a user would write, and braintools'."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import spikegrad
from jax import Array

SIGMA = ALPHA = 0.5  # everybody's defaults

OURS, FORMULA, BRAINTOOLS = "spikegrad", "jax.numpy", "braintools"

Spike = Callable[[Array], Array]


def _formula() -> Spike:
    """The step and the Gaussian in plain `jax.numpy`, in x's dtype, as a user would write them."""

    @jax.custom_vjp
    def spike(x: Array) -> Array:
        return (x >= 0).astype(x.dtype)

    def forward(x: Array) -> tuple[Array, Array]:
        return spike(x), x

    def backward(x: Array, t: Array) -> tuple[Array]:
        gaussian = ALPHA / (SIGMA * math.sqrt(2 * math.pi)) * jnp.exp(-(x**2) / (2 * SIGMA**2))
        return ((t * gaussian).astype(x.dtype),)

    spike.defvjp(forward, backward)
    return spike


def _braintools() -> Spike | None:
    try:
        from braintools.surrogate import GaussianGrad
    except ImportError:
        return None
    return GaussianGrad(sigma=SIGMA, alpha=ALPHA)


def spikes() -> dict[str, Spike]:
    """The spikes by name, ours first; without braintools where that is not installed."""
    ours = spikegrad.GaussianGrad(sigma=SIGMA, alpha=ALPHA)
    if "spikegrad.heaviside" not in jax.jit(ours).lower(jnp.zeros(1)).as_text():
        raise RuntimeError("the kernels are switched off (SPIKEGRAD_KERNELS=0?): there is nothing to measure")
    found: dict[str, Spike] = {OURS: ours, FORMULA: _formula()}
    braintools = _braintools()
    if braintools is not None:
        found[BRAINTOOLS] = braintools
    return found


def vjp(spike: Spike) -> Callable[[Array, Array], Array]:
    """`(x, t) -> t g(x)`, reverse mode through the spike."""

    def pulled_back(x: Array, t: Array) -> Array:
        (result,) = jax.vjp(spike, x)[1](t)
        return result

    return pulled_back
