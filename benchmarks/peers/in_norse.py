"""Norse: `LIFBoxCell`, its LIF neuron without a synaptic current, in a Python loop over the steps.

Its surrogate "tanh" equals the common one at alpha = STEEPNESS / 2. Its own loop, `Lift`, indexes the current at each
step. The gradient of an index is an array of the current's whole size, which makes the backward pass several times
slower.
"""

from __future__ import annotations

from typing import Any

import torch
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.functional.threshold import threshold
from norse.torch.module.lif_box import LIFBoxCell

from benchmarks.peers import torch_calls
from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model

DT = 1e-3  # seconds


def _spike(x: Any) -> Any:
    return threshold(x, "tanh", STEEPNESS / 2)


def model(compiled: bool) -> Model:
    parameters = LIFBoxParameters(
        tau_mem_inv=torch.as_tensor((1 - DECAY) / DT),
        v_th=torch.as_tensor(THRESHOLD),
        method="tanh",
        alpha=STEEPNESS / 2,
        reset_method=reset_subtract,
    )
    cell = LIFBoxCell(parameters, dt=DT)
    if compiled:
        return Model(torch_calls.compiled(_spike), torch_calls.compiled_loop(cell, LIFBoxFeedForwardState))
    return Model(_spike, torch_calls.loop(cell, LIFBoxFeedForwardState))
