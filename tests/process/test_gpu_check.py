"""gpu_check's results for steps that pass, fail or run out of time, and for given measurements, without a GPU."""

import json
import signal
import time

import pytest
from requirements import needs_benchmarks

pytestmark = [pytest.mark.host_only, needs_benchmarks]


def run(steps, folder):
    """Run steps. Returns the outcomes, and the number of outcomes at each report."""
    from benchmarks.timing.steps import run_steps

    reported = []
    outcomes = run_steps(steps, folder, folder, lambda outcomes: reported.append(len(outcomes)))
    return outcomes, reported


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["", "in a background job"])
def sigint(request):
    """The disposition of SIGINT. Shells start background jobs with SIGINT ignored, and child processes inherit this."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_step_that_is_out_of_time_is_ended_and_the_later_ones_run(sigint, tmp_path):
    from benchmarks.timing.steps import OUT_OF_TIME, PASSED, SKIPPED, Step

    steps = [
        Step("quick", ["echo one", "echo $WORD"], 0.5, {"WORD": "two"}),
        Step("slow", ["echo started; sleep 2; touch late", "echo beside"], 0.5),
        Step("failing", ["echo reason; exit 3"], 5),
        Step("skipped", ["touch late"], 5, skipped="needs a GPU"),
        Step("last", ["sleep 0.5; echo done"], 5),
    ]
    start = time.monotonic()
    outcomes, reported = run(steps, tmp_path)
    assert [outcome.result for outcome in outcomes] == [PASSED, OUT_OF_TIME, "failed (3)", SKIPPED, PASSED]
    assert [outcome.lines for outcome in outcomes] == ["one\ntwo", "started", "reason", "needs a GPU", "done"]
    assert [outcome.good for outcome in outcomes] == [True, False, False, True, True]
    assert reported == [1, 2, 3, 4, 5]
    time.sleep(max(0.0, start + 3 - time.monotonic()))
    assert not (tmp_path / "late").exists()  # processes that the slow step started end with it


def test_what_a_step_leaves_of_its_time_is_there_for_the_next(tmp_path):
    from benchmarks.timing.steps import PASSED, Step

    outcomes, _ = run([Step("quick", ["true"], 10), Step("longer than its limit", ["sleep 0.5"], 0.01)], tmp_path)
    assert [outcome.result for outcome in outcomes] == [PASSED, PASSED]


def test_nothing_runs_after_a_step_that_is_needed_and_fails(tmp_path):
    from benchmarks.timing.steps import SKIPPED, Step

    outcomes, reported = run([Step("build", ["false"], 5, needed=True), Step("tests", ["true"], 5)], tmp_path)
    assert [outcome.result for outcome in outcomes] == ["failed (1)", SKIPPED]
    assert outcomes[1].lines == "needs the step before: build" and not outcomes[1].good
    assert reported == [1, 2]


@pytest.mark.parametrize("wheel", [None, "spikegrad.whl"])
def test_all_steps_fit_into_eight_minutes_and_the_last_has_some_of_it(tmp_path, wheel):
    from pathlib import Path

    from benchmarks.gpu_check import gpu_steps

    steps = gpu_steps(tmp_path, wheel and Path(wheel))
    assert sum(step.limit for step in steps) <= 470
    assert all(step.limit >= 25 for step in steps)
    assert ("spikegrad.whl" in steps[0].commands[0]) == (wheel is not None)


def device(seconds):
    from benchmarks.reported.gpu_results import DEVICE, CallTime

    return CallTime(seconds, DEVICE, 1)


def by_wall_clock(seconds):
    from benchmarks.reported.gpu_results import WALL_CLOCK, CallTime

    return CallTime(seconds, WALL_CLOCK)


def results(time=device):
    """Results with a copy at 1 TB/s, layers, models and spikes."""
    from benchmarks.reported.gpu_results import BACKWARD, BOTH, FORWARD, GRADIENT, VJP, GpuResults, Row

    large, few, size = (128, 1 << 20), (500, 8192), 10**8
    array = 4 * 128 * (1 << 20)
    compared = {"auto": time(1e-5), "kernels": time(2e-5), "jax.numpy": time(1e-5)}
    wall = {"auto": 1.2e-4, "kernels": 1e-4, "jax.numpy": 1e-4}
    own = {name: name for name in compared}
    return GpuResults(
        copy=Row("copy", (size,), "float32", FORWARD, 8 * size, {"copy": time(8e-4)}),
        layers=[
            Row("lif", large, "float32", FORWARD, 2 * array, {"kernels": time(2e-12 * array / 0.95)}),
            Row("lif", large, "float32", BACKWARD, 3 * array, {"kernels": time(3e-12 * array / 0.9)}),
            Row("lif", large, "bfloat16", BACKWARD, 3 * array // 2, {"kernels": time(1.8e-12 * array / 0.9)}),
            Row("lif", large, "float32", BOTH, 5 * array, {"kernels": time(1e-3)}),
            Row("lif", few, "float32", FORWARD, 1, {"kernels": time(26e-6)}),
            Row("lif", few, "float32", BOTH, 1, {"kernels": time(76e-6)}),
        ],
        models=[
            Row("scan", (8, 64), "float32", GRADIENT, 0, compared, own, wall),
            Row("unrolled", (4, 2 * 10**6), "float32", GRADIENT, 0, compared, own, wall),
            Row("unrolled", (4, 2 * 10**6), "float32", FORWARD, 0, compared, own | {"auto": "jax.numpy"}, wall),
        ],
        spikes=[
            Row(
                "GaussianGrad",
                (size,),
                "float32",
                VJP,
                12 * size,
                {"auto": time(1.2e-3), "kernels": time(1.25e-3), "jax.numpy": time(1.2e-3), "copy": time(8e-4)},
                own,
            ),
            Row("GaussianGrad", (10**6,), "float32", VJP, 12 * 10**6, dict.fromkeys([*own, "copy"], time(1.0))),
        ],
        spikingjelly=[
            Row("lif", large, "float32", BOTH, 0, {"SpikingJelly": time(1.3e-3)}),
            Row("lif", few, "float32", BOTH, 0, {"SpikingJelly": time(100e-6)}),
        ],
        left_out=["scan 32 x 128: no time left"],
    )


def test_verdicts_are_about_device_times():
    from benchmarks.reported.gpu_goals import verdicts

    found = {verdict.what: (verdict.value, verdict.word) for verdict in verdicts(results())}
    assert found["lif, float32, 128 x 1048576: forward, of a copy"] == ("0.950", "met")
    assert found["lif, float32, 128 x 1048576: backward, of a copy"] == ("0.900", "MISSED")
    assert found["lif, 128 x 1048576: backward, bfloat16 over float32"] == ("0.60", "met")
    assert found["lif, float32, 500 x 8192: forward"] == ("26.0 us", "MISSED")
    assert found["lif, float32, 1000 x 512: forward"] == ("not measured", "-")
    theirs = "forward and backward, times as fast as SpikingJelly"
    assert found[f"lif, 128 x 1048576: {theirs}"] == ("1.30", "met")
    assert found[f"lif, smaller shapes: {theirs}, smallest"] == ("1.32", "MISSED")
    # The scan is judged by wall-clock time, unrolled steps by device time.
    assert found["scan model: largest time over the formula's"] == ("1.20", "MISSED")
    assert found["unrolled model: largest time over the formula's"] == ("1.00", "met")
    assert found["spike, float32: VJP, of a copy, smallest"] == ("0.960", "MISSED")
    assert found["spike, float64: VJP, of a copy, smallest"] == ("not measured", "-")


def test_nothing_is_held_against_the_wall_clock():
    from benchmarks.reported.gpu_goals import verdicts

    assert {(verdict.value, verdict.word) for verdict in verdicts(results(by_wall_clock))} == {("not measured", "-")}


def test_what_is_measured_has_a_row_for_every_target():
    from benchmarks.measured import spikingjelly_rows
    from benchmarks.measured.gpu_rows import Extent
    from benchmarks.reported import gpu_goals

    measured = {((steps, neurons), dtype) for steps, neurons, dtype in Extent().layers}
    assert {(target.shape, target.dtype) for target in gpu_goals.LAYERS} <= measured
    assert {(shape, "float32") for shape in spikingjelly_rows.SHAPES} <= measured
    assert set(gpu_goals.LARGE_SHAPES) <= set(spikingjelly_rows.SHAPES)
    large = {dtype for _, dtype, size in Extent().spikes if size >= gpu_goals.SPIKE_FROM}
    assert large == set(gpu_goals.SPIKE_DTYPES)


def test_a_report_of_a_run_that_was_ended_early():
    from benchmarks.reported.gpu_report import report
    from benchmarks.timing.steps import OUT_OF_TIME, Outcome

    outcomes = [Outcome("measurements", OUT_OF_TIME, 170.0, "the last line", good=False)]
    text = report([("commit", "abc")], outcomes, 3, results())
    assert "**Not finished: 1 of 3 steps so far.**" in text
    (step,) = (line for line in text.splitlines() if line.startswith("| measurements"))
    assert [cell.strip() for cell in step.split("|")][1:-1] == ["measurements", OUT_OF_TIME, "BAD", "170"]
    assert "```\nthe last line\n```" in text
    assert "A copy of 1e+08 float32 moves 1,000 GB/s" in text
    (layer,) = (line for line in text.splitlines() if line.startswith("| 500 x 8192"))
    cells = [cell.strip() for cell in layer.split("|")][1:-1]
    assert cells[:4] == ["500 x 8192", "float32", "kernels", "26.0"] and cells[7:] == ["76.0", "-", "100.0"]
    assert "- scan 32 x 128: no time left" in text
    assert "wall clock" not in text


def test_times_by_the_wall_clock_are_marked():
    from benchmarks.reported.gpu_report import measurements

    found = results(by_wall_clock)
    found.note = "jax's backend is cpu: no device times"
    text = measurements(found)
    assert "Times with a * are by the wall clock" in text and found.note in text
    assert " 26.0 * |" in text


def test_results_come_back_from_their_file(tmp_path):
    from benchmarks.reported.gpu_results import GpuResults

    written = results()
    written.write(tmp_path / "rows.json")
    assert GpuResults.read(tmp_path / "rows.json") == written
    assert json.loads((tmp_path / "rows.json").read_text())["left_out"] == written.left_out
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]


def test_the_time_of_a_call_is_the_median_without_the_gaps_between_kernels():
    from benchmarks.timing.device_time import call_time

    def call(start, kernel):  # two kernels, the second of which overlaps the first
        return [(start, start + kernel), (start + kernel / 2, start + 2 * kernel)]

    events = [*call(0, 1.0), *call(10, 3.0), *call(20, 1.0)]
    found = call_time(events[::-1], calls=3)
    assert (found.seconds, found.kernels) == (2.0, 2)
    # If the calls cannot be separated, the mean is returned.
    found = call_time(events[:5], calls=2)
    assert (found.seconds, found.kernels) == ((2.0 + 6.0 + 1.0) / 2, 2.5)


XSPACE = """
planes {{
  name: "/device:GPU:0"
  lines {{ name: "Stream #20(Compute)" events {{ metadata_id: 1 offset_ps: 5000000 duration_ps: 2000000 }} }}
  lines {{ name: "XLA Ops" events {{ metadata_id: 1 offset_ps: 0 duration_ps: 9000000 }} }}
  event_metadata {{ key: 1 value {{ id: 1 name: "layer" }} }}
}}
planes {{ name: "{other}" lines {{ name: "Stream #1" events {{ metadata_id: 1 duration_ps: 1000000 }} }} }}
"""


def test_kernels_are_read_from_a_profile(tmp_path):
    """A profile in the layout of jax's profiler: nested folders, one file, a plane for each device and the host."""
    from jax.profiler import ProfileData

    from benchmarks.timing.device_time import _device_events

    folder = tmp_path / "plugins" / "profile" / "2026_11_28"
    folder.mkdir(parents=True)
    space = ProfileData.text_proto_to_serialized_xspace(XSPACE.format(other="/host:CPU"))
    (folder / "host.xplane.pb").write_bytes(space)
    assert _device_events(str(tmp_path)) == [pytest.approx((5e-6, 7e-6))]


def test_without_a_gpu_the_wall_clock_is_taken():
    import jax
    import jax.numpy as jnp

    from benchmarks.reported.gpu_results import WALL_CLOCK
    from benchmarks.timing.device_time import DeviceClock

    clock = DeviceClock()
    found = clock(jax.jit(jnp.sin), [(jnp.ones(3),), (jnp.zeros(3),)], calls=3)
    assert found.source == WALL_CLOCK and found.seconds > 0
    assert clock.note.startswith("jax's backend is cpu")
