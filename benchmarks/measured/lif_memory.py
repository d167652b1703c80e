"""The memory of the gradient of a layer of leaky integrate-and-fire neurons, for spikegrad and for a scan.

Only one forward pass runs; the compiler reports the allocations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from tqdm import tqdm

from benchmarks.measured.competitor_names import AUTO
from benchmarks.measured.competitors import SCAN, Layer, layers
from benchmarks.measured.lif_rows import Case, Problem, problem

STEPS = (64, 256, 1024, 4096)
NEURONS = 1024


@dataclass(frozen=True)
class Memory:
    """Bytes of one competitor.

    Attributes:
        kept: values that the pullback holds between forward and backward, without the current.
        current_kept: whether it also holds the current. This is free if another operation holds it anyway.
        layer: allocations of the compiled gradient by the current, without arguments and result.
        linear: the same for the gradient by w, b and x with the current `x @ w + b`, which only the layer holds.
    """

    kept: int
    current_kept: bool
    layer: int
    linear: int


@dataclass(frozen=True)
class MemoryRow:
    """The memory for one number of steps, by competitor."""

    steps: int
    neurons: int
    memory: Mapping[str, Memory]

    @property
    def unit(self) -> int:
        """Bytes of a `[T, N]` float32 array, which a scan keeps."""
        return self.steps * self.neurons * np.dtype(np.float32).itemsize


def _temporaries(function: Callable[..., Any], *arguments: Array) -> int:
    return int(jax.jit(function).lower(*arguments).compile().memory_analysis().temp_size_in_bytes)


def _memory(alone: Problem, after_linear: Problem, layer: Layer) -> Memory:
    (current,) = alone.operands
    _, pullback = jax.vjp(jax.jit(alone.forward(layer)), current)
    held = {id(leaf): leaf for leaf in jax.tree.leaves(pullback)}
    current_kept = held.pop(id(current), None) is not None
    return Memory(
        kept=sum(leaf.nbytes for leaf in held.values()),
        current_kept=current_kept,
        layer=_temporaries(alone.value_and_gradient(layer), alone.weights, *alone.operands),
        linear=_temporaries(after_linear.value_and_gradient(layer), after_linear.weights, *after_linear.operands),
    )


def measure(steps: Sequence[int] = STEPS) -> list[MemoryRow]:
    compared = {name: layer for name, layer in layers().items() if name in (AUTO, SCAN)}
    rows = []
    for count in tqdm(steps, desc="LIF, memory"):
        alone, after_linear = (problem(Case(count, None, NEURONS, linear=linear)) for linear in (False, True))
        memory = {name: _memory(alone, after_linear, layer) for name, layer in compared.items()}
        rows.append(MemoryRow(count, NEURONS, memory))
    return rows
