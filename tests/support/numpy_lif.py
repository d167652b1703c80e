"""Layers of LIF neurons as a NumPy loop over time, and random operands for tests."""

from __future__ import annotations

import itertools

import numpy as np

STEP_ORDERS = ("charge_fire_reset", "reset_undecayed", "fire_charge")
RESETS = ("subtract", "zero", None)
RULES = list(itertools.product(STEP_ORDERS, RESETS))
RULES_AND_DETACHMENT = [
    *itertools.product(STEP_ORDERS, RESETS[:2], (False, True)),
    *((step_order, None, False) for step_order in STEP_ORDERS),
]


def numpy_lif(current, decay, threshold, v0, step_order, reset, spike=lambda z: z >= 0):
    """(spikes, v_final, membrane) in float32, or float64 if current is. Each operation is rounded separately.

    The equations are in the docstring of `spikegrad.lif`.
    """
    wide = np.float64 if current.dtype == np.float64 else np.float32
    decay, threshold, v0 = (np.asarray(value, wide) for value in (decay, threshold, v0))
    one = wide(1)
    v = np.broadcast_to(v0, current.shape[1:]).astype(wide)
    spikes, membranes = [], []
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        for x in current.astype(wide):
            if step_order == "charge_fire_reset":
                u = decay * v + x
                s = spike(u - threshold).astype(wide)
                v = u - s * threshold if reset == "subtract" else u * (one - s) if reset == "zero" else u
            else:
                s = spike(v - threshold).astype(wide)
                if reset == "zero":
                    u = decay * (v * (one - s)) + x
                else:
                    u = decay * v + x - (s * threshold if reset == "subtract" else 0)
                v = u
                if step_order == "reset_undecayed":
                    s = spike(u - threshold).astype(wide)
            spikes.append(s)
            membranes.append(u)
    over_time = [np.reshape(rows, current.shape).astype(current.dtype) for rows in (spikes, membranes)]
    return over_time[0], v, over_time[1]


def draw(seed, steps, shape, dtype=np.float32, scales=()):
    """Random current, decay, threshold and v0. A fifth of the neurons spike. `scales`: shape of decay and threshold."""
    rng = np.random.default_rng(seed)
    wide = np.float64 if dtype == np.float64 else np.float32
    current = (0.3 + 0.5 * rng.standard_normal((steps, *shape))).astype(dtype)
    decay, threshold = (rng.uniform(low, high, scales).astype(wide) for low, high in ((0.5, 1.0), (0.6, 1.3)))
    return current, decay, threshold, (0.5 * rng.standard_normal(shape)).astype(wide)
