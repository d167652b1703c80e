"""A layer with a user's surrogate outside `jit`: equal programs compile once, nothing is stale, nothing leaks."""

import functools
import gc
import weakref
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_lif import draw
from spikegrad import GaussianGrad, Surrogate, lif
from spikegrad.lif_scan import KEPT_PROGRAMS, _kept

CURRENT, *_ = draw(0, 7, (4,))


@dataclass(frozen=True)
class Cauchy(Surrogate):
    width: float = 1.0

    def surrogate_grad(self, x):
        return 1 / (1 + (x / self.width) ** 2)


class Changing(Surrogate):
    """A surrogate whose attribute may change between calls."""

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
    "array": lambda: Changing(np.full(4, 0.5, np.float32)),
    "kernel": lambda: GaussianGrad(),
}


@pytest.mark.parametrize("run", [forward, gradient, second])
@pytest.mark.parametrize("make", MAKE)
def test_equal_calls_compile_once(run, make):
    jax.block_until_ready(run(MAKE[make]()))
    before = live_programs()
    for _ in range(5):
        jax.block_until_ready(run(MAKE[make]()))
    assert live_programs() == before


@jax.custom_jvp
def custom(x):
    return (x >= 0).astype(x.dtype)


custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0] / (1 + primals[0] ** 2)))


@pytest.mark.parametrize("run", [forward, gradient, second])
@pytest.mark.parametrize(
    "make",
    [
        lambda width: custom,
        lambda width: Cauchy(width),
        lambda width: Changing(np.full(4, width, np.float32)),
        lambda width: functools.partial(lambda width, x: Cauchy(width)(x), width),
    ],
    ids=["custom_jvp", "object", "array", "partial"],
)
def test_nothing_leaks(run, make):
    jax.block_until_ready(run(make(0.1)))
    _kept.cache_clear()
    before = live_programs()
    for i in range(4):
        jax.block_until_ready(run(make(1.0 + i)))
    _kept.cache_clear()
    if jax.__version_info__ < (0, 10):
        jax.clear_caches()  # until then jax keeps the gradient of every jitted function
    assert live_programs() <= before


def test_few_programs_are_kept():
    forward(Cauchy(0.1)).block_until_ready()
    _kept.cache_clear()
    before = live_programs()
    for i in range(KEPT_PROGRAMS + 4):
        forward(Cauchy(1.0 + i)).block_until_ready()
    assert live_programs() - before == KEPT_PROGRAMS
    _kept.cache_clear()
    assert live_programs() == before


def test_two_rules_with_equal_functions_are_told_apart():
    def make(slope):
        @jax.custom_jvp
        def spike(x):
            return (x >= 0).astype(x.dtype)

        spike.defjvp(lambda primals, tangents: (spike(*primals), slope * tangents[0]))
        return spike

    first, second = gradient(make(0.1)), gradient(make(0.2))
    assert np.abs(first - second).max() > 0.1


def test_minus_zero_is_told_apart_from_zero():
    make = lambda zero: lambda x: Cauchy(1.0)(x) + 0 * jnp.exp2(1 / jnp.full_like(x, zero))
    assert np.isnan(forward(make(0.0))).all() and not np.isnan(forward(make(-0.0))).any()


@pytest.mark.parametrize("kind", [Changing, Slots, Model])
@pytest.mark.parametrize("as_array", [False, True])
def test_an_attribute_that_changes_counts_in_the_next_call(kind, as_array):
    of = (lambda width: np.full(4, width, np.float32)) if as_array else float
    surrogate = kind(of(0.5))
    call = (lambda: surrogate.spike) if kind is Model else (lambda: surrogate)
    for width in (0.5, 2.0, 0.5):
        surrogate.width = of(width)
        np.testing.assert_allclose(gradient(call()), gradient(Cauchy(width)), rtol=1e-6)


class Nested:
    """The surrogate is a method. Its width is an attribute of an attribute."""

    def __init__(self, width):
        self.inner = Changing(width)

    def spike(self, x):
        return self.inner(x)


