"""A layer with one's own surrogate outside `jit`: compiled once for equal surrogates, never stale, without a leak."""

import functools
import gc
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recurrence import draw
from spikegrad import GaussianGrad, Surrogate, lif
from spikegrad.lif_scan import KEPT_SCANS, _kept_scan

CURRENT, *_ = draw(0, 7, (4,))


@dataclass(frozen=True)
class Cauchy(Surrogate):
    width: float = 1.0

    def surrogate_grad(self, x):
        return 1 / (1 + (x / self.width) ** 2)


class Changing(Surrogate):
    """Its attribute may change between calls."""

    def __init__(self, width):
        self.width = width

    def surrogate_grad(self, x):
        return 1 / (1 + (x / self.width) ** 2)


class Slots(Surrogate):
    __slots__ = ("width",)

    def __init__(self, width):
        self.width = width

    def surrogate_grad(self, x):
        return 1 / (1 + (x / self.width) ** 2)


class Model:
    def __init__(self, width):
        self.width = width

    def spike(self, x):
        return Cauchy(self.width)(x)


def forward(surrogate):
    return lif(CURRENT, 0.9, 0.7, surrogate=surrogate)[0]


def gradient(surrogate):
    return jax.grad(lambda x: lif(x, 0.9, 0.7, surrogate=surrogate)[0].sum())(CURRENT)


def second(surrogate):
    along = jnp.ones_like(CURRENT)
    return jax.jvp(jax.grad(lambda x: lif(x, 0.9, 0.7, surrogate=surrogate)[0].sum()), (CURRENT,), (along,))[1]


def live_programs():
    gc.collect()
    return len(jax.devices()[0].client.live_executables())


FUNCTION = Cauchy(0.5).__call__
MODEL = Model(0.5)
MAKE = {
    "equal": lambda: Cauchy(0.5),
    "function": lambda: FUNCTION,
    "method": lambda: MODEL.spike,
    "closure": lambda width=0.5: lambda x: Cauchy(width)(x),
    "kernel": lambda: GaussianGrad(),
}


@pytest.mark.parametrize("run", [forward, gradient, second])
@pytest.mark.parametrize("make", [name for name in MAKE if name != "closure"])
def test_equal_calls_compile_once(run, make):
    jax.block_until_ready(run(MAKE[make]()))
    before = live_programs()
    for _ in range(5):
        jax.block_until_ready(run(MAKE[make]()))
    assert live_programs() == before


@pytest.mark.parametrize("run", [forward, gradient, second])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Changing(np.full(4, 0.5, np.float32)),
        lambda: functools.partial(lambda width, x: Cauchy(width)(x), 0.5),
        MAKE["closure"],
    ],
    ids=["cannot be hashed", "partial", "closure"],
)
def test_what_cannot_be_kept_does_not_leak(run, make):
    """A function that is made anew for each call is kept for a while, as it might be called again."""
    jax.block_until_ready(run(make()))
    _kept_scan.cache_clear()
    before = live_programs()
    for _ in range(4):
        jax.block_until_ready(run(make()))
    assert _kept_scan.cache_info().currsize <= 4 < KEPT_SCANS == _kept_scan.cache_info().maxsize
    _kept_scan.cache_clear()
    assert live_programs() <= before


@pytest.mark.parametrize("kind", [Changing, Slots, Model])
@pytest.mark.parametrize("as_array", [False, True])
def test_an_attribute_that_changes_counts_in_the_next_call(kind, as_array):
    of = (lambda width: np.full(4, width, np.float32)) if as_array else float
    surrogate = kind(of(0.5))
    call = (lambda: surrogate.spike) if kind is Model else (lambda: surrogate)
    for width in (0.5, 2.0, 0.5):
        surrogate.width = of(width)
        np.testing.assert_allclose(gradient(call()), gradient(Cauchy(width)), rtol=1e-6)


def test_a_variable_of_a_closure_that_changes_counts_in_the_next_call():
    width = 0.5

    def spike(x):
        return Cauchy(width)(x)

    for width in (0.5, 2.0, 0.5):
        np.testing.assert_allclose(gradient(spike), gradient(Cauchy(width)), rtol=1e-6)


def test_traced_attributes():
    """Nothing is kept of them: they belong to one trace."""
    by_width = lambda width: (gradient(Cauchy(width)) * CURRENT).sum()
    of_closure = lambda width: (gradient(lambda x: Cauchy(width)(x)) * CURRENT).sum()
    step = 1e-2
    expected = (by_width(1 + step) - by_width(1 - step)) / (2 * step)
    with jax.checking_leaks():
        for f in (by_width, of_closure):
            for transformed in (jax.grad(f), jax.jit(jax.grad(f))):
                np.testing.assert_allclose(transformed(1.0), expected, rtol=1e-2)


def test_memory_is_flat():
    """Over a thousand calls, of which each kept about 2 MiB before."""
    psutil = pytest.importorskip("psutil", reason="comes with the benchmarks")
    memory = lambda: psutil.Process().memory_info().rss / 2**20
    for _ in range(100):
        forward(Cauchy(0.5)).block_until_ready()
    before = memory()
    for _ in range(1000):
        forward(Cauchy(0.5)).block_until_ready()
    assert memory() - before < 20
