"""Checks of the surrogate's parameters in abstract evaluation. The public functions check users' arguments before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from spikegrad.fused import wide_dtype
from spikegrad.primitives.families import FAMILIES


def check_parameters(x: Any, parameters: Sequence[Any], family: str) -> None:
    """Raise unless each parameter has x's wide dtype, and rank 0 or x's rank and a shape that broadcasts to x."""
    names = FAMILIES[family].parameters
    if not parameters or len(parameters) % len(names):
        raise TypeError(f"{family} takes ({', '.join(names)}) for each term, and got {len(parameters)} parameters")
    for name, parameter in zip(itertools.cycle(names), parameters, strict=False):
        if parameter.dtype != wide_dtype(x.dtype):
            raise TypeError(f"{name} must be {wide_dtype(x.dtype)} for x of {x.dtype}, and is {parameter.dtype}")
        if parameter.ndim == 0:
            continue
        fits = parameter.ndim == x.ndim and all(p in (1, s) for p, s in zip(parameter.shape, x.shape, strict=True))
        if not fits:
            raise ValueError(f"{name} of shape {parameter.shape} must have rank 0, or x's rank and fit {x.shape}")
