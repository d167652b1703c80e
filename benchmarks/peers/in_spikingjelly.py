"""SpikingJelly: `LIFNode` in multi-step mode.

On a CPU it selects its own forward and backward loops in torch operations. Its kernels are for CUDA. The compiler
unrolls these loops.
"""

from __future__ import annotations

from typing import Any

from spikingjelly.activation_based import neuron, surrogate

from benchmarks.peers import torch_calls
from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


def model(compiled: bool) -> Model:
    spike = surrogate.Sigmoid(alpha=STEEPNESS)
    node = neuron.LIFNode(
        tau=1 / (1 - DECAY),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=None,
        surrogate_function=spike,
        step_mode="m",
    )

    def layer(current: Any) -> Any:
        node.reset()
        return node(current)

    if not compiled:
        return Model(spike, layer)
    whole = torch_calls.compiled(layer)

    def short_layer(current: Any) -> Any:
        if len(current) > torch_calls.MOST_STEPS:
            raise NotImplementedError(f"compiled only up to {torch_calls.MOST_STEPS} steps")
        return whole(current)

    return Model(torch_calls.compiled(spike), short_layer)