class OfClass(Surrogate):
    width = 0.5

    def surrogate_grad(self, x):
        return 1 / (1 + (x / self.width) ** 2)


WIDTH = {"global": 0.5}


def by_global(x):
    return Cauchy(WIDTH["global"])(x)


def set_global(width):
    WIDTH["global"] = width
    return by_global


NESTED, OF_CLASS, ARRAY = Nested(0.5), OfClass(), np.full(4, 0.5, np.float32)
PARTIAL = functools.partial(lambda array, x: Cauchy(array)(x), ARRAY)


def set_nested(width):
    NESTED.inner.width = width
    return NESTED.spike


def set_class(width):
    OfClass.width = width
    return OF_CLASS


def set_method(width):
    OfClass.surrogate_grad = lambda self, x: 1 / (1 + (x / width) ** 2)
    return OF_CLASS


def by_default(x, width=0.5):
    return Cauchy(width)(x)


def set_default(width):
    by_default.__defaults__ = (width,)
    return by_default


def set_in_place(width):
    ARRAY[:] = width
    return PARTIAL


@pytest.mark.parametrize("put", [set_global, set_nested, set_class, set_method, set_default, set_in_place])
def test_whatever_changes_counts_in_the_next_call(put, monkeypatch):
    monkeypatch.setattr(OfClass, "surrogate_grad", OfClass.surrogate_grad)
    for width in (0.5, 2.0, 0.5):
        np.testing.assert_allclose(gradient(put(width)), gradient(Cauchy(width)), rtol=1e-6)


def test_a_variable_of_a_closure_that_changes_counts_in_the_next_call():
    width = 0.5

    def spike(x):
        return Cauchy(width)(x)

    for width in (0.5, 2.0, 0.5):
        np.testing.assert_allclose(gradient(spike), gradient(Cauchy(width)), rtol=1e-6)


def test_no_object_of_the_user_is_kept():
    model = Nested(jnp.full(4, 0.5))
    gradient(model.spike).block_until_ready()
    alive = weakref.ref(model), weakref.ref(model.inner)
    del model
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


def test_a_tracer_that_was_stored_in_the_surrogate():
    model = Nested(0.5)

    def loss(width, x):
        model.inner.width = width
        return lif(x, 0.9, 0.7, surrogate=model.spike)[0].sum()

    with_width = lambda width: jax.jit(lambda w, x: jax.grad(loss, 1)(w, x))(width, CURRENT)
    for width in (0.5, 2.0, 0.5):
        np.testing.assert_allclose(with_width(width), gradient(Cauchy(width)), rtol=1e-6)
    model.inner.width = 2.0
    np.testing.assert_allclose(gradient(model.spike), gradient(Cauchy(2.0)), rtol=1e-6)


def test_traced_attributes():
    """Traced attributes belong to one trace, so nothing that holds them is cached."""
    by_width = lambda width: (gradient(Cauchy(width)) * CURRENT).sum()
    of_closure = lambda width: (gradient(lambda x: Cauchy(width)(x)) * CURRENT).sum()
    step = 1e-2
    expected = (by_width(1 + step) - by_width(1 - step)) / (2 * step)
    with jax.checking_leaks():
        for f in (by_width, of_closure):
            for transformed in (jax.grad(f), jax.jit(jax.grad(f))):
                np.testing.assert_allclose(transformed(1.0), expected, rtol=1e-2)


def test_memory_is_flat():
    """A thousand calls don't increase memory. A leaked program takes about 2 MiB a call."""
    psutil = pytest.importorskip("psutil", reason="comes with the benchmarks")
    memory = lambda: psutil.Process().memory_info().rss / 2**20
    for _ in range(100):
        forward(Cauchy(0.5)).block_until_ready()
    before = memory()
    for _ in range(1000):
        forward(Cauchy(0.5)).block_until_ready()
    assert memory() - before < 20
