"""The layer drivers with a neuron of two states and five parameters (tests/csrc/adapting.h), against a loop in NumPy.

The tests cover the CPU driver, and the CUDA driver compiled for the host. The reference for the pullback is the
transpose of the loop's tangent, with one direction for each step's current, each state and each parameter.
"""

import itertools

import numpy as np
import pytest
from requirements import module_for_tests

on_cpu, on_host = (module_for_tests(name) for name in ("spikegrad_scalar", "spikegrad_cuda_on_host"))

STEP_ORDERS = {"charge_fire_reset": 0, "reset_undecayed": 1, "fire_charge": 2}
RESETS = {None: 0, "subtract": 1, "zero": 2}
PARAMETERS, STATES = 5, 2
SLOPE = 4.0
DRIVERS = {"cpu": on_cpu, "cuda": on_host}
DTYPES = {"f32": (np.float32, 2e-4), "f64": (np.float64, 1e-11)}

drivers = pytest.mark.parametrize("driver", DRIVERS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
rules = pytest.mark.parametrize(
    ("step_order", "reset", "detach"),
    [
        (step_order, reset, detach)
        for step_order in STEP_ORDERS
        for reset in RESETS
        for detach in (False, True)
        if reset or not detach
    ],
)


@pytest.fixture(autouse=True)
def threads_of_the_shim():
    on_host.set_threads(3)
    yield
    on_host.set_threads(0)
    on_host.set_multiprocessors(2)


def gradient(z):
    e = np.exp(-SLOPE * np.abs(z))
    return SLOPE * e / (1 + e) ** 2


def numpy_layer(step_order, reset, detach, current, parameters, states, current_dot, parameters_dot, states_dot):
    """(spikes, membrane, checkpoints, last states), and the tangents of spikes, membrane and last states.

    Time is the second-to-last axis, neurons are the last. Tangents may have more leading axes.
    """
    alpha, beta, a, b, threshold = parameters
    alpha_dot, beta_dot, a_dot, b_dot, threshold_dot = parameters_dot
    (v, w), (v_dot, w_dot) = states, states_dot
    one = current.dtype.type(1)

    def fire(z, z_dot):
        return np.where(z >= 0, one, 0 * one), gradient(z) * z_dot

    def after_reset(u, s, theta, u_dot, s_dot, theta_dot):
        s_dot = 0 if detach else s_dot
        if reset == "subtract":
            return u - s * theta, u_dot - s_dot * theta - s * theta_dot
        if reset == "zero":
            return u * (one - s), u_dot * (one - s) - u * s_dot
        return u, u_dot

    def charge(v, w, x, v_dot, w_dot, x_dot):
        return (
            alpha * v + (one - alpha) * (x - w),
            alpha_dot * (v - (x - w)) + alpha * v_dot + (one - alpha) * (x_dot - w_dot),
        )

    spikes, membranes, checkpoints = [], [], []
    for t in range(current.shape[-2]):
        x, x_dot = current[..., t, :], current_dot[..., t, :]
        checkpoints.append((v, w))
        next_w = beta * w + a * v
        next_w_dot = beta_dot * w + beta * w_dot + a_dot * v + a * v_dot
        if step_order == "charge_fire_reset":
            u, u_dot = charge(v, next_w, x, v_dot, next_w_dot, x_dot)
            theta, theta_dot = threshold + next_w, threshold_dot + next_w_dot
            s, s_dot = fire(u - theta, u_dot - theta_dot)
            v, v_dot = after_reset(u, s, theta, u_dot, s_dot, theta_dot)
            w, w_dot = next_w + b * s, next_w_dot + b_dot * s + b * s_dot
        else:
            theta, theta_dot = threshold + w, threshold_dot + w_dot
            s, s_dot = fire(v - theta, v_dot - theta_dot)
            w, w_dot = next_w + b * s, next_w_dot + b_dot * s + b * s_dot
            reset_v, reset_v_dot = after_reset(v, s, theta, v_dot, s_dot, theta_dot)
            u, u_dot = charge(reset_v, w, x, reset_v_dot, w_dot, x_dot)
            v, v_dot = u, u_dot
        spikes.append((s, s_dot))
        membranes.append((u, u_dot))
    if step_order == "reset_undecayed":
        spikes = [*spikes[1:], fire(v - (threshold + w), v_dot - (threshold_dot + w_dot))]

    def stacked(rows):
        return [np.stack(np.broadcast_arrays(*values), -2) for values in zip(*rows, strict=True)]

    (s, s_dot), (u, u_dot), checkpoints = stacked(spikes), stacked(membranes), stacked(checkpoints)
    return (s, u, checkpoints, (v, w)), (s_dot, u_dot, (v_dot, w_dot))


class Layer:
    """Random operands. Arrays over time are [outer, steps, inner], and [steps, neurons] for the loop in NumPy."""

    def __init__(self, dtype, shape, scalars=False, seed=0):
        self.type, self.tolerance = DTYPES[dtype]
        self.outer, self.steps, self.inner = self.shape = shape
        self.rng = np.random.default_rng(seed)
        self.current = self.over_time() * self.type(3)
        ranges = ((0.5, 0.9), (0.6, 0.95), (-0.2, 0.3), (0.0, 0.5), (0.2, 0.8))
        size = () if scalars else (self.outer, self.inner)
        self.parameters = [self.rng.uniform(low, high, size).astype(self.type) for low, high in ranges]
        self.states = [self.rng.uniform(-0.5, 0.5, size).astype(self.type) for _ in range(STATES)]

    def over_time(self):
        return self.rng.standard_normal(self.shape).astype(self.type)

    def once(self, count):
        return [self.rng.standard_normal((self.outer, self.inner)).astype(self.type) for _ in range(count)]

    def rows(self, array):
        return np.moveaxis(array, 1, 0).reshape(self.steps, -1)

    def flat(self, rows, axis_length):
        """Rows in the layout of a test module's results."""
        return np.moveaxis(rows.reshape(axis_length, self.outer, self.inner), 0, 1).ravel()

    def neurons(self, arrays):
        return [np.broadcast_to(array.ravel(), self.outer * self.inner) for array in arrays]

    def in_numpy(self, step_order, reset, detach, current_dot, parameters_dot, states_dot):
        operands = self.rows(self.current), self.neurons(self.parameters), self.neurons(self.states)
        return numpy_layer(step_order, reset, detach, *operands, current_dot, parameters_dot, states_dot)

    def assert_close(self, found, wanted):
        scale = np.abs(wanted).max(initial=1)
        np.testing.assert_allclose(found, wanted, rtol=self.tolerance, atol=self.tolerance * scale)


def transposed(layer, step_order, reset, detach, spikes_bar, membrane_bar, last_bars):
    """The cotangents of current, states and parameters, computed from the tangents along each of them."""
    steps, neurons = layer.steps, layer.outer * layer.inner
    directions = np.eye(steps + STATES + PARAMETERS, dtype=layer.type)[:, :, None]
    over_time, states = directions[:, :steps], directions[:, steps : steps + STATES]
    _, (spikes_dot, membrane_dot, last_dots) = layer.in_numpy(
        step_order,
        reset,
        detach,
        np.broadcast_to(over_time, (len(directions), steps, neurons)),
        [directions[:, steps + STATES + k] for k in range(PARAMETERS)],
        [states[:, k] for k in range(STATES)],
    )
    bars = (spikes_dot * layer.rows(spikes_bar) + membrane_dot * layer.rows(membrane_bar)).sum(1)
    bars += sum(dot * bar.ravel() for dot, bar in zip(last_dots, last_bars, strict=True))
    return bars[:steps], bars[steps : steps + STATES], bars[steps + STATES :]


SHAPES = [(1, 9, 37), (3, 17, 5), (11, 8, 1), (1, 1, 1), (1, 30, 600)]


@drivers
@dtypes
@rules
def test_forward_and_tangent(step_order, reset, detach, dtype, driver):
    m = DRIVERS[driver]
    for shape, scalars, every in itertools.product(SHAPES, (False, True), (0, 4)):
        layer = Layer(dtype, shape, scalars)
        options = STEP_ORDERS[step_order], RESETS[reset], detach
        current_dot, parameters_dot, states_dot = layer.over_time(), layer.once(PARAMETERS), layer.once(STATES)
        (spikes, membrane, checkpoints, last), (spikes_dot, membrane_dot, last_dots) = layer.in_numpy(
            step_order,
            reset,
            detach,
            layer.rows(current_dot),
            *([array.ravel() for array in arrays] for arrays in (parameters_dot, states_dot)),
        )
        assert spikes.sum() > 0 or spikes.size < 40

        operands = layer.current, *layer.parameters, *layer.states
        found = getattr(m, f"adapting_{dtype}")((*options, every), *operands, True)
        rows = [array[::every] for array in checkpoints] if every else []
        wanted = [
            layer.flat(spikes, layer.steps),
            *last,
            *(layer.flat(array, len(array)) for array in rows),
            layer.flat(membrane, layer.steps),
        ]
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)

        dots = current_dot, *parameters_dot, *states_dot
        found = getattr(m, f"adapting_tangent_sigmoid_{dtype}")(
            (*options, 0), *operands, *dots, [SLOPE], *[True] * (STATES + PARAMETERS), True
        )
        wanted = [layer.flat(spikes_dot, layer.steps), *last_dots, layer.flat(membrane_dot, layer.steps)]
        for one, other in zip(found, wanted, strict=True):
            layer.assert_close(one, other)


