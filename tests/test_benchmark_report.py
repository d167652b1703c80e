"""What the benchmarks say of numbers that they are given; what they measure is no matter for tests."""

import dataclasses
import importlib.util
import json

import pytest
from promised import needs

FOUND = all(importlib.util.find_spec(package) for package in ("benchmarks", "psutil", "tqdm"))
pytestmark = needs(FOUND, "SPIKEGRAD_REQUIRE_BENCHMARKS", "what the benchmarks import is not installed (extra bench)")


def lif_row(case, direction, ours, **opponents):
    from benchmarks.lif_rows import LifRow
    from benchmarks.turns import Timing

    seconds = {"spikegrad": ours, **opponents}
    timings = {name: Timing(median, median, median, rounds=7, repetitions=1) for name, median in seconds.items()}
    probed = {"scan": 2.0, "vmap of scan": 1.0}
    return LifRow(case, direction, rate=0.1, probed=probed, timings=timings, others=0.0)


@pytest.fixture
def results():
    """Forward 4x and gradient 9x as fast as the fastest scan; slower wherever nothing is promised."""
    from benchmarks.lif_memory import Memory, MemoryRow
    from benchmarks.lif_rows import BACKWARD, FORWARD, GRADIENT, Case
    from benchmarks.results import Results

    layer, batch = Case(100, None, 512), Case(500, 16, 512)
    rows = [
        lif_row(layer, FORWARD, 1.0, **{"scan": 5.0, "vmap of scan": 4.0}),
        lif_row(layer, GRADIENT, 1.0, scan=9.0),
        lif_row(layer, BACKWARD, 4.0, scan=2.0),
        lif_row(batch, FORWARD, 4.0, scan=2.0),
        lif_row(batch, GRADIENT, 4.0, scan=2.0),
        lif_row(dataclasses.replace(layer, dtype="bfloat16"), FORWARD, 4.0, scan=2.0),
        lif_row(dataclasses.replace(layer, trained=True), GRADIENT, 4.0, scan=2.0),
        lif_row(dataclasses.replace(batch, linear=True), FORWARD, 16.0, scan=10.0),
        lif_row(dataclasses.replace(batch, linear=True), GRADIENT, 16.0, scan=10.0),
    ]
    unit = 256 * 1024 * 4
    memory = [
        MemoryRow(
            steps,
            1024,
            {
                "spikegrad": Memory(kept * unit // 256, current_kept=True, layer=0, linear=unit),
                "scan": Memory(unit, current_kept=False, layer=unit, linear=2 * unit),
            },
        )
        for steps, kept in ((64, 100), (256, 16))
    ]
    environment = {"braintools": None}
    huge_pages = [lif_row(layer, FORWARD, 1.0, scan=1.9)]
    return Results(
        quick=False, environment=environment, lif=rows, lif_huge_pages=huge_pages, lif_memory=memory, seconds=60.0
    )


def test_verdicts_on_layers(results):
    from benchmarks.targets import verdicts

    found = {verdict.what: verdict for verdict in verdicts(results)}
    assert [(verdict.value, verdict.word) for what, verdict in found.items() if what.startswith("LIF:")] == [
        ("6.00", "met"),
        ("4.00", "met"),
    ]
    assert [(verdict.value, verdict.word) for what, verdict in found.items() if what.startswith("LIF, huge")] == [
        ("1.90", "MISSED"),
        ("1.90", "-"),
    ]
    (memory,) = (verdict for what, verdict in found.items() if "kept" in what)
    assert (memory.value, memory.word) == ("0.062", "met")


def test_the_opponent_is_the_fastest_that_took_turns(results):
    assert results.lif[0].opponent == "vmap of scan"
    assert results.as_json()["lif"][0]["ratio"] == 4.0


def lines_with(text, *cells):
    return [line for line in text.splitlines() if all(f" {cell} " in line for cell in cells)]


def test_report_on_layers(results):
    from benchmarks.report import markdown

    text = markdown(results)
    (forward,) = lines_with(text, "100 x 512", "float32", "vmap of scan")
    assert [cell.strip() for cell in forward.split("|")][4:] == [
        *("1.00 s", "4.00 s", "vmap of scan", "4.00"),
        *("1.00 s", "1.90 s", "scan", "1.90", "0 %", ""),
    ]
    (step,) = lines_with(text, "500 x 16 x 512", "gradient")
    assert [cell.strip() for cell in step.split("|")][6:] == ["0.62 ▼", "25 %", "20 %", "0 %", ""]
    (memory,) = lines_with(text, "256 x 1024")
    assert [cell.strip() for cell in memory.split("|")][2:6] == ["0.062", "1.000", "yes", "no"]


def test_rows_of_layers_come_back_from_json(results):
    from benchmarks.lif_rows import LifRow

    for row in results.lif:
        assert LifRow.from_json(json.loads(json.dumps(dataclasses.asdict(row)))) == row


def test_the_layers_that_are_compared_compute_the_same():
    from benchmarks.competitors import OPPONENTS, OURS, layers
    from benchmarks.lif_rows import QUICK, _check_agreement, problem

    compared = layers()
    assert list(compared) == [OURS, *OPPONENTS]
    for case in QUICK.cases:
        _check_agreement(problem(case), {name: compared[name] for name in (OURS, *QUICK.opponents)})
