"""The layer's derivatives against JAX's derivatives of the scan, finite differences and each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import CASES
from jax import lax
from numpy_lif import RULES, RULES_AND_DETACHMENT, STEP_ORDERS, draw, numpy_lif
from spikegrad import GaussianGrad, fused, lif
from spikegrad.primitives.spike_derivative import spike_derivative

RNG = np.random.default_rng(0)
GAUSSIAN = GaussianGrad()
DEFAULT = {"step_order": "charge_fire_reset", "reset": "subtract", "detach_reset": False}


def by_scan(surrogate=GAUSSIAN, **rule):
    """The layer as a `lax.scan` over the spike. JAX differentiates the scan."""

    def layer(current, decay, threshold, v0):
        return fused.lif(surrogate, current, decay, threshold, v0, **rule)[:3]

    return layer


def by_lif(surrogate=GAUSSIAN, **options):
    def layer(current, decay, threshold, v0):
        return lif(current, decay, threshold, v0=v0, surrogate=surrogate, return_membrane=True, **options)

    return layer


def rule_of(step_order, reset, detach_reset=False):
    return {"step_order": step_order, "reset": reset, "detach_reset": detach_reset}


def weights_like(outs, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(out.shape).astype(out.dtype) for out in outs]


def gradients(layer, operands, weights):
    """Gradients of a weighted sum of all outputs with respect to all inputs."""

    def loss(*operands):
        return sum((out * w).sum() for out, w in zip(layer(*operands), weights, strict=True))

    return jax.jit(jax.grad(loss, (0, 1, 2, 3)))(*operands)


def assert_near(actual, wanted, tolerance):
    for got, want in zip(actual, wanted, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        got, want = (np.asarray(value, np.float64) for value in (got, want))
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.max(np.abs(want), initial=1e-30))


# Every rule for the Gaussian. One rule for each other surrogate, because its part is the same in all rules.
FIRST = [
    *((CASES[0], *rule) for rule in RULES_AND_DETACHMENT),
    *((case, STEP_ORDERS[0], "zero", False) for case in CASES[1:]),
]


@pytest.mark.parametrize("case, step_order, reset, detach_reset", FIRST, ids=str)
def test_reverse_and_forward_mode_are_those_of_the_scan(x64, case, step_order, reset, detach_reset):
    rule = rule_of(step_order, reset, detach_reset)
    operands = draw(3, 29, (2, 33), np.float64, scales=(2, 33))
    ours, theirs = (by(case.make(), **rule) for by in (by_lif, by_scan))
    weights = weights_like(theirs(*operands))
    assert_near(gradients(ours, operands, weights), gradients(theirs, operands, weights), 1e-13)
    tangents = tuple(weights_like(operands, 2))
    (_, mine), (_, other) = (jax.jvp(jax.jit(layer), operands, tangents) for layer in (ours, theirs))
    assert_near(mine, other, 1e-13)


@pytest.mark.parametrize("step_order, reset, detach_reset", RULES_AND_DETACHMENT)
def test_a_surrogate_that_the_fast_way_does_not_serve(step_order, reset, detach_reset):
    """Sigma is too large for GaussianValue in float32. The pullback then uses the elementwise kernel in other loops."""
    rule = rule_of(step_order, reset, detach_reset)
    operands = draw(10, 29, (2, 33), scales=(2, 33))
    ours, theirs = (by(GaussianGrad(sigma=2.0**60, alpha=2.0**60), **rule) for by in (by_lif, by_scan))
    weights = weights_like(theirs(*operands))
    assert_near(gradients(ours, operands, weights), gradients(theirs, operands, weights), 3e-5)


# One neuron each: its first two currents, decay, threshold and v0. One of the values is not finite or is extreme.
NOT_FINITE = [
    (x, 0.4, *states)
    for x in (0.4, np.inf, -np.inf, np.nan, 3e38, -3e38)
    for states in (
        (0.9, 1.0, 0.2),
        *((0.9, 1.0, v0) for v0 in (np.inf, -np.inf, np.nan)),
        *((decay, 1.0, 0.2) for decay in (np.inf, -np.inf, np.nan, 0.0)),
        *((0.9, threshold, 0.2) for threshold in (-np.inf, np.nan, 0.0)),
    )
]


@pytest.mark.parametrize("moving", [(0,), (1,), (2,), (3,), (0, 3), (0, 1, 2, 3)], ids=str)
def test_forward_mode_where_not_all_is_finite(kernels, moving):
    """NaN exactly where the scan has NaN. Operands without a tangent add no term."""
    x0, x1, *states = np.float32(NOT_FINITE).T
    operands = [np.stack([x0, x1, x1]), *states]
    dots = tuple(weights_like([operands[i] for i in moving], 3))

    def along(layer):
        def of_moving(*values):
            given = list(operands)
            for i, value in zip(moving, values, strict=True):
                given[i] = value
            return layer(*given)

        return jax.jit(lambda values, dots: jax.jvp(of_moving, values, dots)[1])(
            tuple(operands[i] for i in moving), dots
        )

    for step_order, reset, detach_reset in RULES_AND_DETACHMENT if kernels else RULES_AND_DETACHMENT[:4]:
        rule = rule_of(step_order, reset, detach_reset)
        for mine, other in zip(along(by_lif(**rule)), along(by_scan(**rule)), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-6, err_msg=str(rule))


def test_reverse_mode_where_not_all_is_finite(kernels):
    x0, x1, *states = np.float32(NOT_FINITE).T
    keep = np.abs(x0) != np.float32(3e38)  # there the sum for decay may overflow or not
    operands = [np.stack([x0, x1, x1])[:, keep], *(state[keep] for state in states)]
    for step_order, reset, detach_reset in RULES_AND_DETACHMENT if kernels else RULES_AND_DETACHMENT[:4]:
        rule = rule_of(step_order, reset, detach_reset)
        ours, theirs = by_lif(**rule), by_scan(**rule)
        bars = tuple(weights_like(theirs(*operands), 3))
        pull_back = lambda layer, bars=bars: jax.jit(lambda o: jax.vjp(layer, *o)[1](bars))(tuple(operands))
        for mine, other in zip(pull_back(ours), pull_back(theirs), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-6, err_msg=str(rule))


def test_a_masked_neuron_in_forward_mode(kernels):
    """A current of -infinity masks a neuron. The values are the documented ones."""
    x = jnp.full((3, 1), -jnp.inf)
    ones = jnp.ones_like(x)
    np.testing.assert_array_equal(jax.jvp(lambda x: lif(x, 0.9, 1.0)[0], (x,), (ones,))[1], np.zeros((3, 1)))
    v_final = lambda y: lif(y, 0.9, 1.0, reset="zero", detach_reset=True)[1]
    np.testing.assert_array_equal(jax.jvp(v_final, (x[:1],), (ones[:1],))[1], [1])


@pytest.mark.parametrize("step_order", STEP_ORDERS)
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 3e-6), (np.float16, 6e-4), (jnp.bfloat16, 5e-3)])
def test_every_dtype(step_order, dtype, tolerance):
    """In 16 bits only current, spikes and their (co)tangents have the dtype; all other values are float32."""
    rule = rule_of(step_order, "subtract")
    operands = draw(4, 40, (50,), dtype, scales=(50,))
    ours, theirs = by_lif(**rule), by_scan(**rule)
    weights = weights_like(theirs(*operands))
    assert_near(gradients(ours, operands, weights), gradients(theirs, operands, weights), tolerance)
    tangents = tuple(weights_like(operands, 2))
    (_, mine), (_, other) = (jax.jvp(jax.jit(layer), operands, tangents) for layer in (ours, theirs))
    assert_near(mine, other, tolerance)


@pytest.mark.parametrize("step_order", STEP_ORDERS)
@pytest.mark.parametrize("steps, shape", [(1, ()), (2, (1,)), (16, (9001,)), (300, (3, 5)), (4096, (9,))])
def test_every_length_and_size(step_order, steps, shape):
    rule = rule_of(step_order, "subtract")
    operands = draw(5, steps, shape, scales=shape)
    ours, theirs = by_lif(**rule), by_scan(**rule)
    weights = weights_like(theirs(*operands))
    assert_near(gradients(ours, operands, weights), gradients(theirs, operands, weights), 3e-5)


@pytest.mark.parametrize("step_order, reset", RULES)
@pytest.mark.parametrize("every", [1, 7, 30, 1000])
def test_checkpoints_change_nothing(step_order, reset, every):
    """The interval of checkpoints changes no bit of the gradients."""
    operands = draw(6, 30, (70,), scales=(70,))
    rule = rule_of(step_order, reset)
    weights = weights_like(by_lif(**rule)(*operands))
    for got, wanted in zip(
        gradients(by_lif(**rule, checkpoint_every=every), operands, weights),
        gradients(by_lif(**rule), operands, weights),
        strict=True,
    ):
        np.testing.assert_array_equal(got, wanted)


SHAPES = [(), (5,), (4, 1), (3, 1, 1), (3, 4, 5)]


@pytest.mark.parametrize("step_order", STEP_ORDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_of_what_is_broadcast_are_sums(x64, step_order, shape):
    """Operands per neuron, per channel or for all neurons, against the gradient of an array of full shape."""
    current, *_ = draw(7, 12, (3, 4, 5), np.float64)
    operands = [RNG.uniform(0.5, 1.1, shape) for _ in range(3)]
    layer = by_lif(**rule_of(step_order, "subtract"))
    weights = weights_like(layer(current, *operands))
    whole = gradients(layer, (current, *(np.broadcast_to(o, (3, 4, 5)) for o in operands)), weights)
    actual = gradients(layer, (current, *operands), weights)
    for got, want in zip(actual[1:], whole[1:], strict=True):
        lead = want.ndim - got.ndim
        summed = want.sum(tuple(range(lead)))
        summed = summed.sum(tuple(i for i, size in enumerate(shape) if size == 1), keepdims=True)
        np.testing.assert_allclose(got, summed, rtol=1e-11)


@pytest.mark.parametrize("step_order, reset", RULES)
def test_finite_differences_of_the_smooth_network(x64, step_order, reset):
    """The scan, which is the reference above, against finite differences of a loop in NumPy.

    `surrogate_fun` replaces the step, so that the surrogate gradient is the true derivative.
    """
    smooth = CASES[0].make().surrogate_fun
    rule = rule_of(step_order, reset)
    operands = draw(8, 9, (4,), np.float64, scales=(4,))
    direction = weights_like(operands, 3)
    step = 1e-6
    ahead, behind = (
        numpy_lif(
            *(o + sign * step * d for o, d in zip(operands, direction, strict=True)),
            step_order,
            reset,
            spike=lambda z: np.asarray(smooth(z)),
        )
        for sign in (1, -1)
    )
    differences = [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
    layer = by_scan(smooth, **rule)
    _, tangents = jax.jvp(layer, operands, tuple(direction))
    assert_near(tangents, differences, 1e-8)
    weights = weights_like(differences)
    by_gradient = sum((g * d).sum() for g, d in zip(gradients(layer, operands, weights), direction, strict=True))
    np.testing.assert_allclose(by_gradient, sum((d * w).sum() for d, w in zip(differences, weights)), rtol=1e-7)


@pytest.mark.parametrize("step_order, reset, detach_reset", RULES_AND_DETACHMENT)
def test_the_pullback_is_the_transpose_of_the_tangent(x64, step_order, reset, detach_reset):
    layer = by_lif(**rule_of(step_order, reset, detach_reset))
    operands = draw(9, 31, (45,), np.float64, scales=(45,))
    tangents = tuple(weights_like(operands, 4))
    outs, out_tangents = jax.jvp(layer, operands, tangents)
    cotangents = tuple(weights_like(outs, 5))
    pulled = jax.vjp(layer, *operands)[1](cotangents)
    forward = sum((w * t).sum() for w, t in zip(cotangents, out_tangents, strict=True))
    backward = sum((p * t).sum() for p, t in zip(pulled, tangents, strict=True))
    np.testing.assert_allclose(forward, backward, rtol=1e-12)


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("output", range(3))
def test_each_operand_and_output_alone(which, output):
    """One operand or one output at a time. All others have symbolic zeros."""
    operands = draw(10, 20, (6,), scales=(6,))
    ours, theirs = by_lif(), by_scan(**DEFAULT)
    weights = weights_like(theirs(*operands))[output]
    dot = weights_like(operands, 6)[which]

    def derivatives(layer):
        def loss(moving):
            return (layer(*(moving if i == which else o for i, o in enumerate(operands)))[output] * weights).sum()

        return jax.jit(jax.grad(loss))(operands[which]), jax.jvp(loss, (operands[which],), (dot,))[1]

    assert_near(derivatives(ours), derivatives(theirs), 1e-5)


# Every rule for the Gaussian. One rule for each other surrogate; test_differentiation.py covers their other parts.
SECOND = [*((CASES[0], *rule) for rule in RULES if rule[1]), *((case, "charge_fire_reset", None) for case in CASES[1:])]


@pytest.mark.parametrize("case, step_order, reset", SECOND, ids=str)
def test_second_order(x64, case, step_order, reset):
    """Forward over reverse, reverse over reverse and reverse over forward mode, against the scan."""
    operands = draw(11, 5, (3,), np.float64, scales=(3,))
    ours, theirs = (by(case.make(), **rule_of(step_order, reset)) for by in (by_lif, by_scan))
    weights = weights_like(theirs(*operands))
    tangents = tuple(weights_like(operands, 7))

    def seconds(layer):
        loss = lambda *o: sum((out**2 * w).sum() + (out * w).sum() for out, w in zip(layer(*o), weights, strict=True))
        gradient = jax.grad(loss, (0, 1, 2, 3))
        yield jax.jvp(gradient, operands, tangents)[1]
        yield jax.grad(
            lambda *o: sum((g * t).sum() for g, t in zip(gradient(*o), tangents, strict=True)), (0, 1, 2, 3)
        )(*operands)
        yield jax.grad(lambda *o: jax.jvp(loss, o, tangents)[1], (0, 1, 2, 3))(*operands)

    for got, want in zip(seconds(ours), seconds(theirs), strict=True):
        assert_near(got, want, 1e-11)


def test_hypergradients(x64):
    """Derivatives of a gradient by sigma. The spikes don't depend on sigma, but their gradient does."""
    current, decay, threshold, v0 = draw(12, 15, (4,), np.float64)

    def losses(layer_of):
        layer = lambda sigma, x: layer_of(GaussianGrad(sigma))(x, decay, threshold, v0)[0]
        first = jax.grad(lambda sigma: (layer(sigma, current) * current).sum())(0.5)
        gradient = lambda sigma: jax.grad(lambda x: (layer(sigma, x) * current).sum())(current)
        return first, jax.grad(lambda sigma: (gradient(sigma) ** 2).sum())(0.5)

    (first, second), (_, wanted) = losses(by_lif), losses(lambda surrogate: by_scan(surrogate, **DEFAULT))
    assert first == 0
    np.testing.assert_allclose(second, wanted, rtol=1e-11)


