"""A training step in two processes over loopback equals the step in one process, and adds no collective of its own."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.host_only

PROGRAM = """
import json, sys
import jax, numpy as np
number, count, port = map(int, sys.argv[1:])
if count > 1:
    jax.distributed.initialize(f"localhost:{port}", count, number)
import spikegrad
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from collectives import COLLECTIVE

assert len(jax.devices()) == count and jax.process_count() == count
mesh = jax.make_mesh((count,), ("batch",), axis_types=(AxisType.Auto,))
spikegrad.use_kernels(True)


@jax.jit
def step(weights, decay, inputs):
    def loss(weights, decay):
        spikes, v_final = spikegrad.lif(inputs @ weights, decay, 1.0)
        rate = spikegrad.gaussian_grad(v_final - 0.5)
        return (spikes.mean(axis=0) ** 2).sum() + rate.sum()

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(weights, decay)
    return value, *(p - 0.01 * g for p, g in zip((weights, decay), gradients))


rng = np.random.default_rng(0)
inputs = rng.normal(0, 1, (20, 8, 6)).astype(np.float32)
weights, decay = rng.normal(0, 0.6, (6, 5)).astype(np.float32), np.full(5, 0.9, np.float32)
rows = slice(number * 8 // count, (number + 1) * 8 // count)
over_batch, everywhere = NamedSharding(mesh, P(None, "batch")), NamedSharding(mesh, P())
inputs = jax.make_array_from_process_local_data(over_batch, inputs[:, rows])
weights, decay = (jax.make_array_from_process_local_data(everywhere, value) for value in (weights, decay))
compiled = step.lower(weights, decay, inputs).compile()
value, weights, decay = compiled(weights, decay, inputs)
layer = jax.jit(lambda current: spikegrad.lif(current, 0.9, 1.0)).lower(inputs).compile()
print(json.dumps({
    "value": float(value),
    "weights": np.asarray(weights).tolist(),
    "decay": np.asarray(decay).tolist(),
    "collectives": sorted(set(COLLECTIVE.findall(compiled.as_text()))),
    "of_layer": sorted(set(COLLECTIVE.findall(layer.as_text()))),
    "kernels": compiled.as_text().count('custom_call_target="spikegrad'),
}))
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def run(processes):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, (number, processes, port))],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        finished = [process.communicate(timeout=180) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, finished, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in finished]


def test_a_training_step_in_two_processes():
    (alone,), together = run(1), run(2)
    for found in together:
        for name in ("value", "weights", "decay"):
            np.testing.assert_allclose(found[name], alone[name], rtol=2e-6, atol=1e-6)
        assert found["of_layer"] == []
        # The sums over the batch: of the loss, and of the gradients of weights and decay.
        assert found["collectives"] == ["all-reduce"]
        assert found["kernels"] == alone["kernels"] > 0
