"""The spike inside a recurrent layer of leaky integrate-and-fire neurons under `lax.scan`, where it is one small part.

    u = decay v + x_t w_in + s w_rec,   s = spike(u - 1),   v = u - s

A layer as wide as its input, over 100 steps of random currents; the gradient is that of both weights. XLA can fuse the
formula with what stands around it, and cannot fuse a kernel, so this is where kernels may lose.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from tqdm import tqdm

from benchmarks.competitors import FORMULA, OURS, Spike, spikes
from benchmarks.quiet import QUIET, Patience, measure_quietly
from benchmarks.turns import Timing, blocking, take_turns

FORWARD, GRADIENT = "forward", "gradient"
DIRECTIONS = (FORWARD, GRADIENT)

STEPS = 100
DECAY = 0.9

Weights = tuple[Array, Array]
Functions = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    shapes: Sequence[tuple[int, int]] = tuple(itertools.product((64, 128, 256, 512), (1, 8, 32, 128)))
    seconds: float = 2.0  # for each row and direction
    patience: float = 60.0


QUICK = Extent(shapes=((64, 8), (128, 32)), seconds=0.5, patience=2.0)


@dataclass(frozen=True)
class ModelRow:
    """One direction of one model.

    Attributes:
        rate: the share of neurons that spike in a step.
        timings: by competitor.
        others: the share of a core that other processes took meanwhile.
    """

    neurons: int
    batch: int
    direction: str
    rate: float
    timings: Mapping[str, Timing]
    others: float

    @property
    def spikes(self) -> int:
        """Elements that one call of the spike has."""
        return self.neurons * self.batch

    @property
    def time_ratio(self) -> float:
        """Time with the kernels over time with the formula; above 1 is a loss."""
        return self.timings[OURS].median / self.timings[FORMULA].median

    @property
    def quiet(self) -> bool:
        return self.others < QUIET


def _layer(spike: Spike, weights: Weights, currents: Array) -> Array:
    w_in, w_rec = weights

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        v, s = state
        u = DECAY * v + x @ w_in + s @ w_rec
        s = spike(u - 1)
        return (u - s, s), s

    rest = jnp.zeros(currents.shape[1:])
    _, raster = lax.scan(step, (rest, rest), currents)
    return raster


def _loss(spike: Spike, weights: Weights, currents: Array) -> Array:
    return jnp.mean(_layer(spike, weights, currents).sum(axis=0) ** 2)


def _measure_shape(neurons: int, batch: int, seconds: float, patience: Patience) -> list[ModelRow]:
    keys = jax.random.split(jax.random.key(neurons + batch), 3)
    currents = jax.random.normal(keys[0], (STEPS, batch, neurons))
    # Scaled so that about a tenth of the neurons spike in a step.
    w_in, w_rec = (0.6 * jax.random.normal(key, (neurons, neurons)) / neurons**0.5 for key in keys[1:])
    weights = (w_in, w_rec)

    compared = {name: spike for name, spike in spikes().items() if name in (OURS, FORMULA)}
    layers: Functions = {name: jax.jit(functools.partial(_layer, spike)) for name, spike in compared.items()}
    gradients: Functions = {
        name: jax.jit(jax.grad(functools.partial(_loss, spike))) for name, spike in compared.items()
    }
    rates = {name: float(layer(weights, currents).mean()) for name, layer in layers.items()}
    if abs(rates[OURS] - rates[FORMULA]) > 0.01:
        raise AssertionError(f"the models do not compute the same: their rates are {rates}")

    rows = []
    for direction, functions in ((FORWARD, layers), (GRADIENT, gradients)):
        calls = {name: blocking(f, weights, currents) for name, f in functions.items()}
        watched = measure_quietly(functools.partial(take_turns, calls, seconds), patience)
        rows.append(ModelRow(neurons, batch, direction, rates[OURS], watched.result, watched.others))
    return rows


def measure(extent: Extent) -> list[ModelRow]:
    patience = Patience(extent.patience)
    rows: list[ModelRow] = []
    for neurons, batch in tqdm(extent.shapes, desc="recurrent model"):
        rows += _measure_shape(neurons, batch, extent.seconds, patience)
    return rows
