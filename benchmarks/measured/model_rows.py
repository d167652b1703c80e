"""The spike as a small part of a recurrent layer of leaky integrate-and-fire neurons under `lax.scan`.

    u = decay v + x_t w_in + s w_rec,   s = spike(u - 1),   v = u - s

The layer is as wide as its input, and runs over 100 steps of random currents. The gradient is by both weights. XLA
fuses the formula with the operations around it, but cannot fuse a kernel, so kernels may be slower here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from tqdm import tqdm

from benchmarks.measured.competitor_names import AUTO, BRAINTOOLS, FORMULA
from benchmarks.measured.competitors import Spike, spikes
from benchmarks.timing.comparison import Comparison, compare
from benchmarks.timing.machine_load import Patience

FORWARD, GRADIENT = "forward", "gradient"
DIRECTIONS = (FORWARD, GRADIENT)

STEPS = 100
DECAY = 0.9

Weights = tuple[Array, Array]
Functions = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Extent:
    """The cases to measure.

    Attributes:
        shapes: (neurons, batch). The targets name 1 x 64, 8 x 64, 32 x 128, 16 x 256 and 128 x 512, batch first.
    """

    shapes: Sequence[tuple[int, int]] = (
        *((64, 1), (64, 8), (64, 128)),
        *((128, 32), (128, 128)),
        *((256, 1), (256, 16), (256, 128)),
        *((512, 8), (512, 128)),
    )
    seconds: float = 3.0  # for each row and direction
    patience: float = 60.0


QUICK = Extent(shapes=((64, 8), (128, 32)), seconds=0.5, patience=2.0)


@dataclass(frozen=True)
class ModelRow:
    """One direction of one model.

    Attributes:
        rate: the share of neurons that spike in a step.
    """

    neurons: int
    batch: int
    direction: str
    rate: float
    compared: Comparison

    @property
    def spikes(self) -> int:
        """The number of elements in one call of the spike."""
        return self.neurons * self.batch


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


def models(neurons: int, batch: int) -> tuple[dict[str, Functions], tuple[Weights, Array], float]:
    """The jitted functions by direction and competitor, their arguments, and the share of neurons that spike."""
    keys = jax.random.split(jax.random.key(neurons + batch), 3)
    currents = jax.random.normal(keys[0], (STEPS, batch, neurons))
    # Scaled so that about a tenth of the neurons spike in a step.
    w_in, w_rec = (0.6 * jax.random.normal(key, (neurons, neurons)) / neurons**0.5 for key in keys[1:])
    weights = (w_in, w_rec)

    compared = {name: spike for name, spike in spikes().items() if name != BRAINTOOLS}
    layers: Functions = {name: jax.jit(functools.partial(_layer, spike)) for name, spike in compared.items()}
    gradients: Functions = {
        name: jax.jit(jax.grad(functools.partial(_loss, spike))) for name, spike in compared.items()
    }
    rates = {name: float(layer(weights, currents).mean()) for name, layer in layers.items()}
    if any(abs(rate - rates[FORMULA]) > 0.01 for rate in rates.values()):
        raise AssertionError(f"the models do not compute the same: their rates are {rates}")
    return {FORWARD: layers, GRADIENT: gradients}, (weights, currents), rates[AUTO]


def _measure_shape(neurons: int, batch: int, seconds: float, patience: Patience) -> list[ModelRow]:
    by_direction, arguments, rate = models(neurons, batch)
    return [
        ModelRow(neurons, batch, direction, rate, compare(functions, arguments, seconds, patience))
        for direction, functions in by_direction.items()
    ]


def measure(extent: Extent) -> list[ModelRow]:
    patience = Patience(extent.patience)
    rows: list[ModelRow] = []
    for neurons, batch in tqdm(extent.shapes, desc="recurrent model"):
        rows += _measure_shape(neurons, batch, extent.seconds, patience)
    return rows
