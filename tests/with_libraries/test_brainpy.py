"""BrainPy: its neurons take the spike as `spk_fun`, and call it with BrainPy's own arrays."""

import brainpy as bp
import brainpy.math as bm
import jax.numpy as jnp
import pytest
from training import BATCH, INPUTS, NEURONS, OURS, OUTPUTS, STEPS, assert_same_step, currents


def step(spike):
    bm.random.seed(0)

    class Net(bp.DynamicalSystem):
        def __init__(self):
            super().__init__()
            self.linear = bp.layers.Dense(INPUTS, NEURONS)
            self.neuron = bp.dyn.Lif(NEURONS, spk_fun=spike, V_th=1.0, V_reset=0.0, tau=5.0)
            self.readout = bp.layers.Dense(NEURONS, OUTPUTS)

        def update(self, x):
            return self.readout(self.neuron(self.linear(x)))

    with bm.training_environment():
        net = Net()
    xs = jnp.asarray(currents(10))

    def loss():
        net.reset(BATCH)
        outputs = []
        for i in range(STEPS):
            bp.share.save(t=1.0 * i, dt=1.0)
            outputs.append(net(xs[i]))
        outputs = bm.stack(outputs)
        return (outputs**2).mean(), outputs

    parameters = net.train_vars().unique()
    gradients, _, outputs = bm.jit(bm.grad(loss, grad_vars=parameters, return_value=True, has_aux=True))()
    return bm.as_numpy(outputs), {name: bm.as_numpy(gradient) for name, gradient in gradients.items()}


@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_a_training_step(spike):
    theirs = getattr(bm.surrogate, type(spike).__name__)()
    assert_same_step(step(spike), step(theirs))
