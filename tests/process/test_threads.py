"""No deadlock and equal results: on one core, inside `lax.scan`, in parallel chains and from many Python threads.

A handler often runs on a thread of XLA's own pool. If it waited for work that it scheduled on that pool, it could wait
forever. Each case runs in its own process, pinned to a number of cores, with a time limit.
"""

import os
import subprocess
import sys

import pytest
from families import CASES

pytestmark = [pytest.mark.each_policy, pytest.mark.host_only]

PRELUDE = """
import os, sys, threading
os.environ["JAX_PLATFORMS"] = "cpu"
cores = int(sys.argv[1])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
import jax, jax.numpy as jnp, numpy as np
from jax import lax
import spikegrad
spikegrad.use_kernels(True)
if sys.argv[2] == "lif":
    # In 20 steps; enough for two pieces forward (layer_handlers.cc), and more backward.
    f = lambda x: spikegrad.lif(x.reshape(20, -1), 0.9, 0.5)[0].reshape(-1)
    N, LENGTH, CHAINS = 1_100_000, 8, 6
else:
    f = getattr(spikegrad, sys.argv[2])()
    N, LENGTH, CHAINS = 200_000, 20, 16
gradient = jax.grad(lambda x: f(x).sum())
x = jnp.asarray(np.random.default_rng(0).standard_normal(N), jnp.float32)
"""

EXAMPLES = {
    "scan": """
out, _ = jax.jit(lambda x: lax.scan(lambda c, _: (c + f(c) * 0.1 - gradient(c), None), x, length=2 * LENGTH))(x)
out.block_until_ready()
""",
    "parallel chains": """
@jax.jit
def chains(xs):
    outs = []
    for x in xs:
        for _ in range(4):
            x = gradient(x) * 2 - f(x) + jnp.sin(x)
        outs.append(x)
    return outs
outs = chains([x + i for i in range(CHAINS)])
jax.block_until_ready(outs)
out = sum(outs)
""",
    "chains inside a scan": """
def body(xs, _):
    return [gradient(x) - f(x) * 0.5 for x in xs], None
outs, _ = jax.jit(lambda xs: lax.scan(body, xs, length=LENGTH))([x + i for i in range(CHAINS)])
jax.block_until_ready(outs)
out = sum(outs)
""",
    "python threads": """
g = jax.jit(lambda x: gradient(x) - f(x))
g(x)
results = [None] * 8
def work(i):
    for _ in range(LENGTH):
        results[i] = g(x).block_until_ready()
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
for r in results:
    np.testing.assert_array_equal(r, results[0])
out = results[0]
""",
    "many devices": """
g = jax.jit(jax.vmap(lambda x: gradient(x) - f(x)))
from jax.sharding import NamedSharding, PartitionSpec
mesh = jax.make_mesh((8,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
xs = jax.device_put(jnp.stack([x + i for i in range(8)]), NamedSharding(mesh, PartitionSpec("i")))
for _ in range(5):
    out = g(xs).block_until_ready()
""",
}

EPILOGUE = """
import hashlib
print(hashlib.sha256(np.asarray(out).tobytes()).hexdigest())
"""


def run(example, name, cores):
    code = PRELUDE + EXAMPLES[example] + EPILOGUE
    out = subprocess.run([sys.executable, "-c", code, str(cores), name], capture_output=True, text=True, timeout=180)
    assert out.returncode == 0, out.stderr
    return out.stdout.strip()


# All cases for the Gaussian. For other surrogates the two cases in which a waiting handler would deadlock.
GAUSSIAN, *OTHERS = CASES
WHAT = [
    *((name, example) for name in (GAUSSIAN.surrogate.__name__, "lif") for example in EXAMPLES),
    *((case.surrogate.__name__, example) for case in OTHERS for example in ("scan", "parallel chains")),
]


@pytest.mark.parametrize("name, example", WHAT, ids=str)
def test_no_hang_on_one_core_and_equal_results_on_all(name, example):
    one = run(example, name, 1)
    assert one
    if len(os.sched_getaffinity(0)) > 1:
        assert run(example, name, len(os.sched_getaffinity(0))) == one


def test_loading_in_many_threads_at_once():
    code = """
import threading, importlib
errors = []
def load():
    try:
        importlib.import_module("spikegrad").GaussianGrad()(0.5)
    except BaseException as error:
        errors.append(error)
threads = [threading.Thread(target=load) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
assert not errors, errors
import sys
for name in [n for n in sys.modules if n.startswith("spikegrad") and not n.endswith("_cpu")]:
    del sys.modules[name]
import spikegrad
assert spikegrad.GaussianGrad()(0.5) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)
