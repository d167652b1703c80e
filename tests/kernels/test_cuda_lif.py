"""The bodies of lif's CUDA kernels, compiled for the host (as in test_cuda_kernels.py), bit by bit.

The forward kernels are compared with the recurrence in NumPy. The derivatives are compared with the CPU kernels, which
round identically and which test_lif.py compares with the scan. Under AddressSanitizer (`make asan`) an access beyond an
array or the shared memory of a launch ends the run.
"""

import itertools

import numpy as np
import pytest
from closed_form import multi_gaussian_parameters
from half_bits import DTYPES, assert_same_bits, held, plain
from references import REFERENCES
from requirements import module_for_tests

on_host, on_cpu = map(module_for_tests, ("spikegrad_cuda_on_host", "spikegrad_scalar"))

pytestmark = pytest.mark.host_only

STEP_ORDERS = {"charge_fire_reset": 0, "reset_undecayed": 1, "fire_charge": 2}
RESETS = {None: 0, "subtract": 1, "zero": 2}
# All paths in the kernels: three fast paths, and the sum in double with one term and with two.
SURROGATES = {
    "one": ("gaussian_mixture", [0.5, 0.0, 0.5]),
    "triple": ("gaussian_mixture", multi_gaussian_parameters(0.15, 6.0, 0.5, 0.5)),
    **{name: (r.family, r.operands(0.25, 0.5)) for name, r in REFERENCES.items() if r.family != "gaussian_mixture"},
    "beside_0": ("gaussian_mixture", [0.5, 0.25, 0.5]),
    "two": ("gaussian_mixture", [0.5, 0.25, 0.5, 1.0, -1.0, 2.0]),
    "steep_sigmoid": ("sigmoid", [2.0**110]),
    # Three terms, two of them with weight 0.
    "triple_of_one": ("gaussian_mixture", [0.5, 0.0, 0.5, 0.0, 1.0, 2.0, 0.0, -1.0, 2.0]),
}
MEMBRANE_BAR = 6  # its index among the operands of a cotangent
# [outer, steps, inner]: time first, batched, batched along the last axis, and the smallest.
SHAPES = [(1, 9, 37), (3, 17, 5), (11, 8, 1), (1, 1, 1), (2, 3, 1)]
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 1e-41, 65504.0, 1e30]

dtypes = pytest.mark.parametrize("dtype", DTYPES)
orders = pytest.mark.parametrize("step_order", STEP_ORDERS)


# The forms of the kernels, selected by the number of multiprocessors: with few neurons for each, and with many. The
# last form has buffers that are aligned to their element only.
FORMS = {"few": (1000, 0), "some": (1, 0), "many": (0, 0), "unaligned": (0, 1)}
LENGTHS = (1, 3, 4, 7, 8, 9, 16, 17, 31, 100, 500)


def checkpoints_every(steps):
    return sorted({min(every, steps) for every in (1, 3, 8, 22, steps)})


@pytest.fixture
def launches():
    """Set the number of threads a block, and the form of a layer's kernels."""

    def set_launches(threads=0, form="few"):
        multiprocessors, offset = FORMS[form]
        on_host.set_threads(threads)
        on_host.set_multiprocessors(multiprocessors)
        on_host.set_layer_offset(offset)

    yield set_launches
    on_host.set_threads(0)
    on_host.set_multiprocessors(2)
    on_host.set_layer_offset(0)


class Inputs:
    """Random operands of a layer, for the test modules."""

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
        """current, decay and threshold. Some membranes equal their threshold exactly."""
        return self.over_time(1.5), self.state(0.5, 1.0), np.round(self.state(0.5, 1.5), 1).astype(self.wide)


def one(array):
    """The first element, as a scalar."""
    return np.array(array.ravel()[0])


def options(step_order, reset, detach_reset=False, every=0):
    return STEP_ORDERS[step_order], RESETS[reset], detach_reset, every


def assert_all_same(actual, wanted, dtype):
    """Compare lists of results: rank 1 in the element type, v in the wide type."""
    wide = "f64" if dtype == "f64" else "f32"
    assert len(actual) == len(wanted)
    for found, expected in zip(actual, wanted, strict=True):
        assert_same_bits(found, expected, dtype if found.dtype == held(np.empty(0, DTYPES[dtype])).dtype else wide)


