"""snnTorch: `Leaky` in a Python loop over the steps. Its neurons that take all steps at once have no reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import snntorch
import snntorch.surrogate
import torch

from benchmarks.peers import torch_calls
from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


def _loop(step: Any) -> Callable[[Any], Any]:
    def layer(current: Any) -> Any:
        membrane, spikes = torch.zeros_like(current[0]), []
        for x in current:
            s, membrane = step(x, membrane)
            spikes.append(s)
        return torch.stack(spikes)

    return layer


def model(compiled: bool) -> Model:
    spike = snntorch.surrogate.sigmoid(slope=STEEPNESS)
    cell = snntorch.Leaky(beta=DECAY, threshold=THRESHOLD, spike_grad=spike)
    if compiled:
        return Model(torch_calls.compiled(spike), torch_calls.compiled_layer(_loop, cell))
    return Model(spike, _loop(cell))
