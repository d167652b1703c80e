"""SpikingJelly: `LIFNode` in multi-step mode.

On a CPU it selects its own forward and backward loops in torch operations. Its kernels are for CUDA.
"""

from __future__ import annotations

from typing import Any

from spikingjelly.activation_based import neuron, surrogate

from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


def model() -> Model:
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

    return Model(spike, layer)
