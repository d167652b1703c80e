"""The comparison with other libraries: its oracle, its workers, and its report for given numbers."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import spikegrad
from requirements import needs_benchmarks

pytestmark = [pytest.mark.host_only, needs_benchmarks]

STEP_ORDERS = ("charge_fire_reset", "reset_undecayed", "fire_charge")


def layer_arrays():
    from benchmarks.peers.cases import LayerCase, arrays

    return arrays(LayerCase(40, 3, 32))


def run_lif(given, equation, dtype):
    """Spikes and the gradient of the weights by spikegrad."""
    x, weights, cotangent = (given[name].astype(dtype) for name in ("x", "weights", "cotangent"))

    def layer(weights):
        spikes, _ = spikegrad.lif(
            equation.gain * (x @ weights),
            0.9,
            1.0,
            step_order=equation.order,
            detach_reset=equation.detached,
            surrogate=spikegrad.Sigmoid(4.0),
        )
        return spikes

    spikes, pullback = jax.vjp(layer, weights / equation.gain)
    (gradient,) = pullback(cotangent)
    return np.asarray(spikes), np.asarray(gradient)


@pytest.mark.parametrize("gain", [1.0, 0.25])
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("order", STEP_ORDERS)
def test_the_oracle_equals_lif_in_float64(x64, order, detached, gain):
    from benchmarks.peers.oracle import Equation, check_layer

    equation, given = Equation(order, detached, gain), layer_arrays()
    spikes, gradient = run_lif(given, equation, np.float64)
    check = check_layer(equation, given, spikes, gradient)
    assert (check.wrong, check.rounded) == (0, 0)
    assert 0.02 < check.rate < 0.3
    assert check.gradient_error < 1e-12


def test_the_oracle_finds_errors(x64):
    from benchmarks.peers.oracle import Equation, check_layer

    equation, given = Equation(), layer_arrays()
    spikes, gradient = run_lif(given, equation, np.float64)
    assert check_layer(equation, given, spikes, gradient).passed

    flipped = spikes.copy()
    flipped[20, 1, 5] = 1 - flipped[20, 1, 5]
    assert not check_layer(equation, given, flipped, None).passed
    assert not check_layer(equation, given, spikes, gradient * 1.001).passed
    assert not check_layer(equation, given, spikes, np.full_like(gradient, np.nan)).passed
    for other in (Equation("fire_charge"), Equation("reset_undecayed"), Equation(detached=True)):
        assert not check_layer(other, given, spikes, gradient).passed


@pytest.mark.parametrize("name", ["spikegrad", "plain jax, scan", "plain jax, scan, unroll 8"])
@pytest.mark.parametrize("layer", [False, True])
def test_the_peers_without_another_library_pass(name, layer):
    import importlib

    from benchmarks.peers import jax_calls
    from benchmarks.peers.cases import BOTH, FORWARD, SpikeCase, arrays
    from benchmarks.peers.oracle import check_layer, check_spike
    from benchmarks.peers.table import PEERS

    peer = next(peer for peer in PEERS if peer.name == name)
    model = importlib.import_module(f"benchmarks.peers.{peer.module}").model(**peer.options)
    given = layer_arrays() if layer else arrays(SpikeCase(1000))
    (alone,) = map(np.asarray, jax_calls.build(model, given, FORWARD)())
    spikes, gradient = map(np.asarray, jax_calls.build(model, given, BOTH)())
    np.testing.assert_array_equal(alone, spikes)
    check = check_layer(peer.equation, given, spikes, gradient) if layer else check_spike(given, spikes, gradient)
    assert check.passed


def test_a_worker_times_a_call_and_another_reports_a_missing_library(tmp_path, monkeypatch):
    from benchmarks.peers.cases import FORWARD, SpikeCase, arrays
    from benchmarks.peers.table import PEERS
    from benchmarks.peers.workers import NotRun, Worker, Workers

    monkeypatch.chdir(Path(__file__).parents[2])
    peers = {peer.name: peer for peer in PEERS}
    started = [
        Worker(peers[name], sys.executable, tmp_path / f"{name}.log", {}) for name in ("plain jax, scan", "Norse")
    ]
    with Workers(started) as workers:
        runs, lacks = started
        assert runs.ask("start")["versions"] == {"jax": jax.__version__}
        np.savez(tmp_path / "arrays.npz", **arrays(SpikeCase(100)))
        file = str(tmp_path / "arrays.npz")
        assert runs.ask("build", arrays=file, direction=FORWARD, results=str(tmp_path))["seconds"] > 0
        assert np.load(tmp_path / "spikes.npy").shape == (100,)
        assert runs.seconds(3) > 0
        assert workers.own_seconds() > 0
        with pytest.raises(NotRun, match="ModuleNotFoundError: No module named") as failed:
            lacks.ask("start")
        assert failed.value.peer == "Norse"


@pytest.fixture
def results():
    """A layer and a spike function. spyx takes half of spikegrad's time, all others twice. Norse is not installed."""
    from benchmarks.peers.cases import BOTH, FORWARD, LayerCase, SpikeCase
    from benchmarks.peers.oracle import Check
    from benchmarks.peers.results import Built, Outcome, Results, Row
    from benchmarks.peers.table import OURS, PEERS
    from benchmarks.timing.interleaved_timing import Timing

    def outcome(name):
        if name == "Norse":
            return Outcome(not_run="ModuleNotFoundError: No module named 'norse'")
        median = {OURS: 1.0, "spyx": 0.5}.get(name, 2.0)
        timing = Timing(median, median, median, rounds=7, repetitions=1)
        return Outcome(timing, Check(0, 2, 0.07, 3e-7), Built(1.5, threads=2))

    outcomes = {peer.name: outcome(peer.name) for peer in PEERS}
    rows = [Row(LayerCase(500, 16, 512), BOTH, outcomes, 0.0), Row(SpikeCase(8192), FORWARD, outcomes, 0.5)]
    versions = {peer.name: {} if peer.name == "Norse" else dict.fromkeys(peer.packages, "1.0") for peer in PEERS}
    return Results(False, {"date": "today", "XLA_FLAGS": None}, versions, rows, 7, 60.0)


