"""spyx: its neurons take the spike as `activation`. spyx's own spikes are `x > 0`, spikegrad's are `x >= 0`."""

import braintools.surrogate
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spyx.axn
import spyx.nn
from flax import nnx
from training import INPUTS, NEURONS, OURS, OUTPUTS, assert_same_step, currents


def step(spike):
    rngs = nnx.Rngs(0)
    model = spyx.nn.Sequential(
        nnx.Linear(INPUTS, NEURONS, use_bias=False, rngs=rngs),
        spyx.nn.LIF((NEURONS,), activation=spike, rngs=rngs),
        nnx.Linear(NEURONS, OUTPUTS, use_bias=False, rngs=rngs),
        spyx.nn.LI((OUTPUTS,), rngs=rngs),
    )

    @nnx.jit
    def value_and_gradient(model, x):
        def loss(model):
            outputs, _ = spyx.nn.run(model, x)
            return (outputs**2).mean(), outputs

        return nnx.value_and_grad(loss, has_aux=True)(model)

    (_, outputs), gradients = value_and_gradient(model, jnp.asarray(currents(3)))
    return outputs, gradients


@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_a_training_step(spike):
    theirs = spyx.axn.custom(getattr(braintools.surrogate, type(spike).__name__)().surrogate_grad)
    assert_same_step(step(spike), step(theirs))


def test_where_the_two_differ():
    spike, theirs = OURS[0], spyx.axn.custom(OURS[0].surrogate_grad)
    x = jnp.array([-1e-3, -0.0, 0.0, 1e-3])
    np.testing.assert_array_equal(spike(x), [0, 1, 1, 1])
    np.testing.assert_array_equal(theirs(x), [0, 0, 0, 1])


def test_it_is_no_parameter_of_the_model():
    neuron = spyx.nn.LIF((NEURONS,), activation=OURS[0], rngs=nnx.Rngs(0))
    assert [path for path, _ in nnx.to_flat_state(nnx.state(neuron, nnx.Param))] == [("beta",)]
    assert neuron.spike is OURS[0]
    assert jax.tree.leaves(nnx.state(neuron))[0].shape == (NEURONS,)
