"""Run random operations in several threads for a settable time. Results stay right, and memory stays flat.

Each operation runs with a random kernel policy, and its result is compared with the fused form's. The inputs are
multiples of 1/8 and the decays powers of 2, so the arithmetic of a layer is exact, and all forms give the same spikes.

First every program runs once, since jax keeps compiled programs. Then programs run at random. For a third of that time
the memory pools of each thread grow. In the other two thirds memory must not grow.

    python tests/fuzz/soak.py --seconds 3600
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import spikegrad
from tqdm import tqdm

SIZES = (0, 100, 5_000, 70_000, 300_000)
DTYPES = ("bfloat16", "float32")
SURROGATES = (spikegrad.GaussianGrad(), spikegrad.MultiGaussianGrad(), spikegrad.Sigmoid())
POLICIES = (True, "auto", False)
ALLOWED_GROWTH = 64
"""MiB."""

HANG = 120
"""Seconds without a result after which the run counts as hanging."""


def spike_gradient(spike: Any, x: Any) -> Any:
    return jax.grad(lambda x: spike(x).astype(jnp.float32).sum())(x)


def second_derivative(spike: Any, x: Any) -> Any:
    return jax.jvp(functools.partial(spike_gradient, spike), (x,), (jnp.ones_like(x),))[1]


def batched_gradient(spike: Any, x: Any) -> Any:
    return jax.vmap(functools.partial(spike_gradient, spike))(x.reshape(-1, 1 if x.size % 10 else 10))


def in_a_scan(spike: Any, x: Any) -> Any:
    def loss(x: Any) -> Any:
        return jax.lax.scan(lambda v, _: (0.5 * v + spike(v - 0.25), None), x, None, length=3)[0].sum()

    return jax.grad(loss)(x)


def layer(spike: Any, x: Any) -> Any:
    return spikegrad.lif(jnp.stack([x] * 6), decay=0.5, threshold=1.0, surrogate=spike)


def layer_gradient(spike: Any, x: Any) -> Any:
    return jax.grad(lambda x: layer(spike, x)[0].astype(jnp.float32).sum())(x)


OPERATIONS: tuple[Callable[..., Any], ...] = (
    spike_gradient, second_derivative, batched_gradient, in_a_scan, layer, layer_gradient
)  # fmt: skip


@functools.cache
def compiled(operation: Callable[..., Any], spike: Any) -> Callable[..., Any]:
    return jax.jit(functools.partial(operation, spike))


PROGRAMS = list(itertools.product(OPERATIONS, SURROGATES, POLICIES, DTYPES, SIZES))


def step(program: tuple[Any, ...], rng: random.Random) -> str:
    """Run one program and check its results. Returns the name of its operation."""
    operation, spike, policy, dtype, size = program
    x = jnp.asarray(np.random.default_rng(rng.randrange(2**32)).integers(-16, 17, size) / 8, dtype)
    f = compiled(operation, spike)
    with spikegrad.kernels(policy):
        found = jax.tree.leaves(f(x))
    with spikegrad.kernels(False):
        expected = jax.tree.leaves(f(x))
    precision = {"float16": 2.0**-9, "bfloat16": 2.0**-6, "float32": 1e-5}[dtype]
    for got, want in zip(found, expected, strict=True):
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        np.testing.assert_allclose(got, want, rtol=0, atol=precision * (1 + np.max(np.abs(want), initial=0)))
    return operation.__name__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts, errors = Counter[str](), list[BaseException]()
    process, rng = psutil.Process(), random.Random(arguments.seed)
    start = time.monotonic()

    def soak(what: str, draws: Iterator[tuple[Any, ...]], total: int, done: Callable[[], float]) -> int:
        """Run the drawn programs in threads. Returns the memory at the end in MiB."""
        lock = threading.Lock()

        def work() -> None:
            own = random.Random(rng.random())
            while not errors:
                with lock:
                    program = next(draws, None)
                if program is None:
                    return
                try:
                    counts[step(program, own)] += 1
                except BaseException as error:
                    errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(arguments.threads)]
        for thread in threads:
            thread.start()
        last, changed = -1, time.monotonic()
        with tqdm(total=total, desc=what, mininterval=5) as bar:
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.5)
                if last != sum(counts.values()):
                    last, changed = sum(counts.values()), time.monotonic()
                elif time.monotonic() > changed + HANG:
                    sys.exit(f"hangs: no operation has ended in {HANG} s")
                bar.update(min(round(done()), total) - bar.n)
        if errors:
            raise errors[0]
        gc.collect()
        return round(process.memory_info().rss / 2**20)

    def at_random(what: str, seconds: float) -> int:
        begin = time.monotonic()
        passed = lambda: time.monotonic() - begin
        draws = itertools.takewhile(lambda _: passed() < seconds, map(rng.choice, itertools.repeat(PROGRAMS)))
        return soak(what, draws, round(seconds), passed)

    once = rng.sample(PROGRAMS, len(PROGRAMS))
    soak("every program once", iter(once), len(once), lambda: sum(counts.values()))
    left = max(start + arguments.seconds - time.monotonic(), arguments.seconds / 3)
    before = at_random("at random, s", left / 3)
    after = at_random("memory is flat, s", left * 2 / 3)
    print(f"{sum(counts.values())} operations, {dict(counts)}; memory: {before} MiB, then {after} MiB")
    if after - before > ALLOWED_GROWTH:
        sys.exit(f"memory grew by {after - before} MiB, and may grow by {ALLOWED_GROWTH}")


if __name__ == "__main__":
    main()
