"""Steps that run one after the other, each within a time limit of its own.

A step has to end by the sum of the limits up to its own. So a slow step can't take the time of a later one, and what a
quick step leaves is there for the next.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PASSED, OUT_OF_TIME, SKIPPED = "passed", "out of time", "skipped"

GRACE = 4.0  # seconds after the interrupt, in which pytest still prints what failed so far
LAST_LINES, LAST_LINES_OF_A_FAILURE = 1, 25


@dataclass(frozen=True)
class Step:
    """Commands for the shell that run side by side.

    Attributes:
        limit: seconds.
        environment: variables beyond those of this process.
        skipped: why the step does not run; empty where it does.
        needed: whether nothing after it makes sense where it fails.
        expected: the result that counts as good.
    """

    name: str
    commands: Sequence[str]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)
    skipped: str = ""
    needed: bool = False
    expected: str = PASSED


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
        result: PASSED, OUT_OF_TIME, SKIPPED, or the exit status of the first command that failed.
        lines: the end of what the commands printed, of those that failed where some did; or why the step was skipped.
    """

    name: str
    result: str
    seconds: float
    lines: str
    good: bool


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """End all that the command has started: as Ctrl-C does, and by force where that is not enough."""
    for number, wait in ((signal.SIGINT, GRACE), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)


def _run(step: Step, deadline: float, out: Path, folder: Path) -> Outcome:
    start = time.monotonic()
    stem = re.sub(r"\W+", "-", step.name)
    logs = [out / f"{stem}-{i}.log" for i in range(len(step.commands))]
    running: list[subprocess.Popen[bytes]] = []
    results: list[str] = []
    try:
        for command, log in zip(step.commands, logs, strict=True):
            with log.open("w") as file:
                # In a session of its own, so that what it starts can be ended with it.
                process = subprocess.Popen(
                    command,
                    shell=True,
                    start_new_session=True,
                    cwd=folder,
                    env={**os.environ, **step.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            running.append(process)
        for process in running:
            try:
                status = process.wait(max(0.0, deadline - time.monotonic()))
                results.append(PASSED if status == 0 else f"failed ({status})")
            except subprocess.TimeoutExpired:
                _interrupt(process)
                results.append(OUT_OF_TIME)
    finally:
        for process in running:
            if process.poll() is None:
                _interrupt(process)
    failed = [i for i, result in enumerate(results) if result != PASSED]
    kept = LAST_LINES_OF_A_FAILURE if failed else LAST_LINES
    lines = [logs[i].read_text(errors="replace").strip().splitlines()[-kept:] for i in failed or range(len(logs))]
    result = results[failed[0]] if failed else PASSED
    text = "\n".join(line for of_log in lines for line in of_log)
    return Outcome(step.name, result, time.monotonic() - start, text, result == step.expected)


def run_steps(
    steps: Iterable[Step], out: Path, folder: Path, report: Callable[[Sequence[Outcome]], None]
) -> list[Outcome]:
    """Run the steps in `folder`, with their logs in `out`.

    `report` is called after each step with all outcomes so far, so that a run that is ended early has reported.
    """
    outcomes: list[Outcome] = []
    deadline = time.monotonic()
    stopped = ""
    for step in steps:
        reason = stopped or step.skipped
        if reason:
            outcomes.append(Outcome(step.name, SKIPPED, 0.0, reason, good=not stopped))
        else:
            deadline += step.limit
            outcomes.append(_run(step, deadline, out, folder))
            if step.needed and not outcomes[-1].good:
                stopped = f"needs the step before: {step.name}"
        report(outcomes)
    return outcomes
