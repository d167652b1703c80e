"""The jitted spike and its VJP, from one element to a hundred million, in every dtype that has kernels.

The forward is the same for every surrogate, so it is measured only with the Gaussian.

As a program it writes its rows to a file, so that a process with other settings can measure the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
from jax import Array
from tqdm import tqdm

from benchmarks.measured.competitor_names import GAUSSIAN, KERNELS, SURROGATES
from benchmarks.measured.competitors import spikes, vjp
from benchmarks.timing.comparison import Comparison, compare
from benchmarks.timing.machine_load import Patience
from benchmarks.timing.page_sizes import huge_shares

FORWARD, VJP = "forward", "VJP"
DIRECTIONS = (FORWARD, VJP)


@dataclass(frozen=True)
class Extent:
    """The cases to measure. `other_dtypes` and `other_sizes` are for surrogates other than the Gaussian."""

    dtypes: Sequence[str] = ("float32", "float16", "bfloat16", "float64")
    sizes: Sequence[int] = tuple(10**k for k in range(9))
    other_dtypes: Sequence[str] = ("float32", "bfloat16")
    other_sizes: Sequence[int] = (10**2, *(10**k for k in range(4, 9)))
    seconds: float = 0.8  # for each row and direction
    patience: float = 60.0

    def between(self, smallest: int, largest: int) -> Extent:
        """The cases with sizes in this range."""
        sizes, other_sizes = (
            [size for size in sizes if smallest <= size <= largest] for sizes in (self.sizes, self.other_sizes)
        )
        return dataclasses.replace(self, sizes=sizes, other_sizes=other_sizes)


OTHER_SETTINGS = Extent(dtypes=("float32", "bfloat16"), other_dtypes=("float32",), seconds=0.4, patience=20.0)
"""For processes with other settings. Their tables have no targets."""

QUICK = Extent(
    dtypes=("float32", "bfloat16"),
    sizes=(10**2, 10**4, 10**6),
    other_dtypes=("float32",),
    other_sizes=(10**4, 10**6),
    seconds=0.2,
    patience=2.0,
)


@dataclass(frozen=True)
class SpikeRow:
    """One direction of one surrogate at one dtype and size."""

    surrogate: str
    dtype: str
    size: int
    direction: str
    compared: Comparison

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> SpikeRow:
        return cls(**{**row, "compared": Comparison.from_json(row["compared"])})


def _check_agreement(results: Mapping[str, Array], exactly: bool) -> None:
    """Check that the competitors compute the same.

    In half precision the formula's tails are wrong by a tenth, and the multi-Gaussian's troughs by more than their
    depth.
    """
    expected = np.asarray(results[KERNELS], np.float64)
    for name, result in results.items():
        if result.dtype != results[KERNELS].dtype:
            raise AssertionError(f"{name} returned {result.dtype} where {results[KERNELS].dtype} was expected")
        tolerance = {"rtol": 0, "atol": 0} if exactly else {"rtol": 0.1, "atol": 0.05}
        np.testing.assert_allclose(np.asarray(result, np.float64), expected, err_msg=name, **tolerance)


def _measure_size(surrogate: str, dtype: str, size: int, seconds: float, patience: Patience) -> list[SpikeRow]:
    # Drawn by XLA and not copied from NumPy: large NumPy arrays would lie on huge pages, XLA's results don't.
    x, t = (jax.random.normal(key, (size,), dtype) for key in jax.random.split(jax.random.key(size)))
    forwards = {name: jax.jit(spike) for name, spike in spikes(surrogate).items()}
    vjps = {name: jax.jit(vjp(spike)) for name, spike in spikes(surrogate).items()}
    if size <= 10**4:
        _check_agreement({name: f(x) for name, f in forwards.items()}, exactly=True)
        _check_agreement({name: f(x, t) for name, f in vjps.items()}, exactly=False)

    asked: dict[str, tuple[Mapping[str, Any], tuple[Array, ...]]] = {FORWARD: (forwards, (x,)), VJP: (vjps, (x, t))}
    rows = []
    for direction in DIRECTIONS if surrogate == GAUSSIAN else (VJP,):
        functions, arguments = asked[direction]
        compared = compare(functions, arguments, seconds, patience)
        rows.append(SpikeRow(surrogate, dtype, size, direction, compared))
    return rows


def _fits(dtype: str, size: int) -> bool:
    """Whether x, t, a result and the temporary memory for drawing x and t fit into memory."""
    return 5 * size * np.dtype(jax.numpy.dtype(dtype)).itemsize < psutil.virtual_memory().available


def measure(extent: Extent, title: str) -> list[SpikeRow]:
    """All rows that fit into memory."""
    patience = Patience(extent.patience)
    rows: list[SpikeRow] = []
    first = [(GAUSSIAN, d, s) for d in extent.dtypes for s in extent.sizes]
    others = [(o, d, s) for o in SURROGATES[1:] for d in extent.other_dtypes for s in extent.other_sizes]
    for surrogate, dtype, size in tqdm(first + others, desc=title):
        if not _fits(dtype, size):
            tqdm.write(f"{title}: {size} elements of {dtype} do not fit into memory and are skipped")
            continue
        with jax.enable_x64(dtype == "float64"):
            rows += _measure_size(surrogate, dtype, size, extent.seconds, patience)
        held = sum(array.nbytes for array in jax.live_arrays())
        if held > 10**6:
            raise AssertionError(f"{held} bytes of arrays are not freed after {size} elements of {dtype}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="where to write the rows, as JSON")
    parser.add_argument("--title", default="spike", help="the title of the progress bar")
    parser.add_argument("--quick", action="store_true", help="a small table")
    parser.add_argument("--between", type=int, nargs=2, required=True, help="minimum and maximum number of elements")
    parser.add_argument("--synchronous", action="store_true", help="start computations in the calling thread")
    options = parser.parse_args()
    if options.synchronous:
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    extent = (QUICK if options.quick else OTHER_SETTINGS).between(*options.between)
    rows = measure(extent, options.title)
    found = {"huge_shares": huge_shares(), "rows": [dataclasses.asdict(row) for row in rows]}
    options.rows.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
