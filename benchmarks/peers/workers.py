"""Start the workers, and send them what to do."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from benchmarks.peers.table import Peer
from benchmarks.timing.machine_load import own_seconds

ENDING = 10.0  # seconds until a worker must have ended


class NotRun(Exception):  # noqa: N818  a result, not a failure of the benchmark
    """A library can't be imported, or failed. The message is the reason for the report."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(reason)
        self.peer = peer


class Worker:
    """The process of one peer."""

    def __init__(self, peer: Peer, python: str, log: Path, environment: Mapping[str, str]) -> None:
        self.peer = peer
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.peers.worker", peer.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **environment},
            )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Let the worker do something and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise NotRun(self.peer.name, f"the process ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise NotRun(self.peer.name, answer["error"])
        return answer

    def seconds(self, repetitions: int) -> float:
        return float(self.ask("time", repetitions=repetitions)["seconds"])

    def cpu_seconds(self) -> float:
        """The CPU time so far. An ended worker's time is part of the parent's."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system + times.children_user + times.children_system)

    def close(self) -> None:
        with self._process:  # closes the pipes
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(ENDING)
            except subprocess.TimeoutExpired:
                self._process.kill()


class Workers:
    """All workers. They end with the `with` block."""

    def __init__(self, workers: Iterable[Worker]) -> None:
        self.all = list(workers)

    def own_seconds(self) -> float:
        """The CPU time of this process and of the workers, for `Watch`."""
        return own_seconds() + sum(worker.cpu_seconds() for worker in self.all)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.all:
            worker.close()
