"""spyx: `spyx.nn.LIF` under `spyx.nn.run`. Its surrogate `tanh(k)` equals the common one at k = STEEPNESS / 2."""

from __future__ import annotations

import spyx.axn
import spyx.nn
from flax import nnx
from jax import Array

from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


def model() -> Model:
    spike = spyx.axn.tanh(k=STEEPNESS / 2)

    def layer(current: Array) -> Array:
        cell = spyx.nn.LIF(current.shape[2:], beta=DECAY, threshold=THRESHOLD, activation=spike, rngs=nnx.Rngs(0))
        spikes, _ = spyx.nn.run(cell, current)
        return spikes

    return Model(spike, layer)
