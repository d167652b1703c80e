"""SpikingJelly's LIF layer on a GPU, by its Triton kernels.

Run it as `python -m benchmarks.measured.spikingjelly_rows --out FILE`.

The recurrence is the same as in gpu_rows: decay 0.9, threshold 1, reset by subtraction, a Gaussian surrogate. It runs
in a separate process, apart from jax's memory and streams. Times are between two CUDA events. Copies before the first
event keep the device busy until all calls are queued, so Python's dispatch does not count.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reported.gpu_results import BOTH, DEVICE, FORWARD, SPIKINGJELLY, CallTime, GpuResults, Row

SHAPES = ((128, 1 << 20), (500, 65_536), (500, 8192), (1000, 512), (4, 1 << 21), (500, 262_144))
CALLS, WARM_UP, ROUNDS = 20, 3, 5
COPY_ELEMENTS = 1 << 28  # 1 GiB of float32, copied in about 0.7 ms on an H100
FEWEST_COPIES, MOST_COPIES = 40, 640

DECAY, THRESHOLD, CURRENT, SIGMA = 0.9, 1.0, 0.7, 0.5


def missing() -> str:
    """The packages that are not installed, as a message, or "". Does not import them, which would take seconds."""
    absent = [name for name in ("torch", "triton", "spikingjelly") if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def _seconds(call: Callable[[], object]) -> float:
    import torch

    for _ in range(WARM_UP):
        call()
    source, target = (torch.empty(COPY_ELEMENTS, device="cuda") for _ in range(2))
    copies = FEWEST_COPIES
    times: list[float] = []
    while len(times) < ROUNDS:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        for _ in range(copies):
            target.copy_(source)
        start.record()
        for _ in range(CALLS):
            call()
        end.record()
        waited = start.query()  # the device reached the event before all calls were queued, and waited
        torch.cuda.synchronize()
        if waited and copies < MOST_COPIES:
            copies *= 2
            continue
        times.append(1e-3 * start.elapsed_time(end) / CALLS)
    return statistics.median(times)


def _rows(steps: int, neurons: int) -> list[Row]:
    import torch
    from spikingjelly.activation_based import neuron, surrogate

    layer = neuron.LIFNode(
        tau=1 / (1 - DECAY),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=None,
        surrogate_function=surrogate.Erf(alpha=1 / (SIGMA * 2**0.5)),
        step_mode="m",
    ).to("cuda")
    current = CURRENT * torch.randn(steps, neurons, device="cuda")
    cotangent = torch.randn(steps, neurons, device="cuda")
    differentiated = current.clone().requires_grad_()

    def forward() -> Any:
        layer.reset()
        with torch.no_grad():
            return layer(current)

    def both() -> Any:
        layer.reset()
        return torch.autograd.grad(layer(differentiated), differentiated, cotangent)

    rows = []
    for direction, call in ((FORWARD, forward), (BOTH, both)):
        times = {SPIKINGJELLY: CallTime(_seconds(call), DEVICE)}
        rows.append(Row("lif", (steps, neurons), "float32", direction, 0, times))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows, as JSON")
    options = parser.parse_args()
    reason = missing()
    if reason:
        raise SystemExit(reason)
    os.environ.setdefault("SJ_LIF_CUDA_IMPLEMENTATION", "triton")  # read when spikingjelly is imported
    results = GpuResults(
        environment={name: importlib.metadata.version(name) for name in ("torch", "triton", "spikingjelly")}
    )
    for steps, neurons in SHAPES:
        results.spikingjelly += _rows(steps, neurons)
        results.write(options.out)


if __name__ == "__main__":
    main()
