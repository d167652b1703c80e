"""Calls of a model of torch tensors. On a CPU torch returns when the results are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.peers.cases import FORWARD, Arrays
from benchmarks.peers.model import Model
from benchmarks.timing.interleaved_timing import timer

THREADS = (2, 1)
PROBES = 2

MOST_STEPS = 8
"""torch unrolls a loop that it compiles. Measured: 100 steps compile for 30 to 100 s on two busy cores."""


def choose_threads(call: Callable[[], object]) -> int:
    """Set the number of threads with which the call is faster.

    A step of a layer can be too small for two threads: where other processes use a core, a thread waits at each
    operation for the other.
    """
    seconds = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        call()  # compiled functions are compiled again
        seconds[threads] = min(timer(call)(1) for _ in range(PROBES))
    chosen = min(seconds, key=lambda threads: seconds[threads])
    torch.set_num_threads(chosen)
    return chosen


def compiled(function: Any) -> Any:
    """Compile for constant shapes. By default torch compiles the second shape that it meets for variable shapes."""
    return torch.compile(function, dynamic=False)


def loop(step: Any, initial: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A layer of all steps: `step(x, state)` returns the spikes and the next state, from `initial(zeros)` on."""

    def layer(current: Any) -> Any:
        state, spikes = initial(torch.zeros_like(current[0])), []
        for x in current:
            s, state = step(x, state)
            spikes.append(s)
        return torch.stack(spikes)

    return layer


def compiled_loop(step: Any, initial: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A compiled loop over a step, up to MOST_STEPS steps. Beyond them, a loop over the compiled step."""
    whole, by_step = compiled(loop(step, initial)), loop(compiled(step), initial)
    return lambda current: (whole if len(current) <= MOST_STEPS else by_step)(current)


def build(model: Model, arrays: Arrays, direction: str) -> Callable[[], Any]:
    """A call that returns the spikes, and with a backward pass the gradient of the weights (or of x) too."""
    torch.set_num_threads(THREADS[0])
    torch.compiler.reset()  # after eight compilations of one function torch would stop compiling it
    x, cotangent = (torch.from_numpy(arrays[name]) for name in ("x", "cotangent"))
    transposed = "weights" in arrays  # torch's linear map has weights [outputs, inputs]
    function: Callable[[Any], Any]
    if transposed:
        first = torch.from_numpy(np.ascontiguousarray(arrays["weights"].T))

        def function(weights: Any) -> Any:
            return model.layer(torch.nn.functional.linear(x, weights))
    else:
        first, function = x, model.spike

    def forward() -> Any:
        with torch.no_grad():
            return (function(first),)

    if direction == FORWARD:
        return forward
    first.requires_grad_()

    def both() -> Any:
        spikes = function(first)
        (gradient,) = torch.autograd.grad(spikes, first, cotangent)
        return spikes.detach(), gradient.T if transposed else gradient

    return both
