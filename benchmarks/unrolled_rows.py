"""The spike in a few time steps that a Python loop unrolls, as vision networks of spiking neurons are written.

    u = decay v + x_t,   s = spike(u - 1),   v = u - s

The forward puts out the spikes of each step; the gradient is by the currents of all steps, of the mean of the squared
number of spikes of each neuron.

XLA fuses the plain steps into one loop over the neurons. On CPUs such a loop computes all earlier steps again for the
result of each step, so that its work grows with the square of their number. A kernel ends the loop: its argument is
computed once and lies in memory. That costs more in four steps and far less in sixteen.
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

from benchmarks.comparison import Comparison, compare
from benchmarks.competitors import BRAINTOOLS, FORMULA, Spike, spikes
from benchmarks.model_rows import DIRECTIONS, FORWARD
from benchmarks.quiet import Patience

DECAY = 0.9
CURRENT = 0.7  # the standard deviation of the currents, for which about a tenth of the neurons spike in a step

Functions = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Extent:
    """How much is measured: all pairs of a number of steps and a number of neurons."""

    steps: Sequence[int] = (4, 16)
    neurons: Sequence[int] = (10**3, 10**4, 10**5, 2 * 10**6)
    seconds: float = 2.0  # for each row and direction
    patience: float = 60.0


QUICK = Extent(neurons=(10**3, 10**5), seconds=0.3, patience=2.0)


@dataclass(frozen=True)
class UnrolledRow:
    """One direction of one model."""

    steps: int
    neurons: int
    direction: str
    compared: Comparison


def _layer(spike: Spike, currents: tuple[Array, ...]) -> tuple[Array, ...]:
    v = jnp.zeros_like(currents[0])
    raster = []
    for x in currents:
        u = DECAY * v + x
        s = spike(u - 1)
        v = u - s
        raster.append(s)
    return tuple(raster)


def _loss(spike: Spike, currents: tuple[Array, ...]) -> Array:
    return jnp.mean(sum(_layer(spike, currents)) ** 2)


def _check_agreement(functions: Functions, currents: tuple[Array, ...]) -> None:
    """Rounding may move a membrane across the threshold, in a few neurons."""
    expected = functions[FORMULA](currents)
    for name, function in functions.items():
        for result, of_formula in zip(function(currents), expected, strict=True):
            result, of_formula = np.asarray(result), np.asarray(of_formula)
            near = np.isclose(result, of_formula, rtol=1e-3, atol=1e-3 * np.abs(of_formula).max())
            if near.mean() < 0.98:
                raise AssertionError(f"of the results of {name} only {near.mean():.2%} are near those of the formula")


def _measure_shape(steps: int, neurons: int, seconds: float, patience: Patience) -> list[UnrolledRow]:
    keys = jax.random.split(jax.random.key(neurons), steps)
    currents = tuple(CURRENT * jax.random.normal(key, (neurons,)) for key in keys)
    compared = {name: spike for name, spike in spikes().items() if name != BRAINTOOLS}
    rows = []
    for direction in DIRECTIONS:
        functions: Functions = {
            name: jax.jit(
                functools.partial(_layer, spike) if direction == FORWARD else jax.grad(functools.partial(_loss, spike))
            )
            for name, spike in compared.items()
        }
        _check_agreement(functions, currents)
        rows.append(UnrolledRow(steps, neurons, direction, compare(functions, (currents,), seconds, patience)))
    return rows


def measure(extent: Extent) -> list[UnrolledRow]:
    patience = Patience(extent.patience)
    rows: list[UnrolledRow] = []
    for steps, neurons in tqdm(list(itertools.product(extent.steps, extent.neurons)), desc="unrolled steps"):
        rows += _measure_shape(steps, neurons, extent.seconds, patience)
    return rows
