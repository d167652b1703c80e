"""spikegrad: `lif`, one kernel over all steps, and the surrogate `Sigmoid`. The default kernel policy."""

from __future__ import annotations

import spikegrad
from jax import Array

from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


def model() -> Model:
    spike = spikegrad.Sigmoid(STEEPNESS)

    def layer(current: Array) -> Array:
        spikes, _ = spikegrad.lif(current, DECAY, THRESHOLD, surrogate=spike)
        return spikes

    return Model(spike, layer)
