"""Compare `spikegrad.lif` with a neuron of another library: each spike, each membrane and each gradient.

A test passes the library's neuron as a function of `arguments`. The gradient is of a weighted sum of all spikes and the
final membrane. Each element has its own weight, so that swapped elements are detected.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad

STEPS, BATCH, NEURONS = 60, 4, 24
# Bounds on differences between two orders of the same operations, relative to the largest membrane and gradient.
BOUNDS = {"float32": (1e-6, 1e-5), "float64": (1e-14, 1e-13)}

both_dtypes = pytest.mark.parametrize("dtype", BOUNDS)


def arguments(dtype):
    """Operands with one decay and threshold per neuron. Some neurons rest, some spike rarely, some at each step."""
    rng = np.random.default_rng(0)
    current = rng.normal(rng.uniform(-0.3, 1.2, NEURONS), 0.6, (STEPS, BATCH, NEURONS))
    decay, threshold = rng.uniform(0.3, 0.99, NEURONS), rng.uniform(0.5, 1.5, NEURONS)
    v0 = rng.normal(0.5, 1.0, (BATCH, NEURONS))
    return {
        name: value.astype(dtype)
        for name, value in {"current": current, "decay": decay, "threshold": threshold, "v0": v0}.items()
    }


def weights(dtype):
    """The weights of the spikes and of the final membrane."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(STEPS, BATCH, NEURONS)).astype(dtype), rng.normal(size=(BATCH, NEURONS)).astype(dtype)


@dataclass
class Run:
    spikes: np.ndarray
    membrane: np.ndarray
    final: np.ndarray
    gradients: dict[str, np.ndarray]


def differentiated(neuron, arguments):
    """Run a jax neuron: a function of named arguments that returns spikes, membranes and the final membrane."""
    of_spikes, of_final = weights(arguments["current"].dtype)

    @jax.jit
    def run(arguments):
        def loss(arguments):
            spikes, membrane, final = neuron(**arguments)
            return (of_spikes * spikes).sum() + (of_final * final).sum(), (spikes, membrane, final)

        return jax.grad(loss, has_aux=True)(arguments)

    gradients, results = run({name: jnp.asarray(value) for name, value in arguments.items()})
    return Run(*map(np.asarray, results), {name: np.asarray(gradient) for name, gradient in gradients.items()})


def lif(**options):
    """`spikegrad.lif` with these options, as a neuron. It also returns the membranes."""

    def neuron(current, decay, threshold, v0):
        spikes, final, membrane = spikegrad.lif(
            current, decay, threshold, v0=v0, return_membrane=True, **{"surrogate": spikegrad.GaussianGrad(), **options}
        )
        return spikes, membrane, final

    return neuron


def after_reset(membrane, spikes, threshold, reset):
    if reset is None:
        return membrane
    return membrane * (1 - spikes) if reset == "zero" else membrane - spikes * threshold


def assert_same(ours, theirs, fires_on, threshold):
    """Compare two runs. `theirs` may lack gradients. `fires_on` is the membrane that is compared with the threshold."""
    dtype = ours.spikes.dtype.name
    assert theirs.membrane.dtype.name == dtype, "the other library did not compute in this dtype"
    of_membrane, of_gradient = BOUNDS[dtype]
    rounding = of_membrane * max(1, np.abs(ours.membrane).max())
    assert np.abs(fires_on - threshold).min() > rounding, "rounding may change a spike: use another seed"
    rate = ours.spikes.mean((0, 1))
    assert rate.min() < 0.2 and rate.max() > 0.5, "the test needs neurons that spike rarely and often"
    np.testing.assert_array_equal(ours.spikes, theirs.spikes)
    np.testing.assert_allclose(ours.membrane, theirs.membrane, rtol=0, atol=rounding)
    np.testing.assert_allclose(ours.final, theirs.final, rtol=0, atol=rounding)
    for name, gradient in theirs.gradients.items():
        largest = np.abs(gradient).max()
        assert largest > 1e-2
        np.testing.assert_allclose(ours.gradients[name], gradient, rtol=0, atol=of_gradient * largest, err_msg=name)
