"""The bodies of lif's CUDA kernels, compiled for the host (as in test_cuda_kernels.py): to the bit.

The forward is held against the recurrence in NumPy, the derivatives against the CPU's kernels, which round alike and
which test_lif.py holds against the scan. Under AddressSanitizer (`make asan`) an access beyond a buffer ends the run,
be it an array or the shared memory that the launch has asked for.
"""

import itertools

import numpy as np
import pytest
import spikegrad_cuda_on_host as on_host
import spikegrad_scalar as on_cpu
from closed_form import multi_gaussian_parameters
from held import DTYPES, assert_same_bits, held, plain

ORDERS = {"charge_fire_reset": 0, "reset_undecayed": 1, "fire_charge": 2}
RESETS = {None: 0, "subtract": 1, "zero": 2}
# Each way through the kernels: three that are fast, and the sum in double with one term and with two.
SURROGATES = {
    "one": ("gaussian_mixture", [0.5, 0.0, 0.5]),
    "triple": ("gaussian_mixture", multi_gaussian_parameters(0.15, 6.0, 0.5, 0.5)),
    "sigmoid": ("sigmoid", [4.0]),
    "beside_0": ("gaussian_mixture", [0.5, 0.25, 0.5]),
    "two": ("gaussian_mixture", [0.5, 0.25, 0.5, 1.0, -1.0, 2.0]),
    "steep_sigmoid": ("sigmoid", [2.0**110]),
}
# [outer, steps, inner]: time first, batched, batched along the last axis, and the smallest.
SHAPES = [(1, 9, 37), (3, 17, 5), (11, 8, 1), (1, 1, 1), (2, 3, 1)]
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 1e-41, 65504.0, 1e30]

dtypes = pytest.mark.parametrize("dtype", DTYPES)
orders = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture
def grid():
    """Sets the blocks and threads of what is launched."""
    yield on_host.set_shape
    on_host.set_shape(0, 0)


class Inputs:
    """Random operands of a layer, as the modules take them."""

    def __init__(self, dtype, shape, seed=0, special=False):
        self.dtype, self.shape, self.special = dtype, shape, special
        self.wide = np.float64 if dtype == "f64" else np.float32
        self.rng = np.random.default_rng(seed)

    def over_time(self, scale=1.0):
        values = scale * self.rng.standard_normal(self.shape)
        if self.special:
            values = np.where(self.rng.random(self.shape) < 0.02, self.rng.choice(SPECIAL, self.shape), values)
        with np.errstate(over="ignore"):
            return held(values.astype(DTYPES[self.dtype]))

    def state(self, low=-1.0, high=1.0):
        outer, _, inner = self.shape
        return self.rng.uniform(low, high, (outer, inner)).astype(self.wide)

    def layer(self):
        """current, decay, threshold; with thresholds that are met to the bit now and then."""
        return self.over_time(1.5), self.state(0.5, 1.0), np.round(self.state(0.5, 1.5), 1).astype(self.wide)


def one(array):
    """An array as a scalar."""
    return np.array(array.ravel()[0])


def options(order, reset, detach_reset=False, every=0):
    return ORDERS[order], RESETS[reset], detach_reset, every


def assert_all_same(actual, wanted, dtype):
    """Lists of results: those of rank 1 in the element type, and of v in the wide one."""
    wide = "f64" if dtype == "f64" else "f32"
    assert len(actual) == len(wanted)
    for found, expected in zip(actual, wanted, strict=True):
        assert_same_bits(found, expected, dtype if found.dtype == held(np.empty(0, DTYPES[dtype])).dtype else wide)


def recurrence(order, reset, every, current, decay, threshold, v0, dtype):
    """(spikes, v_final, checkpoints, membrane) in NumPy, operation by operation."""
    wide = decay.dtype.type
    steps = current.shape[1]
    xs = np.moveaxis(plain(current, dtype).astype(wide), 1, 0)
    spikes, membrane, checkpoints = [], [], []
    zero, unit = wide(0), wide(1)
    v = np.broadcast_to(v0, xs.shape[1:]).astype(wide)

    def fire(z):
        return np.where(z >= 0, unit, zero)

    for t, x in enumerate(xs):
        if every and t % every == 0:
            checkpoints.append(v)
        if order == "charge_fire_reset":
            u = decay * v + x
            s = fire(u - threshold)
            v = {None: u, "subtract": u - s * threshold, "zero": u * (unit - s)}[reset]
        else:
            s = fire(v - threshold)
            u = decay * (v * (unit - s)) + x if reset == "zero" else decay * v + x
            if reset == "subtract":
                u = u - s * threshold
            v = u
        spikes.append(s)
        membrane.append(u)
    if order == "reset_undecayed":
        spikes = [*spikes[1:], fire(v - threshold)]
    assert len(spikes) == steps

    def stacked(rows, to):
        return held(np.stack(rows, 1).astype(to)).ravel()

    return (
        stacked(spikes, DTYPES[dtype]),
        v.ravel(),
        stacked(checkpoints, wide) if every else None,
        stacked(membrane, DTYPES[dtype]),
    )


