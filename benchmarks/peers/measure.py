"""Measure all cases: check each peer against the oracle, then time the peers that passed, in interleaved rounds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.peers.cases import CASES, DIRECTIONS, QUICK, Arrays, Case, LayerCase, arrays
from benchmarks.peers.oracle import Check, check_layer, check_spike
from benchmarks.peers.results import Built, Outcome, Results, Row
from benchmarks.peers.table import JAX, PEERS, TORCH, Peer
from benchmarks.peers.workers import NotRun, Worker, Workers
from benchmarks.timing import environment
from benchmarks.timing.interleaved_timing import interleave
from benchmarks.timing.machine_load import Patience, measure_quietly

CORES = 2


@dataclass(frozen=True)
class Extent:
    """How much to measure.

    Attributes:
        seconds: the time for one row, unless its fewest rounds take longer.
        rounds: the fewest rounds of a row.
        patience: seconds to wait for a quiet machine, in total.
    """

    cases: Sequence[Case] = CASES
    seconds: float = 10.0
    rounds: int = 7
    patience: float = 120.0
    quick: bool = False


SHORT = Extent(QUICK, seconds=0.5, rounds=3, patience=2.0, quick=True)


def _check(peer: Peer, case: Case, given: Arrays, folder: Path) -> Check:
    spikes = np.load(folder / "spikes.npy")
    file = folder / "gradient.npy"
    gradient = np.load(file) if file.exists() else None
    if spikes.dtype != np.float32:
        raise NotRun(peer.name, f"its spikes are {spikes.dtype}")
    if isinstance(case, LayerCase):
        return check_layer(peer.equation, given, spikes, gradient)
    return check_spike(given, spikes, gradient)


def _build(worker: Worker, case: Case, direction: str, given: Arrays, folder: Path) -> Outcome:
    """The outcome before its timing."""
    for file in folder.glob("*.npy"):
        file.unlink()
    theirs = dict(given)
    if "weights" in theirs:
        theirs["weights"] = (theirs["weights"] / np.float32(worker.peer.equation.gain)).astype(np.float32)
    file = folder / "arrays.npz"
    save: Any = np.savez  # its annotation takes all keywords for options
    save(file, **theirs)
    try:
        built = Built(**worker.ask("build", arrays=str(file), direction=direction, results=str(folder)))
        check = _check(worker.peer, case, given, folder)
    except NotRun as reason:
        return Outcome(not_run=str(reason))
    return Outcome(check=check, built=built, not_run="" if check.passed else "failed the check")


def _measure_row(workers: Workers, case: Case, direction: str, extent: Extent, patience: Patience, folder: Path) -> Row:
    given = arrays(case)
    built = {worker.peer.name: _build(worker, case, direction, given, folder) for worker in workers.all}
    while True:
        timers = {worker.peer.name: worker.seconds for worker in workers.all if not built[worker.peer.name].not_run}
        try:
            watched = measure_quietly(functools.partial(interleave, timers, extent.seconds, extent.rounds), patience)
            break
        except NotRun as failed:  # repeat the row without this peer
            built[failed.peer] = dataclasses.replace(built[failed.peer], not_run=str(failed))
    for worker in workers.all:
        with contextlib.suppress(NotRun):
            worker.ask("drop")
    outcomes = {name: dataclasses.replace(outcome, timing=watched.result.get(name)) for name, outcome in built.items()}
    return Row(case, direction, outcomes, watched.others)


def _pin(cores: int) -> None:
    """Run this process and its workers on so many cores: jax takes a thread for each."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _started(worker: Worker) -> tuple[dict[str, str], str]:
    """The versions of the packages, or the reason why the library does not run."""
    try:
        versions: dict[str, str] = worker.ask("start")["versions"]
    except NotRun as reason:
        return {}, str(reason)
    return versions, ""


def measure(pythons: dict[str, str], extent: Extent) -> Iterator[Results]:
    """Measure with the Python interpreters of both environments, by framework. Yields all results after each row."""
    assert pythons.keys() == {JAX, TORCH}
    start = time.perf_counter()
    _pin(CORES)
    here = environment.describe()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        variables = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        variables |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(CORES)}
        everyone = [
            Worker(peer, pythons[peer.framework], folder / f"{number}.log", variables)
            for number, peer in enumerate(PEERS)
        ]
        with Workers(everyone) as workers:
            versions, absent = {}, {}
            for worker in tqdm(everyone, desc="start"):
                versions[worker.peer.name], reason = _started(worker)
                if reason:
                    absent[worker.peer.name] = Outcome(not_run=reason)
            running = Workers(worker for worker in everyone if worker.peer.name not in absent)
            patience = Patience(extent.patience, own=workers.own_seconds)
            todo = [(case, direction) for case in extent.cases for direction in DIRECTIONS]
            with tqdm(todo, desc="peers") as progress:
                for case, direction in progress:
                    progress.set_postfix_str(f"{case.name}, {direction}")
                    row = _measure_row(running, case, direction, extent, patience, folder)
                    outcomes = {peer.name: (absent | dict(row.outcomes))[peer.name] for peer in PEERS}
                    rows.append(Row(case, direction, outcomes, row.others))
                    yield Results(extent.quick, here, versions, rows, extent.rounds, time.perf_counter() - start)
