"""snnTorch: `Leaky` in a Python loop over the steps. Its neurons that take all steps at once have no reset."""

from __future__ import annotations

import snntorch
import snntorch.surrogate

from benchmarks.peers import torch_calls
from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


def model(compiled: bool) -> Model:
    spike = snntorch.surrogate.sigmoid(slope=STEEPNESS)
    cell = snntorch.Leaky(beta=DECAY, threshold=THRESHOLD, spike_grad=spike)
    if compiled:
        return Model(torch_calls.compiled(spike), torch_calls.compiled_loop(cell, lambda zeros: zeros))
    return Model(spike, torch_calls.loop(cell, lambda zeros: zeros))