def test_one_step_is_the_spike(kernels_called):
    """A layer of one step equals the elementwise primitive."""
    x, t = RNG.standard_normal((2, 300)).astype(np.float32)
    (gradient,) = jax.vjp(lambda x: lif(x[None], 0.9, 0.25)[0][0], x)[1](t)
    operands = GaussianGrad()._parameters(jnp.asarray(x))
    expected = spike_derivative(jnp.asarray(x) - 0.25, jnp.asarray(t), *operands, family="gaussian_mixture", order=0)
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("step_order, reset", RULES)
def test_chunks_are_one_call(x64, step_order, reset):
    operands = draw(13, 50, (19,), np.float64, scales=(19,))
    rule = rule_of(step_order, reset)

    def chunked(current, decay, threshold, v0):
        v, parts = v0, []
        for chunk in jnp.split(current, [7, 8, 30]):
            (*over_time,) = (outs := lif(chunk, decay, threshold, v0=v, return_membrane=True, **rule))
            v = outs[1]
            parts.append((over_time[0], over_time[2]))
        spikes, membrane = (jnp.concatenate(arrays) for arrays in zip(*parts))
        return spikes, v, membrane

    weights = weights_like(by_lif(**rule)(*operands))
    assert_near(gradients(chunked, operands, weights), gradients(by_lif(**rule), operands, weights), 1e-14)


