"""Steps that run one after the other, each with its own time limit.

A step must end by the sum of all limits up to its own. So a slow step can't use the time of a later step, but later
steps may use the time that a quick step leaves.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PASSED, OUT_OF_TIME, SKIPPED = "passed", "out of time", "skipped"

GRACE = 4.0  # seconds after the interrupt, for pytest to print its failures
LAST_LINES, LAST_LINES_OF_A_FAILURE = 1, 25


@dataclass(frozen=True)
class Step:
    """Shell commands that run in parallel.

    Attributes:
        limit: seconds.
        environment: variables in addition to this process's environment.
        skipped: the reason why the step does not run; empty if it runs.
        needed: whether all later steps are skipped if this step fails.
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
        lines: the last lines of output, of the failed commands if any failed; or the reason why the step was skipped.
    """

    name: str
    result: str
    seconds: float
    lines: str
    good: bool


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """End all processes that the command started: first with SIGINT as Ctrl-C does, then with SIGKILL."""
    for number, wait in ((signal.SIGINT, GRACE), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)


@contextlib.contextmanager
def _default_interrupt() -> Iterator[None]:
    """Give child processes the default SIGINT: a shell's background job ignores it, and would pass that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run(step: Step, deadline: float, out: Path, folder: Path) -> Outcome:
    start = time.monotonic()
    stem = re.sub(r"\W+", "-", step.name)
    logs = [out / f"{stem}-{i}.log" for i in range(len(step.commands))]
    running: list[subprocess.Popen[bytes]] = []
    results: list[str] = []
    try:
        for command, log in zip(step.commands, logs, strict=True):
            with log.open("w") as file:
                # In a separate session, so that all its child processes can be ended with it.
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

    `report` is called after each step with all outcomes so far, so that an interrupted run has a report.
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
            with _default_interrupt():
                outcomes.append(_run(step, deadline, out, folder))
            if step.needed and not outcomes[-1].good:
                stopped = f"needs the step before: {step.name}"
        report(outcomes)
    return outcomes