def recurrence(step_order, reset, every, current, decay, threshold, v0, dtype):
    """(spikes, v_final, checkpoints, membrane) in NumPy, with each operation rounded."""
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
        if step_order == "charge_fire_reset":
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
    if step_order == "reset_undecayed":
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
@pytest.mark.parametrize("form", FORMS)
def test_the_forward(form, step_order, reset, dtype, launches):
    launches(3, form)
    run = getattr(on_host, f"lif_{dtype}")
    for shape, every, special in itertools.product(SHAPES, (0, 1, 3, 8, 50), (False, True)):
        inputs = Inputs(dtype, shape, every, special)
        operands = (*inputs.layer(), inputs.state())
        for scalars in itertools.product((False, True), repeat=3) if every == 3 else [(False, False, False)]:
            states = [one(o) if scalar else o for o, scalar in zip(operands[1:], scalars, strict=True)]
            with np.errstate(all="ignore"):
                spikes, v_final, checkpoints, membrane = recurrence(
                    step_order, reset, every, operands[0], *states, dtype=dtype
                )
            kept = [checkpoints] if every else []
            found = run(options(step_order, reset, False, every), operands[0], *states, True)
            assert_all_same(found, [spikes, v_final, *kept, membrane], dtype)
            assert_all_same(
                run(options(step_order, reset, False, every), operands[0], *states, False),
                [spikes, v_final, *kept],
                dtype,
            )


def derivatives(kernel, name, dtype, options, operands, *flags):
    """The results of the CUDA kernels and of the CPU kernels."""
    family, parameters = SURROGATES[name]
    # Rounded as in the kernels.
    parameters = [p if dtype == "f64" else float(np.float32(p)) for p in parameters]
    return [getattr(m, f"{kernel}_{family}_{dtype}")(options, *operands, parameters, *flags) for m in (on_host, on_cpu)]


def tangent_operands(inputs, scalars=frozenset()):
    operands = (*inputs.layer(), inputs.state(), inputs.over_time(), *(inputs.state() for _ in range(3)))
    return [one(o) if i in scalars else o for i, o in enumerate(operands)]


def assert_same_tangent(name, dtype, options, operands, membrane, moving=(True, True)):
    assert_all_same(*derivatives("lif_tangent", name, dtype, options, operands, *moving, True, membrane), dtype)


def cotangent_operands(inputs, options, scalars=frozenset()):
    """Operands of a cotangent. Operands whose index is in `scalars` become scalars."""
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
def test_the_tangent_for_every_rule(step_order, reset, detach_reset, dtype, launches):
    launches(3)
    rule = options(step_order, reset, detach_reset)
    for shape, special in itertools.product(SHAPES, (False, True)):
        operands = tangent_operands(Inputs(dtype, shape, 1, special))
        for membrane, *moving in itertools.product((False, True), repeat=3):
            assert_same_tangent("one", dtype, rule, operands, membrane, moving)


@dtypes
@orders
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach_reset", [False, True])
def test_the_cotangent_for_every_rule(step_order, reset, detach_reset, dtype, launches):
    launches(3)
    for shape, every, special in itertools.product(SHAPES, (1, 2, 5, 50), (False, True)):
        rule = options(step_order, reset, detach_reset, every)
        operands = cotangent_operands(Inputs(dtype, shape, 2, special), rule)
        for scales in (False, True):
            assert_same_cotangent("one", dtype, rule, operands, scales)


@dtypes
@orders
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_the_common_cotangent_for_every_rule(form, step_order, reset, detach_reset, dtype, launches):
    """No cotangents of membrane, decay and threshold. These kernels know the rule at compile time."""
    launches(3, form)
    for shape in ((1, 9, 8), (2, 17, 12), (1, 40, 7), (12, 35, 1)):
        for every, special in itertools.product((1, 2, 5, 11, 50), (False, True)):
            rule = options(step_order, reset, detach_reset, every)
            operands = cotangent_operands(Inputs(dtype, shape, 2, special), rule, {MEMBRANE_BAR})
            assert_same_cotangent("one", dtype, rule, operands, False)


