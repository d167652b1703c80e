"""A layer of leaky integrate-and-fire neurons over all time steps, against the same recurrence under `lax.scan`.

    u = decay v + x,   s = H(u - threshold),   v = u - s threshold

The layer stands alone, or behind a linear map that is applied once to all steps: there it is a training step.

Each row looks for the fastest opponent first. That one then takes turns with ours, and the plain scan always does,
because so short a look may err.

The `vjp` is forward and backward together: the spikes, and their given cotangents pulled back. The gradient of a
weighted sum of the spikes, together with that sum, adds a product and a sum that XLA computes in an operation of its
own, beside a kernel as beside a scan.

Run as a program it writes the rows that the targets of a layer alone are about to a file: so a process with other
settings can measure the same.
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
CURRENT = 0.7  # its standard deviation, for which about a tenth of the neurons spike in a step

PROBE_SECONDS, FEWEST_PROBES = 0.03, 3
CHECKED = 2 * 10**6  # elements at most, where the results are compared


@dataclass(frozen=True)
class Case:
    """A layer.

    Attributes:
        batch: None where there is no axis for it.
        trained: whether each neuron has a decay and a threshold of its own, and the gradient is theirs too.
        linear: whether a linear map as wide as the layer stands before the neurons, applied once to all steps:
            `x @ w + b`. The gradient is by w, b and x.
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
        """Whether the targets of a layer alone are about it."""
        return self.batch is None and self.dtype == "float32" and not self.trained and not self.linear

    @property
    def directions(self) -> tuple[str, ...]:
        if self.linear:
            return LINEAR_DIRECTIONS
        if self.trained:
            return (VJP,)
        return (FORWARD, VJP) if self.dtype != "float32" else ALONE_DIRECTIONS

    def opponents(self, names: Sequence[str]) -> list[str]:
        """Of these opponents the ones that the case is held against: no `vmap` behind a linear map."""
        return [name for name in names if name in SCANS or not self.linear]


_WITH_TARGET = tuple(
    Case(steps, None, neurons)
    for steps, neurons in ((100, 512), (100, 8192), (500, 2048), (1000, 512), (1000, 8192), (16, 1 << 20))
)


@dataclass(frozen=True)
class Extent:
    """How much is measured.

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
    opponents=(SCAN, VMAP),  # unrolling is what takes long to compile
    seconds=0.1,
    patience=2.0,
)


@dataclass(frozen=True)
class LifRow:
    """One direction of one layer.

    Attributes:
        rate: the share of neurons that spike in a step.
        probed: seconds a call of each opponent in the short look that chose among them; empty where the choice was
            that of another direction.
        timings: by competitor; ours, the plain scan, and the fastest of the others where that was another.
        others: the share of a core that other processes took meanwhile.
    """

    case: Case
    direction: str
    rate: float
    probed: Mapping[str, float]
    timings: Mapping[str, Timing]
    others: float

    @property
    def opponent(self) -> str:
        """The fastest of those that took turns with ours."""
        return min((name for name in self.timings if name != AUTO), key=lambda name: self.timings[name].median)

    @property
    def ratio(self) -> float:
        """How many times faster than the fastest opponent; below 1 is a loss."""
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
    """What a case computes, of which operands.

    Attributes:
        operands: the current; or it, decay and threshold; or w, b and x.
        weights: the cotangents of the spikes; or their weights in a sum that is differentiated.
        differentiated: the first so many operands.
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
        """A call to be timed, of what is compiled once."""
        if direction == FORWARD:
            return blocking(jax.jit(self.forward(layer)), *self.operands)
        if direction == VJP:
            return blocking(jax.jit(self.forward_and_backward(layer)), self.weights, *self.operands)
        if direction == WEIGHTED_SUM:
            return blocking(jax.jit(self.value_and_gradient(layer)), self.weights, *self.operands)
        # What the forward keeps are the leaves of the pullback, and so arguments: nothing of it is computed again that
        # the layer itself does not compute again.
        _, pullback = jax.vjp(jax.jit(self.forward(layer)), *self.operands)
        return blocking(jax.jit(lambda pullback, weights: pullback(weights)), pullback, self.weights)


def problem(case: Case) -> Problem:
    """Drawn by XLA, as spike_rows does: NumPy's large arrays lie on huge pages, what XLA computes does not."""
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
    """What does not compute the same must not be compared.

    XLA may fuse product and sum, ours rounds both: a membrane on the threshold can spike in one and not in the other,
    and what that neuron does afterwards differs too.
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
                raise AssertionError(f"{asked.case}: of {name}'s results only {near.mean():.2%} are near ours")


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
        # The backward takes the opponent of the vjp: making a pullback compiles twice as much.
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
    parser.add_argument("--title", default="LIF", help="what the progress bar says")
    parser.add_argument("--quick", action="store_true", help="a small table")
    options = parser.parse_args()
    extent = QUICK if options.quick else Extent()
    with_target = dataclasses.replace(extent, cases=[case for case in extent.cases if case.has_target])
    rows = measure(with_target, options.title)
    options.rows.write_text(json.dumps({"rows": [dataclasses.asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
