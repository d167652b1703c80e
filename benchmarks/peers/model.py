"""What each library gives to the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Model:
    """Functions of a library's own arrays.

    Attributes:
        spike: the spike function of the distance from the threshold, with the common surrogate.
        layer: from the current `[steps, batch, neurons]` to the spikes of the same shape.
    """

    spike: Callable[[Any], Any]
    layer: Callable[[Any], Any]