def pull_back(m, layer, dtype, options, spikes_bar, membrane_bar, last_bars, with_parameters):
    operands = layer.current, *layer.parameters
    _, *rest = getattr(m, f"adapting_{dtype}")(options, *operands, *layer.states, False)
    checkpoints = rest[STATES:]
    return getattr(m, f"adapting_cotangent_sigmoid_{dtype}")(
        options, *operands, *checkpoints, spikes_bar, *last_bars, membrane_bar, [SLOPE], with_parameters
    )


@drivers
@dtypes
@rules
def test_pullback(step_order, reset, detach, dtype, driver):
    for shape, scalars, every in itertools.product(SHAPES, (False, True), (1, 4, 30)):
        layer = Layer(dtype, shape, scalars, every)
        every = min(every, layer.steps)
        spikes_bar, membrane_bar, last_bars = layer.over_time(), layer.over_time(), layer.once(STATES)
        if scalars:  # a layer without a membrane cotangent
            membrane_bar = np.zeros((), layer.type)
        current_bar, states_bar, parameters_bar = transposed(
            layer, step_order, reset, detach, spikes_bar, np.broadcast_to(membrane_bar, shape), last_bars
        )
        for with_parameters, multiprocessors in itertools.product((False, True), (0, 1000)):
            if driver == "cuda":
                on_host.set_multiprocessors(multiprocessors)  # selects each form of the kernels
            elif multiprocessors:
                continue
            found = pull_back(
                DRIVERS[driver],
                layer,
                dtype,
                (STEP_ORDERS[step_order], RESETS[reset], detach, every),
                spikes_bar,
                membrane_bar,
                last_bars,
                with_parameters,
            )
            wanted = [layer.flat(current_bar, layer.steps), *states_bar, *(parameters_bar if with_parameters else ())]
            for one, other in zip(found, wanted, strict=True):
                layer.assert_close(one, other)


@rules
def test_several_blocks(step_order, reset, detach):
    """More neurons than a block of the CPU driver holds, and long segments, which make its blocks smaller."""
    layer = Layer("f64", (1, 60, 5000))
    bars = layer.over_time(), layer.over_time(), layer.once(STATES)
    options = STEP_ORDERS[step_order], RESETS[reset], detach
    wanted = pull_back(on_host, layer, "f64", (*options, 7), *bars, True)
    for every in (7, 60):
        found = pull_back(on_cpu, layer, "f64", (*options, every), *bars, True)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