@dtypes
@orders
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("steps", LENGTHS)
def test_lengths_and_checkpoints(steps, form, step_order, dtype, launches):
    """Chunks of all lengths, with and without a remainder, for many checkpoint intervals."""
    launches(2, form)
    for every, neurons in itertools.product(checkpoints_every(steps), (8, 5)):
        inputs = Inputs(dtype, (1, steps, neurons), 7)
        rule = options(step_order, "subtract", False, every)
        layer = (*inputs.layer(), inputs.state())
        for membrane in (False, True):
            found, wanted = (getattr(m, f"lif_{dtype}")(rule, *layer, membrane) for m in (on_host, on_cpu))
            assert_all_same(found, wanted, dtype)
        for scalars, scales in (({MEMBRANE_BAR}, False), ({1, 2, MEMBRANE_BAR}, False), (set(), True)):
            assert_same_cotangent("one", dtype, rule, cotangent_operands(inputs, rule, scalars), scales)
    assert_same_tangent("one", dtype, options(step_order, "subtract"), tangent_operands(inputs), True)


@dtypes
@orders
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_without_steps(form, step_order, dtype, launches):
    """Without steps, states and cotangents pass through unchanged, on both backends."""
    launches(2, form)
    inputs = Inputs(dtype, (1, 0, 8))
    rule = options(step_order, "subtract", False, 1)
    current, decay, threshold, state = (*inputs.layer(), inputs.state())
    for m in (on_host, on_cpu):
        spikes, v_final, _ = getattr(m, f"lif_{dtype}")(rule, current, decay, threshold, state, False)
        assert spikes.size == 0
        np.testing.assert_array_equal(v_final, state.ravel())
        dots = (current, decay, threshold, state)
        spikes_dot, v_final_dot = getattr(m, f"lif_tangent_sigmoid_{dtype}")(
            rule, current, decay, threshold, state, *dots, [4.0], True, True, True, False
        )
        assert spikes_dot.size == 0
        np.testing.assert_array_equal(v_final_dot, state.ravel())
        for membrane_bar, scales in ((current, True), (np.zeros((), current.dtype), False)):
            bars = (np.empty(0, state.dtype), current, state, membrane_bar)
            _, v0_bar, *_ = getattr(m, f"lif_cotangent_sigmoid_{dtype}")(
                rule, current, decay, threshold, *bars, [4.0], scales
            )
            np.testing.assert_array_equal(v0_bar, state.ravel())


@dtypes
@orders
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SURROGATES)
def test_the_common_cotangent_of_every_surrogate(name, form, step_order, dtype, launches):
    """Parameters without a fast path use the fallback in the same kernel."""
    launches(4, form)
    for special, every in itertools.product((False, True), (3, 20)):
        inputs = Inputs(dtype, (1, 41, 8), 3, special)
        rule = options(step_order, "subtract", False, every)
        assert_same_cotangent(name, dtype, rule, cotangent_operands(inputs, rule, {MEMBRANE_BAR}), False)


@dtypes
@orders
@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate(name, step_order, dtype, launches):
    launches(4)
    for special in (False, True):
        inputs = Inputs(dtype, (2, 15, 5), 3, special)
        assert_same_tangent(name, dtype, options(step_order, "subtract"), tangent_operands(inputs), True)
        rule = options(step_order, "subtract", False, 4)
        assert_same_cotangent(name, dtype, rule, cotangent_operands(inputs, rule), True)


@dtypes
@orders
@pytest.mark.parametrize("name", ["one", "beside_0"])
def test_operands_that_are_scalars(name, step_order, dtype, launches):
    launches(2)
    inputs = Inputs(dtype, (2, 10, 7), 4)
    states = (1, 2, 3, 4, 5, 6, 7)  # all but the current
    for scalars in (*map(frozenset, itertools.combinations(states, 1)), frozenset(states)):
        operands = tangent_operands(inputs, scalars)
        assert_same_tangent(name, dtype, options(step_order, "subtract"), operands, True)
    bars = (1, 2, 4, 5, 6)
    for scalars in (*map(frozenset, itertools.combinations(bars, 1)), frozenset(bars)):
        rule = options(step_order, "zero", False, 3)
        assert_same_cotangent(name, dtype, rule, cotangent_operands(inputs, rule, scalars), True)


