"""The competitors: spikegrad under each kernel policy, the plain formula, braintools, and LIF layers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import spikegrad
from jax import Array, lax
from jax.typing import ArrayLike
from spikegrad.kernel_policy import Policy

from benchmarks.measured.competitor_names import (
    AUTO,
    BRAINTOOLS,
    FORMULA,
    FUSED,
    GAUSSIAN,
    KERNELS,
    MULTI_GAUSSIAN,
    SIGMOID,
)

# The defaults of both spikegrad and braintools.
SIGMA = ALPHA = 0.5
H, S, SCALE = 0.15, 6.0, 0.5
STEEPNESS = 4.0

POLICIES: Mapping[str, Policy] = {AUTO: "auto", KERNELS: True, FUSED: False}
"""Spikegrad under each kernel policy. The targets apply to `auto`, the default."""

SCAN, VMAP = "scan", "vmap of scan"
SCANS: Mapping[str, int] = {SCAN: 1} | {f"scan unroll {steps}": steps for steps in (2, 4, 8)}
OPPONENTS = (*SCANS, VMAP)
"""A user's own layer: a scan over steps, an unrolled scan, or a vmap over neurons of a scan."""

Spike = Callable[[Array], Array]
Layer = Callable[[Array, ArrayLike, ArrayLike], Array]
"""`(current, decay, threshold) -> spikes`, time first."""


def under(policy: Policy, function: Callable[..., Array]) -> Callable[..., Array]:
    """The function under a kernel policy.

    The policy is read when the function is traced, and its operations keep it through differentiation. So a call of the
    compiled function takes no longer than without the policy block.
    """

    def traced(*arguments: ArrayLike) -> Array:
        with spikegrad.kernels(policy):
            return function(*arguments)

    return traced


def _require_kernel(target: str, function: Callable[..., Array], *arguments: ArrayLike) -> None:
    if target not in jax.jit(under(True, function)).lower(*arguments).as_text():
        raise RuntimeError(f"this build of spikegrad has no kernel for {jax.default_backend()}: nothing to measure")


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


FORMULAS = {GAUSSIAN: _gaussian, MULTI_GAUSSIAN: _multi_gaussian, SIGMOID: _sigmoid}


def _formula(gradient: Spike) -> Spike:
    """The step and its gradient in plain `jax.numpy`, in x's dtype, as users write them."""

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
    """The spikes of one surrogate by name, spikegrad's first. braintools is left out if it is not installed."""
    ours = getattr(spikegrad, surrogate)()
    _require_kernel("spikegrad.heaviside", ours, jnp.zeros(1))
    found: dict[str, Spike] = {name: under(policy, ours) for name, policy in POLICIES.items()}
    found[FORMULA] = _formula(FORMULAS[surrogate])
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


def _scan(spike: Spike, unroll: int, current: Array, decay: ArrayLike, threshold: ArrayLike) -> Array:
    def step(v: Array, x: Array) -> tuple[Array, Array]:
        u = decay * v + x
        s = spike(u - threshold)
        return u - s * threshold, s

    # The membrane is float32, as in `spikegrad.lif`: in half precision it would lose small currents. The conversion is
    # outside the loop. Inside, XLA on CPUs converts the whole bfloat16 array at every step. Measured: 0.9 ms instead of
    # 0.08 for 100 steps of 512 neurons, and 95 ms instead of 1.4 for 500 steps of 2048.
    x = current.astype(jnp.float32)
    _, spikes = lax.scan(step, jnp.zeros(x.shape[1:], x.dtype), x, unroll=unroll)
    return spikes.astype(current.dtype)


def _each_neuron(spike: Spike, current: Array, decay: ArrayLike, threshold: ArrayLike) -> Array:
    axes = (1, *(0 if jnp.ndim(parameter) else None for parameter in (decay, threshold)))
    layer = jax.vmap(functools.partial(_scan, spike, 1), in_axes=axes, out_axes=1)
    return layer(current.reshape(current.shape[0], -1), decay, threshold).reshape(current.shape)


def _ours(current: Array, decay: ArrayLike, threshold: ArrayLike) -> Array:
    spikes, _ = spikegrad.lif(current, decay, threshold)
    return spikes


def layers() -> dict[str, Layer]:
    """The layers by name, spikegrad's first. All reset by subtraction and use the default Gaussian."""
    _require_kernel("spikegrad.lif", _ours, jnp.zeros((1, 1)), 0.9, 1.0)
    spike = _formula(FORMULAS[GAUSSIAN])
    scans = {name: functools.partial(_scan, spike, unroll) for name, unroll in SCANS.items()}
    return {AUTO: under(POLICIES[AUTO], _ours), **scans, VMAP: functools.partial(_each_neuron, spike)}
