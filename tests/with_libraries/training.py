"""Shared by the tests of each library: currents, and the comparison of one training step with two spikes."""

import braintools.surrogate
import jax
import numpy as np
import spikegrad

STEPS, BATCH, INPUTS, NEURONS, OUTPUTS = 10, 4, 6, 20, 3
OURS = [spikegrad.GaussianGrad(), spikegrad.MultiGaussianGrad(), spikegrad.Sigmoid()]


def currents(scale):
    return (scale * np.random.default_rng(0).standard_normal((STEPS, BATCH, INPUTS))).astype(np.float32)


def plain(spike):
    """The same step and gradient in `jax.numpy`, for libraries without such a surrogate."""
    gradient = getattr(braintools.surrogate, type(spike).__name__)().surrogate_grad

    @jax.custom_vjp
    def step(x):
        return (x >= 0).astype(x.dtype)

    step.defvjp(lambda x: (step(x), x), lambda x, t: (t * gradient(x),))
    return step


def assert_same_step(ours, theirs):
    """Compare (outputs, gradients) of one step: equal outputs, and gradients that are equal up to rounding."""
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert np.ptp(theirs[0]) > 0, "no neuron spikes, so the test shows nothing"
    pairs = list(zip(jax.tree.leaves(ours[1]), jax.tree.leaves(theirs[1]), strict=True))
    assert any(np.abs(expected).max() > 1e-3 for _, expected in pairs)
    for actual, expected in pairs:
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
