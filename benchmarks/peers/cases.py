"""What is computed: a spike function alone, and Linear + LIF. And the arrays that every library computes it with.

Batch 16, 500 steps, as many inputs as neurons, and one linear map before the neurons come from the benchmarks of
spiking libraries by Open Neuromorphic, on a GPU. Here the layers are small enough for two cores, and the widest layer
has 100 steps. A short layer has as many steps as networks for images. Their code:
github.com/open-neuromorphic/open-neuromorphic.github.io, folder
content/blog/spiking-neural-network-framework-benchmarking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FORWARD, BOTH = "forward", "forward + backward"
DIRECTIONS = (FORWARD, BOTH)

DECAY, THRESHOLD = 0.9, 1.0
STEEPNESS = 4.0
"""The surrogate has the derivative `STEEPNESS s (1 - s)` with `s = sigmoid(STEEPNESS x)`: every library offers it."""

INPUT_DENSITY = 1 / 8
CURRENT = 0.5  # the current's standard deviation; about 5 % of the neurons spike in a step
GRID = 2.0**-10  # weights are multiples of this, so sums of weights are exact in float32, in any order

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SpikeCase:
    """The spike function on normal random numbers."""

    elements: int

    @property
    def name(self) -> str:
        return f"spike, {self.elements:,} elements"


@dataclass(frozen=True)
class LayerCase:
    """LIF neurons after a linear map without bias, which is applied once to all steps."""

    steps: int
    batch: int
    neurons: int

    @property
    def name(self) -> str:
        return f"Linear + LIF, {self.steps} x {self.batch} x {self.neurons}"


Case = SpikeCase | LayerCase

CASES: tuple[Case, ...] = (
    SpikeCase(16 * 512),
    SpikeCase(500 * 16 * 512),
    LayerCase(8, 16, 512),
    LayerCase(500, 16, 128),
    LayerCase(500, 16, 512),
    LayerCase(100, 16, 2048),
)
QUICK: tuple[Case, ...] = (SpikeCase(16 * 512), LayerCase(50, 16, 128))


def arrays(case: Case) -> Arrays:
    """Random operands of a case, and the cotangent of its spikes.

    Returns:
        `x` and `cotangent` of a spike function. Or, for a layer, `x` of zeros and ones `[steps, batch, neurons]`,
        `weights` `[neurons, neurons]` and `cotangent` of x's shape.
    """
    rng = np.random.default_rng(0)
    if isinstance(case, SpikeCase):
        x, cotangent = rng.standard_normal((2, case.elements), np.float32)
        return {"x": x, "cotangent": cotangent}
    shape = (case.steps, case.batch, case.neurons)
    x = (rng.random(shape, np.float32) < INPUT_DENSITY).astype(np.float32)
    scale = CURRENT / math.sqrt(INPUT_DENSITY * case.neurons)
    weights = GRID * np.round(scale / GRID * rng.standard_normal((case.neurons, case.neurons), np.float32))
    return {"x": x, "weights": weights.astype(np.float32), "cotangent": rng.standard_normal(shape, np.float32)}
