"""The spike in a few time steps that a Python loop unrolls, as in spiking vision networks.

    u = decay v + x_t,   s = spike(u - 1),   v = u - s

The current is an array `[T, N]`, like the output of a previous layer, or the same `[N]` at every step, as for a still
image. The forward returns the number of spikes of each neuron. The gradient is of their mean square, by the current.

XLA fuses plain steps into loops over the neurons. On CPUs the gradient by a current `[T, N]` recomputes all earlier
steps in the loop of each step. A kernel ends a loop: all values before it are computed once and stored in memory.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tqdm import tqdm

from benchmarks.measured.competitor_names import BRAINTOOLS, FORMULA
from benchmarks.measured.competitors import Spike, spikes
from benchmarks.measured.model_rows import FORWARD, GRADIENT
from benchmarks.timing.comparison import Comparison, compare
from benchmarks.timing.machine_load import Patience

DECAY = 0.9
CURRENT = 0.7  # standard deviation of the currents; about a tenth of the neurons spike in a step

Functions = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Extent:
    """The cases to measure: all combinations."""

    steps: Sequence[int] = (4, 16)
    neurons: Sequence[int] = (10**3, 10**4, 10**5, 2 * 10**6)
    seconds: float = 1.5  # for each row and direction
    patience: float = 60.0


QUICK = Extent(neurons=(10**3, 10**5), seconds=0.3, patience=2.0)


@dataclass(frozen=True)
class UnrolledRow:
    """One direction of one model.

    Attributes:
        constant: whether the current is the same at every step.
    """

    constant: bool
    steps: int
    neurons: int
    direction: str
    compared: Comparison


def _spike_counts(spike: Spike, steps: int, current: Array) -> Array:
    v = count = jnp.zeros(current.shape[-1])
    for t in range(steps):
        u = DECAY * v + (current if current.ndim == 1 else current[t])
        s = spike(u - 1)
        v = u - s
        count += s
    return count


def _loss(spike: Spike, steps: int, current: Array) -> Array:
    return jnp.mean(_spike_counts(spike, steps, current) ** 2)


def _check_agreement(functions: Functions, current: Array) -> None:
    """Check that the results agree. In a few neurons rounding may move a membrane across the threshold."""
    expected = np.asarray(functions[FORMULA](current))
    for name, function in functions.items():
        near = np.isclose(function(current), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        if near.mean() < 0.98:
            raise AssertionError(f"only {near.mean():.2%} of the results of {name} are close to the formula's results")


def models(constant: bool, steps: int, neurons: int) -> tuple[dict[str, Functions], Array]:
    """The jitted functions by direction and competitor, and the current."""
    current = CURRENT * jax.random.normal(jax.random.key(neurons), (neurons,) if constant else (steps, neurons))
    compared = {name: spike for name, spike in spikes().items() if name != BRAINTOOLS}
    counts = {name: jax.jit(functools.partial(_spike_counts, spike, steps)) for name, spike in compared.items()}
    gradients = {name: jax.jit(jax.grad(functools.partial(_loss, spike, steps))) for name, spike in compared.items()}
    return {FORWARD: counts, GRADIENT: gradients}, current


def _measure_shape(constant: bool, steps: int, neurons: int, seconds: float, patience: Patience) -> list[UnrolledRow]:
    by_direction, current = models(constant, steps, neurons)
    rows = []
    for direction, functions in by_direction.items():
        _check_agreement(functions, current)
        rows.append(UnrolledRow(constant, steps, neurons, direction, compare(functions, (current,), seconds, patience)))
    return rows


def measure(extent: Extent) -> list[UnrolledRow]:
    patience = Patience(extent.patience)
    rows: list[UnrolledRow] = []
    shapes = list(itertools.product((False, True), extent.steps, extent.neurons))
    for constant, steps, neurons in tqdm(shapes, desc="unrolled steps"):
        rows += _measure_shape(constant, steps, neurons, extent.seconds, patience)
    return rows
