"""snnTorch: `Leaky` in a Python loop over the steps. Its neurons that take all steps at once have no reset."""

from __future__ import annotations

from typing import Any

import snntorch
import snntorch.surrogate
import torch

from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model
from benchmarks.peers.torch_calls import compile_for_one_shape


def model(compiled: bool) -> Model:
    spike = snntorch.surrogate.sigmoid(slope=STEEPNESS)
    cell: Any = snntorch.Leaky(beta=DECAY, threshold=THRESHOLD, spike_grad=spike)
    if compiled:
        spike, cell = compile_for_one_shape(spike), compile_for_one_shape(cell)

    def layer(current: Any) -> Any:
        membrane, spikes = torch.zeros_like(current[0]), []
        for x in current:
            s, membrane = cell(x, membrane)
            spikes.append(s)
        return torch.stack(spikes)

    return Model(spike, layer)
