"""The spikes that are compared: this package's, the formula that a user would write, and braintools'."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import spikegrad
from jax import Array

# Everybody's defaults.
SIGMA = ALPHA = 0.5
H, S, SCALE = 0.15, 6.0, 0.5
STEEPNESS = 4.0

GAUSSIAN, MULTI_GAUSSIAN, SIGMOID = "GaussianGrad", "MultiGaussianGrad", "Sigmoid"
SURROGATES = (GAUSSIAN, MULTI_GAUSSIAN, SIGMOID)

OURS, FORMULA, BRAINTOOLS = "spikegrad", "jax.numpy", "braintools"

Spike = Callable[[Array], Array]


def _normal(x: Array, mean: float, sigma: float) -> Array:
    return jnp.exp(-((x - mean) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))


def _gaussian(x: Array) -> Array:
    return ALPHA / (SIGMA * math.sqrt(2 * math.pi)) * jnp.exp(-(x**2) / (2 * SIGMA**2))


def _multi_gaussian(x: Array) -> Array:
    sides = _normal(x, SIGMA, S * SIGMA) + _normal(x, -SIGMA, S * SIGMA)
    return SCALE * ((1 + H) * _normal(x, 0, SIGMA) - H * sides)


def _sigmoid(x: Array) -> Array:
    s = jax.nn.sigmoid(STEEPNESS * x)
    return STEEPNESS * s * (1 - s)


_FORMULAS = {GAUSSIAN: _gaussian, MULTI_GAUSSIAN: _multi_gaussian, SIGMOID: _sigmoid}


def _formula(gradient: Spike) -> Spike:
    """The step and the gradient in plain `jax.numpy`, in x's dtype, as a user would write them."""

    @jax.custom_vjp
    def spike(x: Array) -> Array:
        return (x >= 0).astype(x.dtype)

    def forward(x: Array) -> tuple[Array, Array]:
        return spike(x), x

    def backward(x: Array, t: Array) -> tuple[Array]:
        return ((t * gradient(x)).astype(x.dtype),)

    spike.defvjp(forward, backward)
    return spike


def _braintools(surrogate: str) -> Spike | None:
    try:
        from braintools import surrogate as theirs
    except ImportError:
        return None
    made: Spike = getattr(theirs, surrogate)()
    return made


def spikes(surrogate: str = GAUSSIAN) -> dict[str, Spike]:
    """The spikes of one surrogate by name, ours first; without braintools where that is not installed."""
    ours = getattr(spikegrad, surrogate)()
    if "spikegrad.heaviside" not in jax.jit(ours).lower(jnp.zeros(1)).as_text():
        raise RuntimeError("the kernels are switched off (SPIKEGRAD_KERNELS=0?): there is nothing to measure")
    found: dict[str, Spike] = {OURS: ours, FORMULA: _formula(_FORMULAS[surrogate])}
    braintools = _braintools(surrogate)
    if braintools is not None:
        found[BRAINTOOLS] = braintools
    return found


def vjp(spike: Spike) -> Callable[[Array, Array], Array]:
    """`(x, t) -> t g(x)`, reverse mode through the spike."""

    def pulled_back(x: Array, t: Array) -> Array:
        (result,) = jax.vjp(spike, x)[1](t)
        return result

    return pulled_back
