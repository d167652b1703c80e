"""`lif` against SpikingJelly's neurons: charge, fire, reset, with the reset detached or not.

`decay = 1 - 1 / tau`. With `decay_input` the current is divided by tau. SpikingJelly returns the membrane after the
reset.
"""

import jax
import numpy as np
import pytest
import spikegrad
import torch
from other_libraries import after_reset, arguments, assert_same, both_dtypes, differentiated, lif
from run_in_torch import GaussianSpike, differentiated_in_torch
from spikingjelly.activation_based import neuron, surrogate

RESETS = {"subtract": None, "zero": 0.0}


def sequence(cell, current, v0):
    cell.v = v0
    spikes = cell(current)
    return spikes, cell.v_seq, cell.v


def with_membranes_after_reset(run, threshold, reset):
    """The run with membranes after the reset, as SpikingJelly returns them, and the membranes before the reset."""
    fires_on = run.membrane
    run.membrane = after_reset(run.membrane, run.spikes, threshold, reset)
    return run, fires_on


@both_dtypes
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("decay_input", [False, True])
def test_parametric_lif_and_its_gradients(x64, dtype, reset, detach_reset, decay_input):
    """The parametric neuron learns `w`, the logit of 1 / tau. It accepts any spike function and threshold tensor."""
    given = arguments(dtype)
    decay = given.pop("decay")
    given["w"] = np.log((1 - decay) / decay)
    options = {"detach_reset": detach_reset, "step_mode": "m", "store_v_seq": True}

    def theirs(current, w, threshold, v0):
        cell = neuron.ParametricLIFNode(
            decay_input=decay_input, v_reset=RESETS[reset], surrogate_function=GaussianSpike.apply, **options
        )
        del cell.w
        cell.w, cell.v_threshold = w, threshold
        return sequence(cell, current, v0)

    def ours(current, w, threshold, v0):
        current = jax.nn.sigmoid(w) * current if decay_input else current
        return lif(reset=reset, detach_reset=detach_reset)(current, jax.nn.sigmoid(-w), threshold, v0)

    if decay_input:
        given["current"] = 3 * given["current"]
    run, fires_on = with_membranes_after_reset(differentiated(ours, given), given["threshold"], reset)
    expected = differentiated_in_torch(theirs, given)
    assert expected.gradients.keys() == given.keys()
    assert_same(run, expected, fires_on, given["threshold"])


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("cls, decay", [(neuron.LIFNode, 0.75), (neuron.IFNode, 1.0)])
def test_lif_and_if_with_their_own_surrogate(x64, reset, detach_reset, cls, decay):
    """For its own surrogates in float32, SpikingJelly has a fused backward pass, too."""
    given = arguments("float32")
    given = {name: given[name] for name in ("current", "v0")}
    threshold = 0.75

    def theirs(current, v0):
        cell = cls(
            v_threshold=threshold,
            v_reset=RESETS[reset],
            surrogate_function=surrogate.Sigmoid(alpha=4.0),
            detach_reset=detach_reset,
            step_mode="m",
            store_v_seq=True,
            **({"tau": 1 / (1 - decay), "decay_input": False} if cls is neuron.LIFNode else {}),
        )
        return sequence(cell, current, v0)

    def ours(current, v0):
        spike = spikegrad.Sigmoid(alpha=4.0)
        return lif(reset=reset, detach_reset=detach_reset, surrogate=spike)(current, decay, threshold, v0)

    run, fires_on = with_membranes_after_reset(differentiated(ours, given), threshold, reset)
    assert_same(run, differentiated_in_torch(theirs, given), fires_on, threshold)


def test_both_fire_at_the_threshold():
    spikes = neuron.IFNode(v_threshold=1.0, step_mode="m")(torch.ones(1, 1))
    np.testing.assert_array_equal(spikes, spikegrad.lif(np.ones((1, 1), np.float32), 1.0, 1.0)[0])
    assert spikes == 1
