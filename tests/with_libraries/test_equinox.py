"""equinox: a module holds the spike as a field, as snnax's neurons do with `spike_fn`, and optax trains it."""

import pickle
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import BATCH, INPUTS, NEURONS, OURS, assert_same_step, currents, plain


class Layer(eqx.Module):
    linear: eqx.nn.Linear
    spike_fn: Callable
    decay: float

    def __init__(self, spike, key):
        self.linear = eqx.nn.Linear(INPUTS, NEURONS, key=key)
        self.spike_fn = spike
        self.decay = 0.9

    def __call__(self, xs):
        def step(v, x):
            u = self.decay * v + jax.vmap(self.linear)(x)
            s = self.spike_fn(u - 1)
            return u - s, s

        return jax.lax.scan(step, jnp.zeros((BATCH, NEURONS)), xs)[1]


def train(spike):
    model = Layer(spike, jax.random.key(0))
    optimiser = optax.adam(1e-2)
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state, xs):
        def loss(model):
            spikes = model(xs)
            return (spikes.mean(0) ** 2).sum(), spikes

        (_, spikes), gradients = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(model, updates), state, spikes, gradients

    model, state, spikes, gradients = step(model, state, jnp.asarray(currents(3)))
    assert model.spike_fn is spike
    return spikes, eqx.filter(gradients, eqx.is_array)


@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_a_training_step(spike):
    assert_same_step(train(spike), train(plain(spike)))


@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_equal_fields_do_not_retrace(spike):
    traces = []

    @eqx.filter_jit
    def run(model, xs):
        traces.append(model)
        return model(xs)

    for _ in range(3):
        run(Layer(type(spike)(), jax.random.key(0)), jnp.asarray(currents(1)))
    assert len(traces) == 1


@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_it_is_no_leaf_that_is_trained_and_survives_a_pickle(spike):
    model = Layer(spike, jax.random.key(0))
    arrays, rest = eqx.partition(model, eqx.is_array)
    assert arrays.spike_fn is None and rest.spike_fn is spike
    again = pickle.loads(pickle.dumps(model))
    assert again.spike_fn == spike
    np.testing.assert_array_equal(again(jnp.asarray(currents(1))), model(jnp.asarray(currents(1))))