@dtypes
@orders
@pytest.mark.parametrize("reset", RESETS)
def test_the_forward(order, reset, dtype, grid):
    grid(2, 3)
    run = getattr(on_host, f"lif_{dtype}")
    for shape, every, special in itertools.product(SHAPES, (0, 1, 3, 8, 50), (False, True)):
        inputs = Inputs(dtype, shape, every, special)
        operands = (*inputs.layer(), inputs.state())
        for scalars in itertools.product((False, True), repeat=3) if every == 3 else [(False, False, False)]:
            states = [one(o) if scalar else o for o, scalar in zip(operands[1:], scalars, strict=True)]
            with np.errstate(all="ignore"):
                spikes, v_final, checkpoints, membrane = recurrence(
                    order, reset, every, operands[0], *states, dtype=dtype
                )
            kept = [checkpoints] if every else []
            found = run(options(order, reset, False, every), operands[0], *states, True)
            assert_all_same(found, [spikes, v_final, *kept, membrane], dtype)
            assert_all_same(
                run(options(order, reset, False, every), operands[0], *states, False), [spikes, v_final, *kept], dtype
            )


def derivatives(kernel, name, dtype, options, operands, *flags):
    """By the kernels under test, and by the CPU's."""
    family, parameters = SURROGATES[name]
    # As the kernels' parameters are held.
    parameters = [p if dtype == "f64" else float(np.float32(p)) for p in parameters]
    return [getattr(m, f"{kernel}_{family}_{dtype}")(options, *operands, parameters, *flags) for m in (on_host, on_cpu)]


def tangent_operands(inputs, scalars=frozenset()):
    operands = (*inputs.layer(), inputs.state(), inputs.over_time(), *(inputs.state() for _ in range(3)))
    return [one(o) if i in scalars else o for i, o in enumerate(operands)]


def assert_same_tangent(name, dtype, options, operands, membrane, moving=(True, True)):
    assert_all_same(*derivatives("lif_tangent", name, dtype, options, operands, *moving, membrane), dtype)


def cotangent_operands(inputs, options, scalars=frozenset()):
    current, decay, threshold = inputs.layer()
    decay, threshold = (one(o) if i in scalars else o for i, o in ((1, decay), (2, threshold)))
    _, _, checkpoints = getattr(on_cpu, f"lif_{inputs.dtype}")(
        options, current, decay, threshold, inputs.state(), False
    )
    bars = inputs.over_time(), inputs.state(), inputs.over_time()
    return [
        current,
        decay,
        threshold,
        checkpoints,
        *(one(bar) if i in scalars else bar for i, bar in enumerate(bars, 4)),
    ]


def assert_same_cotangent(name, dtype, options, operands, scales):
    assert_all_same(*derivatives("lif_cotangent", name, dtype, options, operands, scales), dtype)


@dtypes
@orders
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach_reset", [False, True])
def test_the_tangent_for_every_rule(order, reset, detach_reset, dtype, grid):
    grid(2, 3)
    rule = options(order, reset, detach_reset)
    for shape, special in itertools.product(SHAPES, (False, True)):
        operands = tangent_operands(Inputs(dtype, shape, 1, special))
        for membrane, *moving in itertools.product((False, True), repeat=3):
            assert_same_tangent("one", dtype, rule, operands, membrane, moving)


@dtypes
@orders
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach_reset", [False, True])
def test_the_cotangent_for_every_rule(order, reset, detach_reset, dtype, grid):
    grid(2, 3)
    for shape, every, special in itertools.product(SHAPES, (1, 2, 5, 50), (False, True)):
        rule = options(order, reset, detach_reset, every)
        operands = cotangent_operands(Inputs(dtype, shape, 2, special), rule)
        for scales in (False, True):
            assert_same_cotangent("one", dtype, rule, operands, scales)


@dtypes
@orders
@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate(name, order, dtype, grid):
    grid(1, 4)
    for special in (False, True):
        inputs = Inputs(dtype, (2, 15, 5), 3, special)
        assert_same_tangent(name, dtype, options(order, "subtract"), tangent_operands(inputs), True)
        rule = options(order, "subtract", False, 4)
        assert_same_cotangent(name, dtype, rule, cotangent_operands(inputs, rule), True)


