"""The process in which one library runs: `python -m benchmarks.peers.worker NAME`.

It reads one JSON object a line, does what it says, and answers with one line. So the parent can let the libraries run
in turns, although they need different environments.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.table import PEERS, Peer
from benchmarks.timing.interleaved_timing import timer


def _save(results: Any, folder: Path) -> None:
    for name, result in zip(("spikes", "gradient"), results, strict=False):
        np.save(folder / f"{name}.npy", np.asarray(result))


class _Worker:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._call: Callable[[], Any] | None = None

    def start(self) -> dict[str, Any]:
        """Import the library."""
        self._calls = importlib.import_module(f"benchmarks.peers.{self._peer.framework}_calls")
        self._module = importlib.import_module(f"benchmarks.peers.{self._peer.module}")
        return {"versions": {name: importlib.metadata.version(name) for name in self._peer.packages}}

    def build(self, arrays: str, direction: str, results: str) -> dict[str, Any]:
        """Build a call for the arrays in a file, run it once, and write its results to a folder."""
        self.drop()
        with np.load(arrays) as loaded:
            given = dict(loaded)
        start = time.perf_counter()
        self._call = self._calls.build(self._module.model(**self._peer.options), given, direction)
        found = self._call()
        seconds = time.perf_counter() - start
        _save(found, Path(results))
        return {"seconds": seconds, "threads": self._calls.choose_threads(self._call)}

    def time(self, repetitions: int) -> dict[str, Any]:
        """Seconds a call: an untimed call, then the mean of the repetitions."""
        if self._call is None:
            raise RuntimeError("time before build")
        gc.disable()
        return {"seconds": timer(self._call)(repetitions)}

    def drop(self) -> dict[str, Any]:
        """Free the call and its arrays."""
        self._call = None
        gc.enable()
        gc.collect()
        return {}


def main() -> None:
    # Answers have a pipe of their own: libraries may print.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = _Worker(next(peer for peer in PEERS if peer.name == sys.argv[1]))
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(worker, order.pop("do"))(**order)
        except Exception as error:  # whatever a library raises belongs into the report
            reason = str(error).strip().splitlines()
            answer = {"error": f"{type(error).__name__}: {reason[0] if reason else ''}".strip()}
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
