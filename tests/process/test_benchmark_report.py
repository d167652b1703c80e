"""The benchmark report for given numbers. The measurements themselves are not tested."""

import dataclasses
import json

import pytest
from requirements import needs_benchmarks

pytestmark = [pytest.mark.host_only, needs_benchmarks]


def timings_of(seconds):
    from benchmarks.timing.interleaved_timing import Timing

    return {name: Timing(median, median, median, rounds=7, repetitions=1) for name, median in seconds.items()}


def comparison(auto, kernels, fused, timed_as=None):
    """A comparison with a formula that takes 1 s. Competitors have separate programs, except those in `timed_as`."""
    from benchmarks.timing.comparison import Comparison

    timings = timings_of({"auto": auto, "kernels": kernels, "fused": fused, "jax.numpy": 1.0})
    return Comparison(timings, {name: name for name in timings} | (timed_as or {}), others=0.0)


def lif_row(case, direction, ours, **opponents):
    from benchmarks.measured.lif_rows import LifRow

    timings = timings_of({"auto": ours, **opponents})
    probed = {"scan": 2.0, "vmap of scan": 1.0}
    return LifRow(case, direction, rate=0.1, probed=probed, timings=timings, others=0.0)


@pytest.fixture
def results():
    """Layers alone are 4x and 9x as fast as the fastest scan. Rows without a goal are slower."""
    from benchmarks.measured.lif_memory import Memory, MemoryRow
    from benchmarks.measured.lif_rows import BACKWARD, FORWARD, VJP, WEIGHTED_SUM, Case
    from benchmarks.reported.results import Results

    layer, batch = Case(100, None, 512), Case(500, 16, 512)
    rows = [
        lif_row(layer, FORWARD, 1.0, **{"scan": 5.0, "vmap of scan": 4.0}),
        lif_row(layer, VJP, 1.0, scan=9.0),
        lif_row(layer, BACKWARD, 4.0, scan=2.0),
        lif_row(batch, FORWARD, 4.0, scan=2.0),
        lif_row(batch, VJP, 4.0, scan=2.0),
        lif_row(dataclasses.replace(layer, dtype="bfloat16"), FORWARD, 4.0, scan=2.0),
        lif_row(dataclasses.replace(layer, trained=True), VJP, 4.0, scan=2.0),
        lif_row(dataclasses.replace(batch, linear=True), VJP, 16.0, scan=10.0),
        lif_row(dataclasses.replace(batch, linear=True), WEIGHTED_SUM, 10.0, scan=12.0),
    ]
    unit = 256 * 1024 * 4
    memory = [
        MemoryRow(
            steps,
            1024,
            {
                "auto": Memory(kept * unit // 256, current_kept=True, layer=0, linear=unit),
                "scan": Memory(unit, current_kept=False, layer=unit, linear=2 * unit),
            },
        )
        for steps, kept in ((64, 100), (256, 16))
    ]
    environment = {"braintools": None}
    huge_pages = [lif_row(layer, FORWARD, 1.0, scan=1.9)]
    return Results(
        quick=False,
        environment=environment,
        **rows_of_spikes(),
        lif=rows,
        lif_huge_pages=huge_pages,
        lif_memory=memory,
        seconds=60.0,
    )


def rows_of_spikes():
    from benchmarks.measured.model_rows import ModelRow
    from benchmarks.measured.spike_rows import SpikeRow
    from benchmarks.measured.unrolled_rows import UnrolledRow

    formula = {"auto": "jax.numpy", "fused": "jax.numpy"}
    return {
        "spike": [
            SpikeRow("GaussianGrad", "float32", 100, "forward", comparison(1.0, 0.5, 1.0, formula)),
            SpikeRow("GaussianGrad", "float32", 100, "VJP", comparison(0.25, 0.25, 2.0, {"auto": "kernels"})),
            SpikeRow("Sigmoid", "bfloat16", 100, "VJP", comparison(1.25, 0.5, 1.25)),
        ],
        "model": [ModelRow(64, 8, "gradient", 0.1, comparison(1.02, 1.2, 1.02))],
        "unrolled": [
            UnrolledRow(False, 4, 10**5, "gradient", comparison(1.5, 2.0, 1.5)),
            UnrolledRow(False, 4, 10**3, "gradient", comparison(9.0, 9.0, 9.0)),
            UnrolledRow(True, 16, 10**5, "forward", comparison(1.0, 4.0, 1.0, formula)),
        ],
    }


def test_verdicts_on_the_spike_are_about_the_default_policy(results):
    from benchmarks.reported.goals import verdicts

    found = {verdict.what: verdict for verdict in verdicts(results)}
    mean = found["spike, float32: geometric mean of forward and VJP"]
    assert (mean.value, mean.word, mean.note) == ("2.00", "met", "of the kernels 2.83")
    words = {what: (verdict.value, verdict.word) for what, verdict in found.items()}
    assert words["spike, float32: smallest"] == ("1.00", "met")
    assert words["spike, bfloat16: smallest"] == ("0.80", "MISSED")
    assert words["recurrent model, gradient: largest time over the formula's"] == ("1.02", "met")
    assert words["4 unrolled steps, current [T, N]: largest time over the formula's"] == ("1.50", "MISSED")
    assert words["16 unrolled steps, constant current: largest time over the formula's"] == ("1.00", "met")


def test_verdicts_on_accuracy(results):
    from benchmarks.measured.accuracy import Errors
    from benchmarks.reported.goals import verdicts

    def errors(name, order, normal_ulp, ulp):
        return Errors("Sigmoid", "float32", order, name, normal_ulp, ulp, relative=0.0, worst_x=0.0, points=1)

    # The bound of the fused form applies only to normal results of order 0.
    results.accuracy = [errors("kernels", 1, 1.0, 2.5), errors("fused", 0, 3.25, 1e6), errors("fused", 1, 9.0, 9.0)]
    found = {verdict.what: verdict for verdict in verdicts(results)}
    kernels = found["kernels, float32: largest error of g and g', subnormal results included"]
    assert (kernels.value, kernels.word) == ("2.500 ULP", "MISSED")
    fused = found["fused, float32: largest error of g in normal results"]
    assert (fused.value, fused.word) == ("3.250 ULP", "met")


def test_verdicts_on_layers(results):
    from benchmarks.reported.goals import verdicts

    found = {verdict.what: verdict for verdict in verdicts(results)}
    assert [(verdict.value, verdict.word) for what, verdict in found.items() if what.startswith("LIF, forward")] == [
        ("6.00", "met"),
        ("4.00", "met"),
    ]
    assert [(verdict.value, verdict.word) for what, verdict in found.items() if what.startswith("LIF, huge")] == [
        ("1.90", "MISSED"),
        ("1.90", "-"),
    ]
    assert [(verdict.value, verdict.word) for what, verdict in found.items() if what.startswith("Linear")] == [
        ("0.62", "MISSED"),
        ("0.62", "MISSED"),
        ("1.20", "met"),
        ("1.20", "met"),
    ]
    (memory,) = (verdict for what, verdict in found.items() if "kept" in what)
    assert (memory.value, memory.word) == ("0.062", "met")


def test_the_opponent_is_the_fastest_that_took_turns(results):
    assert results.lif[0].opponent == "vmap of scan"
    assert results.as_json()["lif"][0]["ratio"] == 4.0


def test_equal_programs_are_found():
    import jax
    import jax.numpy as jnp

    from benchmarks.timing.programs import same_programs

    functions = {"a": lambda x: 2 * x + 1, "b": lambda y: y * 2 + 1, "c": lambda x: 3 * x + 1}
    jitted = {name: jax.jit(function) for name, function in functions.items()}
    assert same_programs(jitted, jnp.ones(7)) == {"a": "a", "b": "a", "c": "c"}


def lines_with(text, *cells):
    return [line for line in text.splitlines() if all(f" {cell} " in line for cell in cells)]


def test_report_on_layers(results):
    from benchmarks.reported.report import markdown

    text = markdown(results)
    (forward,) = lines_with(text, "100 x 512", "float32", "vmap of scan")
    assert [cell.strip() for cell in forward.split("|")][4:] == [
        *("1.00 s", "4.00 s", "vmap of scan", "4.00"),
        *("1.00 s", "1.90 s", "scan", "1.90", "0 %", ""),
    ]
    (step,) = (line for line in lines_with(text, "16.0 s", "10.0 s") if line.startswith("| 500 x 16 x 512"))
    assert [cell.strip() for cell in step.split("|")][3:] == [
        *("16.0 s", "10.0 s", "scan", "0.62 ▼"),
        *("10.0 s", "12.0 s", "scan", "1.20", "0 %", ""),
    ]
    (memory,) = lines_with(text, "256 x 1024")
    assert [cell.strip() for cell in memory.split("|")][2:6] == ["0.062", "1.000", "yes", "no"]


def test_report_on_spikes(results):
    from benchmarks.reported.report import markdown

    text = markdown(results)
    forward, vjp = (line for line in lines_with(text, "1e+02", "1.00 s")[:2])
    ratios = [[cell.strip() for cell in line.split("|")][7:10] for line in (forward, vjp)]
    assert ratios == [["1.00 =", "2.00", "1.00 ="], ["4.00", "4.00", "0.50 ▼"]]
    (model,) = lines_with(text, "512", "10 %", "1.20 ▼")
    assert [cell.strip() for cell in model.split("|")][9:12] == ["1.02 ▼", "1.20 ▼", "1.02 ▼"]
    (unrolled,) = (line for line in text.splitlines() if line.startswith("| constant "))
    assert [cell.strip() for cell in unrolled.split("|")][8:11] == ["1.00 =", "4.00 ▼", "1.00 ="]


def test_rows_of_spikes_come_back_from_json(results):
    from benchmarks.measured.spike_rows import SpikeRow

    for row in results.spike:
        assert SpikeRow.from_json(json.loads(json.dumps(dataclasses.asdict(row)))) == row


def test_rows_of_layers_come_back_from_json(results):
    from benchmarks.measured.lif_rows import LifRow

    for row in results.lif:
        assert LifRow.from_json(json.loads(json.dumps(dataclasses.asdict(row)))) == row


def test_the_layers_that_are_compared_compute_the_same():
    from benchmarks.measured.competitor_names import AUTO
    from benchmarks.measured.competitors import OPPONENTS, layers
    from benchmarks.measured.lif_rows import QUICK, _check_agreement, problem

    compared = layers()
    assert list(compared) == [AUTO, *OPPONENTS]
    for case in QUICK.cases:
        _check_agreement(problem(case), {name: compared[name] for name in (AUTO, *QUICK.opponents)})


@pytest.mark.parametrize("policy", ["auto", True, False])
def test_competitors_keep_their_policies_whatever_the_process_has(policy):
    import jax
    import jax.numpy as jnp
    import spikegrad

    from benchmarks.measured.competitors import spikes, vjp

    with spikegrad.kernels(policy):
        compared = spikes()
    for size, of_auto in ((10, False), (10**5, True)):
        x = jnp.ones(size)
        calls = {
            name: "custom_call" in jax.jit(vjp(compared[name])).lower(x, x).as_text()
            for name in ("auto", "kernels", "fused", "jax.numpy")
        }
        assert calls == {"auto": of_auto, "kernels": True, "fused": False, "jax.numpy": False}
