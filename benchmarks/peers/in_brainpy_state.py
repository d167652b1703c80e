"""brainpy.state: `LIF` in brainstate's `for_loop`, with a surrogate of braintools.

The resistance cancels the factor `1 - decay` of the current. The jitted function creates the neurons, which then are
plain operands for jax: brainstate's own `jit` would add time to each call.
"""

from __future__ import annotations

import math

import brainpy.state
import brainstate
import braintools.surrogate
import brainunit as u
from jax import Array

from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD
from benchmarks.peers.model import Model


def model() -> Model:
    spike = braintools.surrogate.Sigmoid(STEEPNESS)

    def layer(current: Array) -> Array:
        _, batch, neurons = current.shape
        cell = brainpy.state.LIF(
            neurons,
            R=1 / (1 - DECAY) * u.ohm,
            tau=-1 / math.log(DECAY) * u.ms,
            V_th=THRESHOLD * u.mV,
            spk_fun=spike,
            spk_reset="soft",
        )
        cell.init_state(batch)

        def step(x: Array) -> Array:
            with brainstate.environ.context(dt=1 * u.ms):
                return cell(x * u.mA)

        return brainstate.transform.for_loop(step, current)

    return Model(spike, layer)
