"""`lif` against spyx's neurons. LIF and IF compare the previous step's membrane; PSU_LIF charges first, without reset.

All of them add the current unscaled.
"""

import jax
import numpy as np
import pytest
import spikegrad
import spyx.nn
from flax import nnx
from other_libraries import NEURONS, arguments, assert_same, both_dtypes, differentiated, lif


def neuron_of(cls):
    def neuron(current, decay, threshold, v0):
        cell = cls((NEURONS,), threshold=threshold, activation=spikegrad.GaussianGrad(), rngs=nnx.Rngs(0))
        if cls is not spyx.nn.IF:
            cell.beta = nnx.Param(decay)

        def step(v, x):
            spikes, v = cell(x, v)
            return v, (spikes, v)

        final, (spikes, membrane) = jax.lax.scan(step, v0, current)
        return spikes, membrane, final

    return neuron


@both_dtypes
@pytest.mark.parametrize("cls", [spyx.nn.LIF, spyx.nn.IF])
def test_fire_charge(x64, dtype, cls):
    given = arguments(dtype)
    if cls is spyx.nn.IF:
        given["decay"] = np.ones_like(given["decay"])
    ours = differentiated(lif(step_order="fire_charge"), given)
    theirs = differentiated(neuron_of(cls), given)
    if cls is spyx.nn.IF:
        del theirs.gradients["decay"]
    fires_on = np.concatenate([given["v0"][None], ours.membrane[:-1]])
    assert_same(ours, theirs, fires_on, given["threshold"])


@both_dtypes
def test_no_reset(x64, dtype):
    given = arguments(dtype)
    ours = differentiated(lif(reset=None), given)
    theirs = differentiated(neuron_of(spyx.nn.PSU_LIF), given)
    assert_same(ours, theirs, ours.membrane, given["threshold"])
