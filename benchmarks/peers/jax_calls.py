"""Jitted calls of a model of jax arrays that return when their results are computed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.peers.cases import FORWARD, Arrays
from benchmarks.peers.model import Model


def choose_threads(call: Callable[[], object]) -> int:
    """jax takes one thread for each core that the process may use, and can't change this later."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build(model: Model, arrays: Arrays, direction: str) -> Callable[[], Any]:
    """A call that returns the spikes, and with a backward pass the gradient of the weights (or of x) too."""
    given = {name: jnp.asarray(array) for name, array in arrays.items()}
    cotangent = given.pop("cotangent")
    operands: tuple[Any, ...]
    function: Callable[..., Any]
    if "weights" in given:
        operands = (given["weights"], given["x"])

        def function(weights: Any, x: Any) -> Any:
            return model.layer(x @ weights)
    else:
        operands = (given["x"],)
        function = model.spike

    def both(cotangent: Any, first: Any, *rest: Any) -> Any:
        spikes, pullback = jax.vjp(lambda first: function(first, *rest), first)
        return spikes, *pullback(cotangent)

    if direction == FORWARD:
        forward = jax.jit(lambda *operands: (function(*operands),))
        return lambda: jax.block_until_ready(forward(*operands))
    jitted = jax.jit(both)
    return lambda: jax.block_until_ready(jitted(cotangent, *operands))
