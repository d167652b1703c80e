"""`lif` with objects of `braintools.surrogate` runs on the kernels, and has the gradient of a `lax.scan`."""

import braintools
import braintools.surrogate as theirs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from braintools_functions import FUNCTIONS, GRIDS, exact
from numpy_lif import draw
from spikegrad import lif

CURRENT, DECAY, THRESHOLD, V0 = draw(0, 30, (50,))
PARAMETERS = {name: {key: values[0] for key, values in grid.items()} for name, grid in GRIDS.items()}


@pytest.fixture(autouse=True)
def kernels_called():
    with spikegrad.kernels(True):
        yield


def by_lif(spike):
    return lambda x: lif(x, DECAY, THRESHOLD, v0=V0, surrogate=spike)


def by_scan(spike):
    def run(x):
        def step(v, x):
            u = DECAY * v + x
            s = spike(u - THRESHOLD)
            return u - s * THRESHOLD, s

        v_final, spikes = jax.lax.scan(step, jnp.asarray(V0), x)
        return spikes, v_final

    return run


def pulled_back(run):
    return lambda x: jax.vjp(run, x)[1]((CURRENT, V0))[0]


def lowered(f):
    return jax.jit(f).lower(CURRENT).as_text()


@pytest.mark.parametrize("parameters", [{}, None], ids=["defaults", "given"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_on_the_kernels(name, parameters):
    parameters = PARAMETERS[name] if parameters is None else parameters
    spike, ours = getattr(theirs, name)(**parameters), getattr(spikegrad, name)(**parameters)
    for f in (by_lif(spike), pulled_back(by_lif(spike))):
        assert "custom_call @spikegrad.lif" in lowered(f) and "stablehlo.while" not in lowered(f)
    for way in (lambda run: run, pulled_back):
        for got, same, scanned in zip(
            *(jax.tree.leaves(way(run)(CURRENT)) for run in (by_lif(spike), by_lif(ours), by_scan(spike))), strict=True
        ):
            np.testing.assert_array_equal(got, same)
            np.testing.assert_allclose(got, scanned, rtol=1e-4, atol=1e-5)
    assert 0 < np.mean(by_lif(spike)(CURRENT)[0]) < 1


def by_loop(spike):
    """An unrolled layer. In the second derivative of a scan jax drops custom rules."""

    def run(x):
        v, spikes = jnp.asarray(V0), []
        for row in x:
            u = DECAY * v + row
            spikes.append(spike(u - THRESHOLD))
            v = u - spikes[-1] * THRESHOLD
        return jnp.stack(spikes), v

    return run


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives_are_the_true_ones(name):
    """A scan over the objects gives 0 before braintools 0.4, and omits the terms of the reset in 0.4."""
    spike = getattr(theirs, name)()
    second = lambda run: jax.jvp(pulled_back(run), (CURRENT,), (CURRENT,))[1]
    got = second(by_lif(spike))
    expected = second(by_loop(exact(spike.surrogate_grad)))
    largest = np.abs(expected).max()
    assert largest > 0.1
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * largest)
    assert np.abs(second(by_scan(spike)) - expected).max() > 0.1 * largest


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_may_differ_runs_as_a_scan(monkeypatch, name):
    cls = getattr(theirs, name)
    parameter = next(iter(PARAMETERS[name]))
    changed, replaced = cls(), cls()
    changed.surrogate_grad, replaced.surrogate_fun = jnp.cos, jnp.cos
    subclass = type(name, (cls,), {"__module__": cls.__module__})
    array = cls(**{parameter: jnp.float32(0.5)})
    for spike in (changed, replaced, subclass(), array):
        assert "spikegrad" not in lowered(by_lif(spike))
    traced = jax.jit(lambda p: by_lif(cls(**{parameter: p}))(CURRENT)).lower(0.5).as_text()
    assert "spikegrad" not in traced
    np.testing.assert_allclose(
        pulled_back(by_lif(changed))(CURRENT), pulled_back(by_scan(changed))(CURRENT), rtol=1e-4, atol=1e-5
    )
    monkeypatch.setattr(braintools, "__version__", "0.1.10")
    assert "spikegrad" not in lowered(by_lif(cls()))
