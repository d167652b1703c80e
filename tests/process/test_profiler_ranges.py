"""The NVTX ranges of the handlers, recorded by tests/csrc/nvtx_recorder.cc instead of nsys."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from requirements import library_for_tests

pytestmark = pytest.mark.host_only

RECORDER = library_for_tests("spikegrad_nvtx_recorder.so")

PROGRAM = """
import jax, jax.numpy as jnp, spikegrad
gaussian, sigmoid = spikegrad.GaussianGrad(), spikegrad.Sigmoid()
layer = lambda x: spikegrad.lif(x.reshape(10, -1), 0.9, 1.0)[0]
loss = lambda x: gaussian(x).sum() + sigmoid(x).sum() + layer(x).sum()
step = jax.jit(lambda x: (gaussian(x), jax.grad(loss)(x), jax.jvp(layer, (x,), (x,))[1]))
x = jnp.linspace(-1, 1, {size})
for _ in range({calls}):
    jax.block_until_ready(step(x))
"""


@pytest.fixture
def record(tmp_path):
    """A function that runs the program and returns its events in the domain "spikegrad", by thread."""

    def run(**values):
        file = tmp_path / "record"
        recorded = {"NVTX_INJECTION64_PATH": str(RECORDER), "NVTX_RECORD": str(file)}
        environment = {**os.environ, **recorded, "JAX_PLATFORMS": "cpu", "SPIKEGRAD_KERNELS": "1"}
        command = [sys.executable, "-c", PROGRAM.format(**values)]
        subprocess.run(command, env=environment, check=True, timeout=120)
        threads = {}
        for line in file.read_text().splitlines():
            thread, event, domain, message = line.split("\t")
            if domain == "spikegrad" and event in ("push", "pop"):
                threads.setdefault(thread, []).append((event, message))
        return threads

    return run


@pytest.mark.parametrize("size", [10, 500_000])
def test_every_call_is_a_range(record, size):
    """A large array is shared among threads. Each call has one range, on the thread that runs the handler."""
    threads = record(size=size, calls=3)
    pushed = Counter(message for events in threads.values() for event, message in events if event == "push")
    # One forward call for the output. The gradient doesn't need its forward calls, and XLA removes them.
    assert pushed == dict.fromkeys(
        ("heaviside", "gaussian_mixture", "sigmoid", "lif", "lif_tangent", "lif_cotangent"), 3
    )
    for events in threads.values():
        depth = 0
        for event, _ in events:
            depth += 1 if event == "push" else -1
            assert depth in (0, 1), "a range is closed before the next one opens"
        assert depth == 0
