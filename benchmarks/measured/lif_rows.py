"""A layer of leaky integrate-and-fire neurons over all time steps, against the same recurrence under `lax.scan`.

    u = decay v + x,   s = H(u - threshold),   v = u - s threshold

The layer stands alone, or follows a linear map that is applied once to all steps. The latter is a training step.

A short probe before each row finds the fastest opponent. This opponent is then timed in interleaved rounds with
spikegrad. The plain scan is always timed too, because a short probe may err.

The `vjp` is forward and backward together: the spikes, and the pullback of given cotangents. The gradient of a weighted
sum of the spikes, together with this sum, adds a product and a sum. XLA computes them in a separate operation, with
spikegrad and with a scan.

As a program it writes the rows for the targets of a layer alone to a file, so that a process with other settings can
measure the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tqdm import tqdm

from benchmarks.measured.competitor_names import AUTO
from benchmarks.measured.competitors import OPPONENTS, SCAN, SCANS, VMAP, Layer, layers
from benchmarks.timing.interleaved_timing import Timing, blocking, take_turns
from benchmarks.timing.machine_load import QUIET, Patience, measure_quietly

FORWARD, VJP, BACKWARD, WEIGHTED_SUM = "forward", "vjp", "backward", "weighted sum"
ALONE_DIRECTIONS = (FORWARD, VJP, BACKWARD)
LINEAR_DIRECTIONS = (VJP, WEIGHTED_SUM)

DECAY, THRESHOLD = 0.9, 1.0
CURRENT = 0.7  # its standard deviation; about a tenth of the neurons spike in a step

PROBE_SECONDS, FEWEST_PROBES = 0.03, 3
CHECKED = 2 * 10**6  # results are compared up to this many elements


@dataclass(frozen=True)
class Case:
    """A layer.

    Attributes:
        batch: None without a batch axis.
        trained: whether each neuron has its own decay and threshold, with gradients for them.
        linear: whether a linear map `x @ w + b` of the layer's width, applied once to all steps, precedes the neurons.
            The gradient is by w, b and x.
    """

    steps: int
    batch: int | None
    neurons: int
    dtype: str = "float32"
    trained: bool = False
    linear: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.steps, self.neurons) if self.batch is None else (self.steps, self.batch, self.neurons)

    @property
    def has_target(self) -> bool:
        """Whether the targets of a layer alone apply to this case."""
        return self.batch is None and self.dtype == "float32" and not self.trained and not self.linear

    @property
    def directions(self) -> tuple[str, ...]:
        if self.linear:
            return LINEAR_DIRECTIONS
        if self.trained:
            return (VJP,)
        return (FORWARD, VJP) if self.dtype != "float32" else ALONE_DIRECTIONS

    def opponents(self, names: Sequence[str]) -> list[str]:
        """The opponents for this case. After a linear map there is no `vmap`."""
        return [name for name in names if name in SCANS or not self.linear]


_WITH_TARGET = tuple(
    Case(steps, None, neurons)
    for steps, neurons in ((100, 512), (100, 8192), (500, 2048), (1000, 512), (1000, 8192), (16, 1 << 20))
)


@dataclass(frozen=True)
class Extent:
    """The cases to measure.

    500 steps and a batch of 16 come from the Open Neuromorphic benchmarks of spiking libraries.
    """

    cases: Sequence[Case] = (
        *_WITH_TARGET,
        Case(500, 16, 512),
        Case(500, 16, 4096),
        Case(500, None, 2048, dtype="bfloat16"),
        Case(1000, None, 8192, dtype="bfloat16"),
        Case(500, None, 2048, trained=True),
        Case(100, 16, 512, linear=True),
        Case(500, 16, 512, linear=True),
        Case(1000, 1, 512, linear=True),
        Case(250, 32, 128, linear=True),
        Case(500, 16, 1024, linear=True),
    )
    opponents: Sequence[str] = OPPONENTS
    seconds: float = 1.2  # for each row and direction
    patience: float = 60.0


QUICK = Extent(
    cases=(
        Case(100, None, 512),
        Case(100, 4, 128),
        Case(100, None, 512, dtype="bfloat16"),
        Case(100, None, 512, trained=True),
        Case(100, 4, 128, linear=True),
    ),
    opponents=(SCAN, VMAP),  # unrolled scans take long to compile
    seconds=0.1,
    patience=2.0,
)


@dataclass(frozen=True)
class LifRow:
    """One direction of one layer.

    Attributes:
        rate: the share of neurons that spike in a step.
        probed: seconds a call of each opponent in the short probe; empty if another direction's choice was used.
        timings: by competitor: spikegrad, the plain scan, and the fastest other opponent.
        others: the share of a core that other processes used during the measurement.
    """

    case: Case
    direction: str
    rate: float
    probed: Mapping[str, float]
    timings: Mapping[str, Timing]
    others: float

    @property
    def opponent(self) -> str:
        """The fastest opponent in the interleaved rounds."""
        return min((name for name in self.timings if name != AUTO), key=lambda name: self.timings[name].median)

    @property
    def ratio(self) -> float:
        """The fastest opponent's time over spikegrad's. Below 1 spikegrad is slower."""
        return self.timings[self.opponent].median / self.timings[AUTO].median

    @property
    def quiet(self) -> bool:
        return self.others < QUIET

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> LifRow:
        timings = {name: Timing(**timing) for name, timing in row["timings"].items()}
        return cls(**{**row, "case": Case(**row["case"]), "timings": timings})


@dataclass(frozen=True)
class Problem:
    """The computation of a case, and its operands.

    Attributes:
        operands: the current; or current, decay and threshold; or w, b and x.
        weights: the cotangents of the spikes; or their weights in the sum that is differentiated.
        differentiated: the number of leading operands with gradients.
    """

    case: Case
    operands: tuple[Array, ...]
    weights: Array
    differentiated: int

    def forward(self, layer: Layer) -> Callable[..., Array]:
        if self.case.linear:
            return lambda w, b, x: layer(x @ w + b, DECAY, THRESHOLD)
        if self.case.trained:
            return layer
        return lambda current: layer(current, DECAY, THRESHOLD)

    def value_and_gradient(self, layer: Layer) -> Callable[..., tuple[Array, tuple[Array, ...]]]:
        spikes = self.forward(layer)

        def weighted_sum(weights: Array, *operands: Array) -> Array:
            return jnp.sum(spikes(*operands) * weights)

        return jax.value_and_grad(weighted_sum, argnums=tuple(range(1, 1 + self.differentiated)))

    def forward_and_backward(self, layer: Layer) -> Callable[..., tuple[Array, tuple[Array, ...]]]:
        spikes = self.forward(layer)

        def pulled_back(weights: Array, *operands: Array) -> tuple[Array, tuple[Array, ...]]:
            moving, still = operands[: self.differentiated], operands[self.differentiated :]
            out, pullback = jax.vjp(lambda *moving: spikes(*moving, *still), *moving)
            return out, pullback(weights)

        return pulled_back

    def call(self, direction: str, layer: Layer) -> Callable[[], None]:
        """A call to time. Its function is compiled once."""
        if direction == FORWARD:
            return blocking(jax.jit(self.forward(layer)), *self.operands)
        if direction == VJP:
            return blocking(jax.jit(self.forward_and_backward(layer)), self.weights, *self.operands)
        if direction == WEIGHTED_SUM:
            return blocking(jax.jit(self.value_and_gradient(layer)), self.weights, *self.operands)
        # The values that the forward keeps are the leaves of the pullback, and thus arguments. So the backward
        # recomputes only the values that the layer itself recomputes.
        _, pullback = jax.vjp(jax.jit(self.forward(layer)), *self.operands)
        return blocking(jax.jit(lambda pullback, weights: pullback(weights)), pullback, self.weights)


def problem(case: Case) -> Problem:
    """Operands drawn by XLA, as in spike_rows: large NumPy arrays would lie on huge pages, XLA's results don't."""
    keys = jax.random.split(jax.random.key(sum(case.shape)), 4)
    weights = jax.random.normal(keys[0], case.shape, case.dtype)
    x = jax.random.normal(keys[1], case.shape, case.dtype)
    if case.linear:
        w = CURRENT * jax.random.normal(keys[2], (case.neurons, case.neurons), case.dtype) / case.neurons**0.5
        b = 0.1 * jax.random.normal(keys[3], (case.neurons,), case.dtype)
        return Problem(case, (w, b, x), weights, differentiated=3)
    current = (CURRENT * x).astype(case.dtype)
    if case.trained:
        decay, threshold = (
            jax.random.uniform(key, (case.neurons,), minval=0.9 * mean, maxval=1.1 * mean)
            for key, mean in zip(keys[2:], (DECAY, THRESHOLD), strict=True)
        )
        return Problem(case, (current, decay, threshold), weights, differentiated=3)
    return Problem(case, (current,), weights, differentiated=1)


def _check_agreement(asked: Problem, compared: Mapping[str, Layer]) -> None:
    """Check that the layers compute the same.

    XLA may fuse product and sum, but spikegrad rounds both. A membrane at the threshold can then spike in only one of
    them, and the later steps of this neuron differ too.
    """
    ours, *others = (
        (
            jax.jit(asked.forward(layer))(*asked.operands),
            jax.jit(asked.forward_and_backward(layer))(asked.weights, *asked.operands)[1],
        )
        for layer in compared.values()
    )
    tolerance = 1e-3 if asked.case.dtype == "float32" else 0.02
    for name, other in zip(list(compared)[1:], others, strict=True):
        for result, expected in zip(jax.tree.leaves(other), jax.tree.leaves(ours), strict=True):
            if result.dtype != expected.dtype:
                raise AssertionError(f"{name} returned {result.dtype} where {expected.dtype} was expected")
            result, expected = (np.asarray(array, np.float64) for array in (result, expected))
            near = np.isclose(result, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
            if near.mean() < 0.98:
                raise AssertionError(f"{asked.case}: only {near.mean():.2%} of {name}'s results match spikegrad's")


def _seconds(call: Callable[[], None]) -> float:
    call()  # compiles
    best, probes, start = float("inf"), 0, time.perf_counter()
    while probes < FEWEST_PROBES or time.perf_counter() - start < PROBE_SECONDS:
        before = time.perf_counter()
        call()
        best, probes = min(best, time.perf_counter() - before), probes + 1
    return best


def _measure_case(case: Case, names: Sequence[str], seconds: float, patience: Patience) -> list[LifRow]:
    asked, by_name, names = problem(case), layers(), case.opponents(names)
    rate = float(jnp.mean(jax.jit(asked.forward(by_name[AUTO]))(*asked.operands), dtype=jnp.float32))
    rows: list[LifRow] = []
    fastest = SCAN
    for direction in case.directions:
        calls, probed = {name: asked.call(direction, by_name[name]) for name in (AUTO, SCAN)}, {}
        # The backward uses the opponent of the vjp, because another pullback would double the compile time.
        if direction != BACKWARD:
            patience.wait_for_quiet()
            opponents = {name: asked.call(direction, by_name[name]) for name in names}
            probed = {name: _seconds(call) for name, call in opponents.items()}
            fastest = min(probed, key=lambda name: probed[name])
            calls[fastest] = opponents[fastest]
        elif fastest != SCAN:
            calls[fastest] = asked.call(direction, by_name[fastest])
        watched = measure_quietly(functools.partial(take_turns, calls, seconds), patience)
        rows.append(LifRow(case, direction, rate, probed, watched.result, watched.others))
    if asked.weights.size <= CHECKED:
        _check_agreement(asked, {name: by_name[name] for name in (AUTO, SCAN, fastest)})
    return rows


def measure(extent: Extent, title: str) -> list[LifRow]:
    patience = Patience(extent.patience)
    rows: list[LifRow] = []
    for case in tqdm(extent.cases, desc=title):
        rows += _measure_case(case, extent.opponents, extent.seconds, patience)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="where to write the rows, as JSON")
    parser.add_argument("--title", default="LIF", help="the title of the progress bar")
    parser.add_argument("--quick", action="store_true", help="a small table")
    options = parser.parse_args()
    extent = QUICK if options.quick else Extent()
    with_target = dataclasses.replace(extent, cases=[case for case in extent.cases if case.has_target])
    rows = measure(with_target, options.title)
    options.rows.write_text(json.dumps({"rows": [dataclasses.asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
