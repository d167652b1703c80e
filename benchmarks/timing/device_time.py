"""The time on the device of the calls of a compiled function.

On a GPU jax's profiler records the start and end of each kernel and copy on the device's clock. So Python's dispatch,
40 to 50 us a call, does not count. If the profiler records nothing, as on a CPU, the result is the wall-clock time of a
queue of calls and is marked as such.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.reported.gpu_results import DEVICE, WALL_CLOCK, CallTime

CALLS = 20
WARM_UP = 3
QUEUES = 5

Function = Callable[..., Any]
Event = tuple[float, float]
"""The start and end of a kernel or copy, in seconds."""


def queue(function: Function, argument_sets: Sequence[tuple[Any, ...]], calls: int) -> Callable[[], None]:
    """Queue `calls` calls, each with the next argument set, before the host waits for a result.

    As many results as argument sets stay alive, so that successive calls also write to different memory.
    """

    def run() -> None:
        kept: deque[Any] = deque(maxlen=len(argument_sets))
        for arguments in itertools.islice(itertools.cycle(argument_sets), calls):
            kept.append(function(*arguments))
        jax.block_until_ready(list(kept))

    return run


def _busy(events: Sequence[Event]) -> float:
    """The total time during which at least one event runs."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(events):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def call_time(events: Sequence[Event], calls: int) -> CallTime:
    """The median time of calls with equally many events. If the events don't divide evenly, the mean."""
    events = sorted(events)
    each, rest = divmod(len(events), calls)
    if rest:
        return CallTime(_busy(events) / calls, DEVICE, len(events) / calls)
    of_calls = [events[i * each : (i + 1) * each] for i in range(calls)]
    return CallTime(statistics.median(map(_busy, of_calls)), DEVICE, each)


def _device_events(folder: str) -> list[Event]:
    """The events of the GPU's streams. Other lines of the profile repeat these kernels by operation or module."""
    (trace,) = Path(folder).rglob("*.xplane.pb")
    return [
        (1e-9 * event.start_ns, 1e-9 * (event.start_ns + event.duration_ns))
        for plane in jax.profiler.ProfileData.from_file(str(trace)).planes
        if plane.name.startswith("/device:GPU")
        for line in plane.lines
        if line.name.startswith("Stream")
        for event in line.events
    ]


class DeviceClock:
    """Times calls with the profiler. Once the profiler records no kernel, all later calls are timed by the wall clock.

    Attributes:
        note: a remark for the report; empty if all times are device times.
    """

    def __init__(self) -> None:
        self._profiled = jax.default_backend() == "gpu"
        self.note = "" if self._profiled else f"jax's backend is {jax.default_backend()}: no device times"

    def __call__(self, function: Function, argument_sets: Sequence[tuple[Any, ...]], calls: int = CALLS) -> CallTime:
        queue(function, argument_sets, WARM_UP)()
        run = queue(function, argument_sets, calls)
        if self._profiled:
            events = self._profile(run)
            if events:
                return call_time(events, calls)
            self._profiled = False
        times = []
        for _ in range(QUEUES):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) / calls)
        return CallTime(statistics.median(times), WALL_CLOCK, None)

    def _profile(self, run: Callable[[], None]) -> list[Event]:
        options = jax.profiler.ProfileOptions()
        options.host_tracer_level = 0
        options.python_tracer_level = 0
        try:
            with tempfile.TemporaryDirectory() as folder:
                with jax.profiler.trace(folder, profiler_options=options):
                    run()
                events = _device_events(folder)
        except (RuntimeError, ValueError, OSError) as error:  # the driver or the container has no CUPTI
            self.note = f"the profiler failed, so all later times are by the wall clock: {error}"
            return []
        if not events:
            self.note = "the profiler recorded no kernels, so all later times are by the wall clock"
        return events