@dtypes
@orders
@pytest.mark.parametrize("name", ["one", "beside_0"])
def test_operands_that_are_scalars(name, order, dtype, grid):
    grid(3, 2)
    inputs = Inputs(dtype, (2, 10, 7), 4)
    states = (1, 2, 3, 4, 5, 6, 7)  # all but the current
    for scalars in (*map(frozenset, itertools.combinations(states, 1)), frozenset(states)):
        operands = tangent_operands(inputs, scalars)
        assert_same_tangent(name, dtype, options(order, "subtract"), operands, True)
    bars = (1, 2, 4, 5, 6)
    for scalars in (*map(frozenset, itertools.combinations(bars, 1)), frozenset(bars)):
        rule = options(order, "zero", False, 3)
        assert_same_cotangent(name, dtype, rule, cotangent_operands(inputs, rule, scalars), True)


@dtypes
@pytest.mark.parametrize("blocks, threads", [(0, 0), (1, 3), (2, 32), (13, 2), (1, 1)])
def test_grids(dtype, blocks, threads, grid):
    """(0, 0) is the grid that the launch asks for."""
    grid(blocks, threads)
    for shape in ((1, 5, 131), (7, 6, 3), (130, 4, 1)):
        inputs = Inputs(dtype, shape, 5)
        rule = options("reset_undecayed", "subtract", False, 2)
        operands = (*inputs.layer(), inputs.state())
        found, wanted = (getattr(m, f"lif_{dtype}")(rule, *operands, True) for m in (on_host, on_cpu))
        assert_all_same(found, wanted, dtype)
        assert_same_tangent("triple", dtype, rule, tangent_operands(inputs), True)
        assert_same_cotangent("triple", dtype, rule, cotangent_operands(inputs, rule), True)


@dtypes
@orders
@pytest.mark.parametrize("scales", [False, True])
def test_segments_that_shared_memory_does_not_hold(order, scales, dtype):
    """They are recomputed piece by piece; the last one is shorter than the others."""
    on_host.take_launched()
    for every in (150, 700, 2000):
        inputs = Inputs(dtype, (1, 1700, 3), 6)
        rule = options(order, "subtract", False, every)
        assert_same_cotangent("one", dtype, rule, cotangent_operands(inputs, rule), scales)
        blocks, threads, shared = on_host.take_launched()
        assert (blocks, threads) == (1, 32)
        a_step = 32 * np.dtype(inputs.wide).itemsize * (2 if scales and order == "charge_fire_reset" else 1)
        assert shared == min(min(every, 1700) * a_step, 46 * 1024 // a_step * a_step)


def test_what_is_launched(grid):
    """With the two multiprocessors of the shim: few neurons in small blocks, many in as many as run at a time."""
    grid(1, 1)
    run, pull_back = on_host.lif_f32, on_host.lif_cotangent_sigmoid_f32
    one_number, f32 = np.float32(0.5), np.float32

    def forward(neurons):
        on_host.take_launched()
        run(options("fire_charge", None), np.zeros((1, 1, neurons), f32), *[np.array(one_number)] * 3, False)
        return on_host.take_launched()

    def backward(neurons, every):
        on_host.take_launched()
        zeros = np.zeros((1, every, neurons), f32)
        rule = options("fire_charge", None, False, every)
        pull_back(rule, zeros, *[np.array(one_number)] * 2, zeros[:, :1], *[np.array(one_number)] * 3, [4.0], False)
        return on_host.take_launched()

    assert forward(0) == (0, 0, 0)
    assert forward(1) == (1, 32, 0)
    assert forward(100) == (4, 32, 0)
    assert forward(129) == (3, 64, 0)
    assert forward(256) == (2, 128, 0)
    assert forward(100_000) == (16, 128, 0)
    # One number a thread for each step of a segment, in smaller blocks where that is too much.
    assert backward(0, 3) == (0, 0, 0)
    assert backward(1024, 3) == (8, 128, 3 * 128 * 4)
    assert backward(1024, 150) == (16, 64, 150 * 64 * 4)
    assert backward(1024, 1000) == (32, 32, 46 * 1024)


@pytest.mark.parametrize("shape", [(0, 4, 3), (3, 4, 0)])
def test_no_neurons(shape):
    on_host.take_launched()
    inputs = Inputs("f32", shape)
    rule = options("fire_charge", "zero", False, 2)
    assert all(out.size == 0 for out in on_host.lif_f32(rule, *inputs.layer(), inputs.state(), True))
    assert_same_tangent("one", "f32", rule, tangent_operands(inputs), True)
    assert_same_cotangent("one", "f32", rule, cotangent_operands(inputs, rule), True)
    assert on_host.take_launched() == (0, 0, 0)