@dtypes
@pytest.mark.parametrize("threads", [0, 1, 3, 32])
@pytest.mark.parametrize("form", FORMS)
def test_blocks(form, threads, dtype, launches):
    """0 threads: as many as the launch requests."""
    launches(threads, form)
    for shape in ((1, 5, 132), (7, 18, 4), (130, 4, 1)):
        inputs = Inputs(dtype, shape, 5)
        rule = options("reset_undecayed", "subtract", False, 2)
        operands = (*inputs.layer(), inputs.state())
        for membrane in (False, True):
            found, wanted = (getattr(m, f"lif_{dtype}")(rule, *operands, membrane) for m in (on_host, on_cpu))
            assert_all_same(found, wanted, dtype)
        assert_same_tangent("triple", dtype, rule, tangent_operands(inputs), True)
        assert_same_cotangent("triple", dtype, rule, cotangent_operands(inputs, rule), True)
        assert_same_cotangent("triple", dtype, rule, cotangent_operands(inputs, rule, {MEMBRANE_BAR}), False)


@dtypes
@orders
@pytest.mark.parametrize("form", FORMS)
def test_sections_with_more_chunks_than_there_are_slots(form, step_order, dtype, launches):
    """Such sections are processed in pieces. Each piece is swept from the section's checkpoint."""
    launches(0, form)
    for every, steps in ((2500, 2600), (7000, 7001)):
        inputs = Inputs(dtype, (1, steps, 4), 6)
        rule = options(step_order, "subtract", False, every)
        operands = cotangent_operands(inputs, rule, {MEMBRANE_BAR})
        for name, scales in (("one", False), ("one", True), ("beside_0", False)):
            if name == "one" or steps < 3000:  # the fallback sweeps once for each 25 steps
                assert_same_cotangent(name, dtype, rule, operands, scales)


def test_what_is_launched():
    """The shim has two multiprocessors. A layer with few neurons gets small blocks."""
    run, pull_back = on_host.lif_f32, on_host.lif_cotangent_sigmoid_f32
    one_number, f32 = np.array(0.5, np.float32), np.float32

    def forward(neurons, steps=16):
        on_host.take_launched()
        run(options("fire_charge", None), np.zeros((1, steps, neurons), f32), *[one_number] * 3, False)
        return on_host.take_launched()

    def backward(neurons, steps, every):
        on_host.take_launched()
        zeros = np.zeros((1, steps, neurons), f32)
        rule = options("fire_charge", None, False, every)
        checkpoints = np.zeros((1, -(-steps // every), neurons), f32)
        pull_back(rule, zeros, *[one_number] * 2, checkpoints, zeros, *[one_number] * 2, [4.0], False)
        return on_host.take_launched()

    assert forward(0) == (0, 0, 0)
    assert forward(1) == (1, 32, 0)
    assert forward(129) == (3, 64, 0)
    assert forward(257) == (3, 128, 0)  # one neuron a thread
    assert forward(1024) == (4, 128, 0)  # two neurons
    assert forward(1024, 4) == (2, 128, 0)  # four neurons
    assert backward(0, 3, 3) == (0, 0, 0)
    # For the fallback: one state per neuron for every step but the first, at most 24.
    assert backward(1024, 20, 3) == (4, 128, 2 * 128 * 4)
    assert backward(1024, 100, 50) == (4, 128, 24 * 128 * 4)
    # More slots if the fast path has more chunks. Smaller blocks if they need too much memory.
    assert backward(1024, 2000, 600) == (8, 64, 74 * 2 * 64 * 4)
    assert backward(1024, 2000, 800) == (16, 32, 99 * 2 * 32 * 4)


@pytest.mark.parametrize("shape", [(0, 4, 3), (3, 4, 0)])
def test_no_neurons(shape):
    on_host.take_launched()
    inputs = Inputs("f32", shape)
    rule = options("fire_charge", "zero", False, 2)
    assert all(out.size == 0 for out in on_host.lif_f32(rule, *inputs.layer(), inputs.state(), True))
    assert_same_tangent("one", "f32", rule, tangent_operands(inputs), True)
    assert_same_cotangent("one", "f32", rule, cotangent_operands(inputs, rule), True)
    assert on_host.take_launched() == (0, 0, 0)