def test_inside_scan_remat_and_a_linear_layer():
    """A realistic program: chunks in a `lax.scan` with rematerialisation, after a matrix product."""
    current, *_ = draw(14, 24, (5, 8))
    weights = RNG.standard_normal((8, 8)).astype(np.float32) / 3

    def loss(layer, weights):
        def chunk(v, x):
            spikes, v = layer(x @ weights, v)
            return v, spikes

        _, spikes = lax.scan(jax.checkpoint(chunk), jnp.zeros((5, 8)), current.reshape(4, 6, 5, 8))
        return (spikes.reshape(24, 5, 8) * current).sum()

    ours = lambda x, v: lif(x, 0.9, 1.0, v0=v)
    theirs = lambda x, v: by_scan(**DEFAULT)(x, 0.9, 1.0, v)[:2]
    got, want = (jax.jit(jax.grad(functools.partial(loss, layer)))(weights) for layer in (ours, theirs))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [64, 256, 1024, 4096])
def test_what_reverse_mode_keeps(kernels, steps):
    """Reverse mode keeps the current and at most 1/8 of an array over time. A scan keeps at least one more array."""
    current = jnp.asarray(draw(15, steps, (128,))[0])

    def kept(layer):
        leaves = jax.tree.leaves(jax.vjp(layer, current)[1])
        over_time = [leaf for leaf in leaves if leaf.shape == current.shape]
        return over_time, sum(leaf.nbytes for leaf in leaves) - sum(leaf.nbytes for leaf in over_time)

    over_time, beside = kept(lambda x: lif(x, 0.9, 1.0)[0])
    assert len(over_time) == 1
    np.testing.assert_array_equal(over_time[0], current)
    assert beside <= current.nbytes / 8 + 64  # 64: decay, threshold and the surrogate's parameters
    of_scan, _ = kept(lambda x: by_scan(**DEFAULT)(x, 0.9, 1.0, jnp.zeros(128))[0])
    assert len(of_scan) >= 1


@pytest.mark.usefixtures("kernels_called")
def test_temporary_memory_of_a_gradient():
    """XLA's memory analysis: a gradient needs spikes and checkpoints; the scan needs one more array over time."""
    current = jnp.asarray(draw(16, 1024, (512,))[0])

    def compiled(layer):
        return jax.jit(jax.value_and_grad(lambda x, w: (layer(x) * w).sum())).lower(current, current).compile()

    ours = compiled(lambda x: lif(x, 0.9, 1.0)[0])
    theirs = compiled(lambda x: by_scan(**DEFAULT)(x, 0.9, 1.0, jnp.zeros(512))[0])
    assert ours.as_text().count('custom_call_target="spikegrad.lif') == 2
    assert ours.memory_analysis().temp_size_in_bytes < 1.1 * current.nbytes
    assert theirs.memory_analysis().temp_size_in_bytes > 1.9 * current.nbytes
