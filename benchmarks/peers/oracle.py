"""Spikes and gradients in float64 as a NumPy loop over time, for each step order.

A spike in float32 may differ from float64 where rounding moves a membrane over the threshold, and every later membrane
of the neuron then differs too. So the membranes here are computed from the spikes that a library returned: each spike
must equal `membrane >= threshold`, except within `ROUNDING` of the threshold. Over all steps this is the recurrence
itself. The gradient follows from the same membranes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.cases import DECAY, STEEPNESS, THRESHOLD, Arrays

Order = Literal["charge_fire_reset", "reset_undecayed", "fire_charge"]
Wide = NDArray[np.float64]

ROUNDING = 1e-5
"""One step rounds a float32 membrane near 1 by up to 6e-8. With decay 0.9 the errors of ten steps add up."""

GRADIENT = 1e-4
"""The largest error of a gradient, relative to the largest gradient."""


@dataclass(frozen=True)
class Equation:
    """How a library steps.

    Attributes:
        order: the step order by its name in spikegrad. u', v' and s' are from the step before.
            "charge_fire_reset": `u = decay v' + x, s = H(u - threshold), v = u - s threshold`.
            "reset_undecayed": `u = decay u' + x - s' threshold, s = H(u - threshold)`.
            "fire_charge": `s = H(v' - threshold), v = decay v' + x - s threshold`.
        detached: whether the reset has no gradient.
        gain: the neurons multiply the current by it, so the library gets `weights / gain`.
    """

    order: Order = "charge_fire_reset"
    detached: bool = False
    gain: float = 1.0


@dataclass(frozen=True)
class Check:
    """A comparison with the oracle.

    Attributes:
        wrong: spikes that differ and that rounding does not explain.
        rounded: spikes that differ within ROUNDING of the threshold.
        rate: the share of ones among the spikes.
        gradient_error: the largest error over the largest gradient; None without a gradient.
    """

    wrong: int
    rounded: int
    rate: float
    gradient_error: float | None

    @property
    def passed(self) -> bool:
        # A NaN fails.
        return self.wrong == 0 and (self.gradient_error is None or self.gradient_error <= GRADIENT)


def surrogate(distance: Wide) -> Wide:
    """The surrogate's derivative at `membrane - threshold`."""
    s = np.exp(-np.logaddexp(0.0, -STEEPNESS * distance))
    return STEEPNESS * s * (1 - s)


def compared_membranes(equation: Equation, current: Wide, spikes: Wide) -> Wide:
    """The membranes `[steps, ...]` that were compared with the threshold, from the spikes that this gave."""
    membranes = np.empty_like(current)
    v = np.zeros_like(current[0])
    for t, (x, s) in enumerate(zip(current, spikes, strict=True)):
        if equation.order == "charge_fire_reset":
            membranes[t] = DECAY * v + x
            v = membranes[t] - s * THRESHOLD
        elif equation.order == "reset_undecayed":
            before = spikes[t - 1] if t else 0.0
            membranes[t] = v = DECAY * v + x - before * THRESHOLD
        else:
            membranes[t] = v
            v = DECAY * v + x - s * THRESHOLD
    return membranes


def current_cotangent(equation: Equation, membranes: Wide, cotangent: Wide) -> Wide:
    """The cotangent of the current `[steps, ...]` for a cotangent of the spikes."""
    slope = surrogate(membranes - THRESHOLD)
    reset = 0.0 if equation.detached else THRESHOLD
    result = np.empty_like(membranes)
    later = np.zeros_like(membranes[0])  # the cotangent of the next step's charged membrane
    for t in reversed(range(len(membranes))):
        if equation.order == "charge_fire_reset":
            after = DECAY * later
            result[t] = later = after + (cotangent[t] - reset * after) * slope[t]
        elif equation.order == "reset_undecayed":
            result[t] = later = DECAY * later + (cotangent[t] - reset * later) * slope[t]
        else:
            result[t] = later
            later = DECAY * later + (cotangent[t] - reset * later) * slope[t]
    return result


def _relative_error(found: NDArray[np.float32], expected: Wide) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _check(spikes: NDArray[np.float32], distance: Wide, rounding: float, error: float | None) -> Check:
    differ = spikes != (distance >= 0)
    near = np.abs(distance) <= rounding
    return Check(int((differ & ~near).sum()), int((differ & near).sum()), float(spikes.mean()), error)


def check_spike(arrays: Arrays, spikes: NDArray[np.float32], gradient: NDArray[np.float32] | None) -> Check:
    """Compare a spike function and its VJP. Without rounding: a spike at 0 exactly is the library's choice."""
    x, cotangent = arrays["x"].astype(np.float64), arrays["cotangent"]
    error = None if gradient is None else _relative_error(gradient, cotangent * surrogate(x))
    return _check(spikes, x, 0.0, error)


def check_layer(
    equation: Equation, arrays: Arrays, spikes: NDArray[np.float32], gradient: NDArray[np.float32] | None
) -> Check:
    """Compare the spikes of Linear + LIF `[steps, batch, neurons]` and the gradient of the library's weights."""
    x, weights = (arrays[name].astype(np.float64) for name in ("x", "weights"))
    membranes = compared_membranes(equation, x @ weights, spikes.astype(np.float64))
    error = None
    if gradient is not None:
        pulled_back = current_cotangent(equation, membranes, arrays["cotangent"].astype(np.float64))
        flat = (-1, weights.shape[0])
        error = _relative_error(gradient, equation.gain * (x.reshape(flat).T @ pulled_back.reshape(flat)))
    return _check(spikes, membranes - THRESHOLD, ROUNDING, error)