def cells_of(text, name):
    return [[cell.strip() for cell in line.split("|")[2:-1]] for line in text.splitlines() if f"| {name} " in line]


def test_report(results):
    from benchmarks.peers.report import markdown

    text = markdown(results)
    in_layers, in_spikes, versions, layer, spike = cells_of(text, "spyx")
    assert in_layers == in_spikes == ["0.50 ▼"]
    assert versions == ["spyx 1.0, jax 1.0", "fire_charge", "`axn.tanh(k=2)`"]
    assert layer == spike == ["500 ms", "500 ms to 500 ms", "0.50 ▼", "2", "1.50 s", "0 (2)", "3e-07"]
    assert cells_of(text, "SpikingJelly")[0] == ["2.00"]
    norse = cells_of(text, "Norse")
    assert norse[0] == ["not run"]
    assert norse[3][0] == "not run: ModuleNotFoundError: No module named 'norse'"
    assert "### Linear + LIF, 500 x 16 x 512, forward + backward" in text
    assert "Other processes used 50 % of a core." in text
    assert "| 8,192, forward * |" in text


def test_report_as_json(results):
    found = json.loads(json.dumps(results.as_json()))
    (layer, spike) = found["rows"]
    assert layer["name"] == "Linear + LIF, 500 x 16 x 512, forward + backward"
    assert (layer["quiet"], spike["quiet"]) == (True, False)
    assert layer["times_spikegrads_time"]["spyx"] == 0.5
    assert layer["times_spikegrads_time"]["Norse"] is None


def test_the_page_takes_the_report_between_its_marks():
    from benchmarks.peers.page import DOCS, with_report

    page = (DOCS / "peers.md").read_text(encoding="utf-8")
    once = with_report(page, "# Title\n\n## Section\n\nOne.\n")
    assert "\n## Section\n\nOne.\n" in once
    assert "# Title" not in once
    assert with_report(once, "# Title\n\nTwo.\n") == once.replace("## Section\n\nOne.", "Two.")
    assert once.split("<!--")[0] == page.split("<!--")[0]
