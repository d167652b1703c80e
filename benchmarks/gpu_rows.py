"""What a GPU is asked: the bandwidth of the spike and its VJP, the recurrent model of model_rows, and whole layers.

`python -m benchmarks.gpu_rows --out FILE` writes everything as JSON; gpu_check runs it and makes a report of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from tqdm import tqdm

from benchmarks import environment, lif_rows, model_rows
from benchmarks.competitors import AUTO, FORMULA, KERNELS, POLICIES, SCAN, SURROGATES, spikes, vjp
from benchmarks.turns import take_turns

COPY = "copy"
DTYPES = ("float32", "float16", "bfloat16", "float64")
SIZES = tuple(10**k for k in range(4, 10))
LAYERS = (lif_rows.Case(500, 16, 512), lif_rows.Case(500, 16, 4096), lif_rows.Case(500, None, 8192))
IN_A_ROW = 20
"""Calls that are handed to the device before anybody waits: then a large call's time is the device's, not Python's."""


@dataclass(frozen=True)
class BandwidthRow:
    """One direction of one surrogate at one dtype and size.

    Attributes:
        arrays: that a call reads and writes: 2 for the forward, 3 for the VJP; 2 for a copy.
        seconds: a call, by competitor, the copy among them.
    """

    surrogate: str
    dtype: str
    size: int
    direction: str
    arrays: int
    seconds: Mapping[str, float]

    def bandwidth(self, competitor: str) -> float:
        """Bytes a second, read and written."""
        arrays = 2 if competitor == COPY else self.arrays
        return arrays * self.size * jnp.dtype(self.dtype).itemsize / self.seconds[competitor]

    def share_of_copy(self, competitor: str) -> float:
        return self.bandwidth(competitor) / self.bandwidth(COPY)

    def time_ratio(self, competitor: str) -> float:
        """The time over the formula's time."""
        return self.seconds[competitor] / self.seconds[FORMULA]


def _in_a_row(function: Callable[..., Array], *arguments: Array) -> Callable[[], None]:
    def call() -> None:
        for _ in range(IN_A_ROW):
            result = function(*arguments)
        result.block_until_ready()

    return call


def _measure(surrogate: str, dtype: str, size: int, seconds: float) -> list[BandwidthRow]:
    x, t = (jax.random.normal(key, (size,), dtype) for key in jax.random.split(jax.random.key(size)))
    compared = {name: spike for name, spike in spikes(surrogate).items() if name in (AUTO, KERNELS, FORMULA)}
    copy = _in_a_row(jax.jit(jnp.copy), x)
    rows = []
    directions: dict[str, tuple[int, Callable[[Any], Any], tuple[Array, ...]]] = {
        "forward": (2, lambda spike: spike, (x,)),
        "VJP": (3, vjp, (x, t)),
    }
    for direction, (arrays, of, arguments) in directions.items():
        if direction == "forward" and surrogate != SURROGATES[0]:
            continue
        calls = {name: _in_a_row(jax.jit(of(spike)), *arguments) for name, spike in compared.items()}
        timings = take_turns({**calls, COPY: copy}, seconds)
        each = {name: timing.median / IN_A_ROW for name, timing in timings.items()}
        rows.append(BandwidthRow(surrogate, dtype, size, direction, arrays, each))
    return rows


def measure(sizes: Sequence[int], seconds: float) -> Iterator[BandwidthRow]:
    """The rows as they come, the smallest first: the largest may not fit."""
    cases = [(s, d, n) for n in sizes for s in SURROGATES for d in DTYPES if s == SURROGATES[0] or d == "float32"]
    for surrogate, dtype, size in tqdm(cases, desc="bandwidth"):
        with jax.enable_x64(dtype == "float64"):
            yield from _measure(surrogate, dtype, size, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows, as JSON")
    parser.add_argument("--quick", action="store_true", help="small sizes alone, to try it, on any device")
    options = parser.parse_args()
    if jax.default_backend() != "gpu" and not options.quick:
        raise SystemExit(f"there is no GPU: jax found {jax.devices()}")
    found: dict[str, Any] = {"environment": environment.describe(), "bandwidth": [], "model": [], "lif": []}
    extent = model_rows.QUICK
    if not options.quick:
        extent = dataclasses.replace(extent, shapes=((64, 8), (128, 32), (512, 32), (512, 128)))
    for model_row in model_rows.measure(extent):
        ratios = {name: model_row.compared.time_ratio(name) for name in POLICIES}
        found["model"].append(dataclasses.asdict(model_row) | {"time_ratios": ratios})
    layers = lif_rows.QUICK if options.quick else lif_rows.Extent(cases=LAYERS, seconds=0.5)
    # On a device a scan is bound by its launches, so that unrolling is the opponent too, but takes long to compile.
    for lif_row in lif_rows.measure(dataclasses.replace(layers, opponents=(SCAN,)), "LIF"):
        found["lif"].append(dataclasses.asdict(lif_row))
    for row in measure(SIZES[:2] if options.quick else SIZES, 0.2):
        found["bandwidth"].append(dataclasses.asdict(row))
        options.out.write_text(json.dumps(found))  # each time: whoever runs this may run out of time


if __name__ == "__main__":
    main()
