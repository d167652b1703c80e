"""The page sizes under large results."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks.measured.competitors import spikes

LARGE = 1 << 24  # float32 elements; too large for glibc to cache, so the result has its own mapping


def _huge_share(array: Array) -> float | None:
    # Check the middle: the ends need not fill a huge page and may lie in other mappings.
    address = array.unsafe_buffer_pointer() + array.nbytes // 2
    inside, resident = False, 0
    try:
        lines = Path("/proc/self/smaps").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        first, *rest = line.split()
        if not first.endswith(":"):
            begin, end = (int(bound, 16) for bound in first.split("-"))
            inside = begin <= address < end
        elif inside and first == "Rss:":
            resident = int(rest[0])
        elif inside and first == "AnonHugePages:":
            return int(rest[0]) / resident
    return None


def huge_shares() -> dict[str, float | None]:
    """By competitor, the share of huge pages under a new result of 64 MiB. None if the system doesn't report it."""
    x = jnp.ones(LARGE)
    return {name: _huge_share(jax.jit(spike)(x).block_until_ready()) for name, spike in spikes().items()}
