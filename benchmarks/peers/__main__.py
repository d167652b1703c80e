"""Measure, print a report and write the files: `python -m benchmarks.peers`. See `--help`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import plot, report
from benchmarks.peers.measure import SHORT, Extent, measure
from benchmarks.peers.results import Results
from benchmarks.peers.table import JAX, TORCH


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="Libraries of spiking neurons.")
    parser.add_argument("--out", type=Path, default=Path("out/peers"), help="the folder to write to (out/peers)")
    parser.add_argument("--torch-python", required=True, help="the Python of the environment with torch")
    parser.add_argument("--quick", action="store_true", help="two small cases in a few minutes, for a trial")
    parser.add_argument("--rounds", type=int, help="the fewest interleaved rounds of a row (7)")
    parser.add_argument("--seconds", type=float, help="the time for a row, unless its rounds take longer (10)")
    return parser.parse_args(arguments)


def _write(results: Results, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.json").write_text(json.dumps(results.as_json(), indent=1), encoding="utf-8")
    (out / "peers.md").write_text(report.markdown(results), encoding="utf-8")
    for suffix in ("png", "svg"):
        plot.save(results, out / f"peers.{suffix}")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    extent = SHORT if options.quick else Extent()
    if options.rounds is not None:
        extent = dataclasses.replace(extent, rounds=options.rounds)
    if options.seconds is not None:
        extent = dataclasses.replace(extent, seconds=options.seconds)
    for results in measure({JAX: sys.executable, TORCH: options.torch_python}, extent):
        _write(results, options.out)
    print((options.out / "peers.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
