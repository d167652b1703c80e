"""flax: the spike as an attribute of a linen module and of an nnx module, trained by optax."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from spikegrad import GaussianGrad, gaussian_grad, lif
from training import BATCH, INPUTS, NEURONS, OURS, assert_same_step, currents, plain


class Linen(nn.Module):
    spike: Callable

    @nn.compact
    def __call__(self, xs):
        currents = nn.Dense(NEURONS)(xs)

        def step(v, x):
            u = 0.9 * v + x
            s = self.spike(u - 1)
            return u - s, s

        return jax.lax.scan(step, jnp.zeros((BATCH, NEURONS)), currents)[1]


class Nnx(nnx.Module):
    def __init__(self, spike):
        self.linear = nnx.Linear(INPUTS, NEURONS, rngs=nnx.Rngs(0))
        self.spike = spike

    def __call__(self, xs):
        def step(v, x):
            u = 0.9 * v + x
            s = self.spike(u - 1)
            return u - s, s

        return jax.lax.scan(step, jnp.zeros((BATCH, NEURONS)), self.linear(xs))[1]


def loss_of(spikes):
    return (spikes.mean(0) ** 2).sum()


def linen_step(spike):
    xs = jnp.asarray(currents(3))
    model = Linen(spike)
    state = TrainState.create(
        apply_fn=model.apply, params=model.init(jax.random.key(0), xs)["params"], tx=optax.adam(1e-2)
    )

    @jax.jit
    def step(state, xs):
        def loss(params):
            spikes = state.apply_fn({"params": params}, xs)
            return loss_of(spikes), spikes

        (_, spikes), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
        return state.apply_gradients(grads=gradients), spikes, gradients

    state, spikes, gradients = step(state, xs)
    assert int(state.step) == 1
    return spikes, gradients


def nnx_step(spike):
    model = Nnx(spike)
    optimiser = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimiser, xs):
        def loss(model):
            spikes = model(xs)
            return loss_of(spikes), spikes

        (_, spikes), gradients = nnx.value_and_grad(loss, has_aux=True)(model)
        optimiser.update(model, gradients)
        return spikes, gradients

    spikes, gradients = step(model, optimiser, jnp.asarray(currents(3)))
    assert model.spike is spike
    return spikes, gradients


@pytest.mark.parametrize("step", [linen_step, nnx_step])
@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_a_training_step(step, spike):
    assert_same_step(step(spike), step(plain(spike)))


@pytest.mark.parametrize("spike", OURS, ids=repr)
def test_equal_modules_are_one_static_argument(spike):
    """Linen modules are dataclasses. Modules with equal spikes are equal, so jit traces once."""
    traces = []

    def run(model, params, xs):
        traces.append(model)
        return model.apply(params, xs)

    jitted = jax.jit(run, static_argnums=0)
    xs = jnp.asarray(currents(1))
    params = Linen(spike).init(jax.random.key(0), xs)
    for _ in range(3):
        np.testing.assert_array_equal(jitted(Linen(type(spike)()), params, xs), Linen(spike).apply(params, xs))
    assert len(traces) == 1
    assert Linen(type(spike)()) == Linen(spike)


class Learned(nnx.Module):
    """A layer whose states and surrogate parameters are `nnx.Param`."""

    def __init__(self, wrap=nnx.Param):
        self.decay, self.threshold = wrap(jnp.full(NEURONS, 0.9)), wrap(jnp.ones(NEURONS))
        self.v0, self.sigma = wrap(jnp.zeros(NEURONS)), wrap(jnp.asarray(0.4))

    def __call__(self, xs):
        spikes, _ = lif(
            xs, self.decay, self.threshold, v0=self.v0, surrogate=GaussianGrad(self.sigma, alpha=self.sigma)
        )
        return spikes + gaussian_grad(xs - self.threshold, self.sigma)


def test_params_are_operands():
    """`nnx.Param` is accepted without `.value` or `[...]`."""
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((5, NEURONS)), jnp.float32)
    loss = lambda model: (model(xs) * jnp.cos(xs)).sum()
    gradients = nnx.jit(nnx.grad(loss))(Learned())

    def plain_loss(values):
        decay, threshold, v0, sigma = values
        spikes, _ = lif(xs, decay, threshold, v0=v0, surrogate=GaussianGrad(sigma, alpha=sigma))
        return ((spikes + gaussian_grad(xs - threshold, sigma)) * jnp.cos(xs)).sum()

    model = Learned(wrap=lambda value: value)
    names = ("decay", "threshold", "v0", "sigma")
    expected = jax.grad(plain_loss)([getattr(model, name) for name in names])
    for name, wanted in zip(names, expected, strict=True):
        np.testing.assert_allclose(gradients[name][...], wanted, rtol=1e-6, atol=1e-7)
