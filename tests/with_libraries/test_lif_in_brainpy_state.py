"""`lif` against brainpy.state's LIF: charge, fire, reset. brainpy.state does the reset at the start of the next step.

So its state is the membrane before the reset, and its first state is reset too. It charges by exponential Euler: `u =
decay v + (1 - decay) R x` with `decay = exp(-dt / tau)`. Its spike function is called with `(u - V_th) / V_th` (if
V_reset is 0). For a Gaussian this equals a Gaussian of V_th times the width, applied to `u - V_th`.
"""

import brainpy.state
import brainstate
import brainunit as u
import jax.numpy as jnp
import numpy as np
import spikegrad
from other_libraries import BATCH, NEURONS, arguments, assert_same, both_dtypes, differentiated, lif

THRESHOLD, SIGMA = 0.8, 0.5


def given_by(dtype):
    """Operands with a time constant instead of the decay. All neurons have one threshold and one surrogate."""
    given = arguments(dtype)
    return {"current": 4 * given["current"], "tau": -1 / np.log(given["decay"]), "v0": given["v0"]}


def theirs(spk_reset):
    def neuron(current, tau, v0):
        cell = brainpy.state.LIF(
            NEURONS,
            tau=tau * u.ms,
            V_th=jnp.asarray(THRESHOLD, current.dtype) * u.mV,
            spk_fun=spikegrad.GaussianGrad(SIGMA),
            spk_reset=spk_reset,
        )
        cell.init_state(BATCH)
        cell.V.value = v0 * u.mV

        def step(x):
            with brainstate.environ.context(dt=jnp.asarray(1, current.dtype) * u.ms):
                spikes = cell(x * u.mA)
            return spikes, cell.V.value / u.mV

        spikes, membrane = brainstate.transform.for_loop(step, current)
        return spikes, membrane, after(membrane[-1], spikes[-1], spk_reset)

    return neuron


def after(membrane, spikes, spk_reset):
    return membrane - spikes * THRESHOLD if spk_reset == "soft" else membrane * (1 - spikes)


def ours(spk_reset, detach_reset=False):
    reset = {"soft": "subtract", "hard": "zero"}[spk_reset]
    spike = spikegrad.GaussianGrad(SIGMA * THRESHOLD)

    def neuron(current, tau, v0):
        decay = jnp.exp(-1 / tau)
        v0 = after(v0, spike(v0 - THRESHOLD), spk_reset)
        options = {"reset": reset, "detach_reset": detach_reset, "surrogate": spike}
        return lif(**options)((1 - decay) * current, decay, THRESHOLD, v0)

    return neuron


@both_dtypes
def test_soft_reset(x64, dtype):
    given = given_by(dtype)
    run = differentiated(ours("soft"), given)
    assert_same(run, differentiated(theirs("soft"), given), run.membrane, THRESHOLD)


def test_hard_reset_but_for_its_gradient(x64):
    """Its `u - stop_gradient(u) s` has the derivative `1 - u s'`, but a reset to zero has `1 - s - u s'`."""
    given = given_by("float64")
    expected = differentiated(theirs("hard"), given)
    gradients, expected.gradients = expected.gradients, {}
    for detach_reset in (False, True):
        run = differentiated(ours("hard", detach_reset), given)
        assert_same(run, expected, run.membrane, THRESHOLD)
        assert np.abs(run.gradients["current"] - gradients["current"]).max() > 0.1
