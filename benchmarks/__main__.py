"""Measure everything, print a report and write the files: `python -m benchmarks`. See `--help`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measured import (
    accuracy,
    import_time,
    lif_memory,
    lif_rows,
    model_rows,
    other_settings,
    spike_rows,
    unrolled_rows,
)
from benchmarks.reported import plot, report
from benchmarks.reported.goals import verdicts
from benchmarks.reported.results import Results
from benchmarks.timing import environment
from benchmarks.timing.page_sizes import huge_shares

SECTIONS = ("spike", "model", "unrolled", "lif", "accuracy", "import")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and accuracy of spikegrad.")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="the folder to write to (out/bench)")
    parser.add_argument("--quick", action="store_true", help="small tables in one or two minutes, for a trial")
    parser.add_argument("--only", choices=SECTIONS, help="one section instead of all")
    return parser.parse_args(arguments)


def _measure(sections: Sequence[str], quick: bool) -> Results:
    start = time.perf_counter()
    results = Results(quick=quick, environment=environment.describe())
    if "spike" in sections:
        results.spike = spike_rows.measure(spike_rows.QUICK if quick else spike_rows.Extent(), "spike")
        huge_pages = other_settings.measure(other_settings.HUGE_PAGES, quick)
        results.huge_pages = huge_pages.rows
        results.huge_shares = {"as it is": huge_shares(), "with the setting": huge_pages.huge_shares}
        results.no_hand_over = other_settings.measure(other_settings.NO_HAND_OVER, quick).rows
    if "model" in sections:
        results.model = model_rows.measure(model_rows.QUICK if quick else model_rows.Extent())
    if "unrolled" in sections:
        results.unrolled = unrolled_rows.measure(unrolled_rows.QUICK if quick else unrolled_rows.Extent())
    if "lif" in sections:
        results.lif = lif_rows.measure(lif_rows.QUICK if quick else lif_rows.Extent(), "LIF")
        results.lif_huge_pages = other_settings.measure_lif(quick)
        results.lif_memory = lif_memory.measure(lif_memory.STEPS[:2] if quick else lif_memory.STEPS)
    if "accuracy" in sections:
        results.accuracy = accuracy.measure(quick)
    if "import" in sections:
        results.import_seconds = import_time.measure(2 if quick else 5)
    results.seconds = time.perf_counter() - start
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    results = _measure([options.only] if options.only else SECTIONS, options.quick)

    options.out.mkdir(parents=True, exist_ok=True)
    text = report.markdown(results)
    (options.out / "bench.md").write_text(text, encoding="utf-8")
    everything = results.as_json() | {"targets": [asdict(verdict) for verdict in verdicts(results)]}
    (options.out / "bench.json").write_text(json.dumps(everything, indent=1), encoding="utf-8")
    if results.spike:
        plot.save(results, options.out / "bench.png")
    if results.lif:
        plot.save_lif(results, options.out / "lif.png")
    print(text)


if __name__ == "__main__":
    main()
