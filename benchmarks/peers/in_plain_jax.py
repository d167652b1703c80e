"""Plain jax: the step as a `jax.custom_vjp`, and `jax.lax.scan` over the steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


@jax.custom_vjp
def _spike(x: Array) -> Array:
    return (x >= 0).astype(x.dtype)


def _forward(x: Array) -> tuple[Array, Array]:
    return _spike(x), x


def _backward(x: Array, t: Array) -> tuple[Array]:
    s = jax.nn.sigmoid(STEEPNESS * x)
    return (t * STEEPNESS * s * (1 - s),)


_spike.defvjp(_forward, _backward)


def model(unroll: int) -> Model:
    def step(v: Array, x: Array) -> tuple[Array, Array]:
        u = DECAY * v + x
        s = _spike(u - THRESHOLD)
        return u - s * THRESHOLD, s

    def layer(current: Array) -> Array:
        _, spikes = lax.scan(step, jnp.zeros_like(current[0]), current, unroll=unroll)
        return spikes

    return Model(_spike, layer)
