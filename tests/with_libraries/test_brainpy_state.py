"""brainpy.state: its neurons take the spike as `spk_fun`."""

import brainpy.state
import brainstate
import braintools
import brainunit as u
import jax.numpy as jnp
import pytest
from training import BATCH, INPUTS, NEURONS, OURS, OUTPUTS, STEPS, assert_same_step, currents


class Net(brainstate.nn.Module):
    def __init__(self, neuron, spike):
        super().__init__()
        self.linear = brainstate.nn.Linear(INPUTS, NEURONS)
        self.neuron = neuron(NEURONS, spk_fun=spike)
        self.readout = brainstate.nn.Linear(NEURONS, OUTPUTS)

    def update(self, x):
        return self.readout(self.neuron(self.linear(x) * u.mA))


def step(neuron, spike):
    brainstate.random.seed(0)
    net = Net(neuron, spike)
    brainstate.nn.init_all_states(net, batch_size=BATCH)
    assert net.neuron.spk_fun is spike

    def loss():
        brainstate.nn.reset_all_states(net, batch_size=BATCH)

        def one(i, x):
            with brainstate.environ.context(i=i, t=i * u.ms, dt=u.ms):
                return net(x)

        outputs = brainstate.transform.for_loop(one, jnp.arange(STEPS), jnp.asarray(currents(5)))
        return (outputs**2).mean(), outputs

    parameters = net.states(brainstate.ParamState)
    gradients, _, outputs = brainstate.transform.jit(
        brainstate.transform.grad(loss, parameters, has_aux=True, return_value=True)
    )()
    return outputs, gradients


@pytest.mark.parametrize("neuron", [brainpy.state.LIF, brainpy.state.ALIF])
@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_a_training_step(neuron, spike):
    theirs = getattr(braintools.surrogate, type(spike).__name__)()
    assert_same_step(step(neuron, spike), step(neuron, theirs))
