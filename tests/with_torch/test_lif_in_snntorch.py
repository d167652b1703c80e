"""`lif` against snnTorch's Leaky.

Its state is the membrane that was compared with the threshold. The next step resets it, always detached: to zero before
the decay, or by the undecayed threshold. With `reset_delay=False` the same step resets it, and the reset is not
detached.
"""

import jax.numpy as jnp
import numpy as np
import pytest
import snntorch
import spikegrad
import torch
from other_libraries import after_reset, arguments, assert_same, both_dtypes, differentiated, lif
from run_in_torch import GaussianSpike, differentiated_in_torch

RESETS = {"subtract": "subtract", "zero": "zero", None: "none"}


def leaky(reset, spike=GaussianSpike.apply, reset_delay=True):
    def neuron(current, decay, threshold, v0):
        cell = snntorch.Leaky(
            beta=decay,
            threshold=threshold,
            spike_grad=spike,
            reset_mechanism=RESETS[reset],
            reset_delay=reset_delay,
        )
        spikes, membranes, v = [], [], v0
        for x in current:
            s, v = cell(x, v)
            spikes.append(s)
            membranes.append(v)
        return torch.stack(spikes), torch.stack(membranes), v

    return neuron


@both_dtypes
@pytest.mark.parametrize("reset", RESETS)
def test_reset_undecayed(x64, dtype, reset):
    given = arguments(dtype)
    run = differentiated(lif(step_order="reset_undecayed", reset=reset, detach_reset=True), given)
    expected = differentiated_in_torch(leaky(reset), given)
    assert expected.gradients.keys() == given.keys()
    assert_same(run, expected, run.membrane, given["threshold"])


@both_dtypes
def test_reset_to_zero_is_charge_fire_reset(x64, dtype):
    """Only the time of the reset differs: the first and the last state are not reset yet."""
    given = arguments(dtype)

    def ours(current, decay, threshold, v0):
        v0 = jnp.where(v0 >= threshold, 0, v0)
        return lif(reset="zero", detach_reset=True)(current, decay, threshold, v0)

    def theirs(current, decay, threshold, v0):
        spikes, membrane, final = leaky("zero")(current, decay, threshold, v0)
        return spikes, membrane, final * (1 - spikes[-1].detach())

    run, expected = differentiated(ours, given), differentiated_in_torch(theirs, given)
    assert expected.gradients.keys() == given.keys()
    assert_same(run, expected, run.membrane, given["threshold"])


@both_dtypes
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_reset_without_delay_is_charge_fire_reset(x64, dtype, reset):
    """Only if one reset brings each membrane below the threshold, because a due reset is not repeated."""
    given = arguments(dtype)
    below = 0.95 * given["threshold"]
    given["v0"] = np.minimum(given["v0"], below)
    if reset == "subtract":
        given["current"] = np.minimum(given["current"], below)
    run = differentiated(lif(reset=reset), given)
    fires_on = run.membrane
    run.membrane = after_reset(run.membrane, run.spikes, given["threshold"], reset)
    expected = differentiated_in_torch(leaky(reset, reset_delay=False), given)
    assert expected.gradients.keys() == given.keys()
    assert_same(run, expected, fires_on, given["threshold"])


def test_its_own_surrogate(x64):
    given = arguments("float32")
    spike = spikegrad.Sigmoid(alpha=5.0)
    run = differentiated(lif(step_order="reset_undecayed", detach_reset=True, surrogate=spike), given)
    expected = differentiated_in_torch(leaky("subtract", snntorch.surrogate.sigmoid(slope=5)), given)
    assert_same(run, expected, run.membrane, given["threshold"])


def test_where_the_two_differ():
    """snnTorch's surrogates do not spike exactly at the threshold."""
    cell = snntorch.Leaky(beta=1.0, threshold=1.0, spike_grad=snntorch.surrogate.sigmoid())
    spikes, _ = cell(torch.ones(1), torch.zeros(1))
    assert spikes == 0
    assert spikegrad.lif(np.ones((1, 1), np.float32), 1.0, 1.0)[0] == 1
