"""The memory that the gradient of a layer of leaky integrate-and-fire neurons takes, ours and the scan's.

Nothing is run but one forward; the compiler says how much it allocates.
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
        kept: what the pullback holds between forward and backward, beside the current.
        current_kept: whether it holds the current too. That costs nothing where somebody else holds it.
        layer: what the compiled gradient by the current allocates, beside arguments and result.
        linear: the same of the gradient by w, b and x where the current is `x @ w + b`, which only the layer keeps.
    """

    kept: int
    current_kept: bool
    layer: int
    linear: int


@dataclass(frozen=True)
class MemoryRow:
    """One number of steps; by competitor."""

    steps: int
    neurons: int
    memory: Mapping[str, Memory]

    @property
    def unit(self) -> int:
        """Bytes of a `[T, N]` float32: what a scan keeps."""
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
