"""`vmap` of the layer over every combination of in_axes, against separate calls, and the compiled programs."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_lif import STEP_ORDERS
from spikegrad import GaussianGrad, lif

B, T = 3, 6
RNG = np.random.default_rng(0)


def draw(shape, axis, low=0.5, high=1.0):
    shape = shape if axis is None else (*shape[:axis], B, *shape[axis:])
    return RNG.uniform(low, high, shape).astype(np.float32)


def take(value, axis, i):
    return value if axis is None else np.take(value, i, axis)


def forward(current, decay, threshold, v0):
    return lif(current, decay, threshold, v0=v0, return_membrane=True)


def gradient(current, decay, threshold, v0):
    def loss(*operands):
        spikes, v_final, membrane = forward(*operands)
        return (spikes * jnp.cos(current)).sum() + (v_final**2).sum() + (membrane * current).sum()

    return jax.grad(loss, (0, 1, 2, 3))(current, decay, threshold, v0)


def tangent(current, decay, threshold, v0):
    operands = current, decay, threshold, v0
    return jax.jvp(forward, operands, tuple(jnp.cos(o) for o in operands))[1]


def second(current, decay, threshold, v0):
    return jax.jvp(lambda x: gradient(x, decay, threshold, v0), (current,), (jnp.cos(current),))[1]


def check(f, operands, axes):
    out = jax.jit(jax.vmap(f, axes))(*operands)
    one = jax.jit(f)
    for i in range(B):
        expected = one(*(take(o, a, i) for o, a in zip(operands, axes, strict=True)))
        for actual, wanted in zip(jax.tree.leaves(out), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(actual[i], wanted, rtol=1e-5, atol=1e-5, err_msg=str(axes))


# in_axes of current, decay, threshold and v0, for each choice of operand shapes.
AXES = {
    "neurons": [*itertools.product((None, 0, 1, 2), (None, 0, 1), (None, 0), (None, 1))],
    "scalars": [*itertools.product((None, 0, 1, 2), (None, 0), (None, 0), (None, 0))],
    "one neuron": [*itertools.product((None, 0, 1), (None, 0), (None, 0), (None, 0))],
}
SHAPES = {"neurons": ((5,), (5,)), "scalars": ((5,), ()), "one neuron": ((), ())}


@pytest.mark.parametrize("f", [forward, gradient, tangent])
@pytest.mark.parametrize("kind", list(AXES))
def test_every_combination_of_in_axes(kernels, f, kind):
    neurons, state = SHAPES[kind]
    combinations = [axes for axes in AXES[kind] if any(axis is not None for axis in axes)]
    # All combinations for the gradient, which includes the forward pass.
    for axes in combinations if kernels and f is gradient else combinations[:: len(combinations) // 7]:
        operands = draw((T, *neurons), axes[0]), *(draw(state, axis) for axis in axes[1:])
        check(f, operands, axes)


@pytest.mark.parametrize("axes", [(0, None, None, None), (2, 0, None, 0), (None, None, 0, None)], ids=str)
def test_second_order(axes):
    check(second, (draw((T, 5), axes[0]), *(draw((5,), axis) for axis in axes[1:])), axes)


@pytest.mark.parametrize("axes", [*itertools.product((None, 0, 1, 2), (None, 0, 1, 2), (None, 0, 1))], ids=str)
def test_every_combination_of_a_mapped_current_and_mapped_cotangents(axes):
    """Test the pullback alone, because Jacobians map only the cotangents."""
    if axes == (None,) * 3:
        return
    operands = draw((T, 4), axes[0]), draw((T, 4), axes[1]), draw((4,), axes[2])

    def pull_back(current, spikes_bar, v_final_bar):
        return jax.vjp(lambda x: lif(x, 0.9, 0.8), current)[1]((spikes_bar, v_final_bar))

    check(pull_back, operands, axes)


@pytest.mark.parametrize("step_order", STEP_ORDERS)
def test_mapped_parameters_of_the_surrogate(step_order):
    """Mapped parameters of the surrogate run as a scan."""

    def f(current, sigma):
        layer = lambda x: lif(x, 0.9, 0.8, surrogate=GaussianGrad(sigma), step_order=step_order)[0]
        return layer(current), jax.grad(lambda x: (layer(x) * current).sum())(current)

    for axes in ((None, 0), (0, 0), (2, 0)):
        check(f, (draw((T, 4), axes[0]), draw((), axes[1])), axes)


@pytest.mark.parametrize("out_axis", [0, 1, 2, 3])
def test_nested_vmaps(out_axis):
    current, decay = draw((2, T, 5), 0), draw((5,), 0)
    inner = jax.vmap(lambda x, d: lif(x, d, 0.8)[0], in_axes=(0, None))
    out = jax.vmap(inner, in_axes=(0, 0), out_axes=out_axis)(current, decay)
    for i, j in itertools.product(range(B), range(2)):
        np.testing.assert_array_equal(np.moveaxis(out, out_axis, 0)[i, j], lif(current[i, j], decay[i], 0.8)[0])


@pytest.mark.usefixtures("kernels_called")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nothing_is_transposed(axis):
    """The kernel takes the index of the time axis, so a current mapped along any axis is not transposed."""
    current = draw((T, 5), axis)
    f = jax.vmap(lambda x: jax.grad(lambda x: (lif(x, 0.9, 0.8)[0] * x).sum())(x), axis, axis)
    text = jax.jit(f).lower(current).compile().as_text()
    assert text.count('custom_call_target="spikegrad.lif') == 2
    assert not re.search(r"= \S+ (transpose|copy)\(", text)


def test_a_jacobian():
    current = draw((4, 2), None)
    f = lambda x: lif(x, 0.9, 0.8)[1]
    expected = np.stack([jax.vjp(f, current)[1](row)[0] for row in np.eye(2, dtype=np.float32)])
    np.testing.assert_allclose(jax.jacrev(f)(current), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(f)(current), expected, rtol=1e-6)
