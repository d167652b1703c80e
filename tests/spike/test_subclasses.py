"""Subclasses of the surrogates: an override applies everywhere, and all else keeps its kernels."""

import copy
import functools
import inspect
import pickle
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from families import CASES
from jax import lax
from numpy_lif import draw
from spikegrad import GaussianGrad, Surrogate, lif
from spikegrad.compat import braintools

X = np.linspace(-2, 2, 9).astype(np.float32)
BASES = {str(case): (case.surrogate, case.parameters) for case in CASES}
IN_BRAINTOOLS = [case for case in CASES if case.in_braintools]
BASES |= {
    f"compat.{case}": (getattr(braintools, case.surrogate.__name__), case.parameters) for case in IN_BRAINTOOLS
} | {
    f"compat.{case} with arrays": (
        getattr(braintools, case.surrogate.__name__),
        {name: np.full(1, value, np.float32) for name, value in case.parameters.items()},
    )
    for case in IN_BRAINTOOLS
}


@pytest.fixture(params=BASES)
def base(request):
    """A class and its parameters."""
    return BASES[request.param]


def calls(f, *operands):
    return jax.jit(f).lower(*operands).as_text().count("custom_call @spikegrad")


def damped(cls):
    class Damped(cls):
        def surrogate_grad(self, x):
            return 0.25 * super().surrogate_grad(x)

    return Damped


@pytest.mark.parametrize("order", [0, 1, 2])
def test_an_overridden_surrogate_grad_is_the_derivative(kernels, base, order):
    cls, parameters = base
    case = next(case for case in CASES if case.surrogate in cls.__mro__)
    f = damped(cls)(**parameters)
    np.testing.assert_array_equal(f(X), X >= 0)
    derivative = jax.grad(lambda x: f(x).sum())
    for _ in range(order):
        derivative = jax.grad(lambda x, of=derivative: of(x).sum())
    expected = 0.25 * case.derivative(order, X)
    np.testing.assert_allclose(derivative(X), expected, rtol=1e-5, atol=1e-6)
    if order == 0:
        np.testing.assert_allclose(f.surrogate_grad(X), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(jax.jvp(f, (X,), (X,))[1], X * expected, rtol=1e-5, atol=1e-6)


def test_the_convention_of_braintools_follows_an_override(kernels):
    """The gradient of the output by sigma is the derivative of the overridden `surrogate_grad` by sigma."""
    by_sigma = lambda cls: jax.grad(lambda sigma: (cls(sigma)(X) * X**2).sum())
    overridden = by_sigma(damped(braintools.GaussianGrad))(0.5)
    np.testing.assert_allclose(overridden, 0.25 * by_sigma(braintools.GaussianGrad)(0.5), rtol=1e-5)
    assert abs(overridden) > 1e-2 and by_sigma(damped(GaussianGrad))(0.5) == 0


def test_an_override_on_the_object_counts_too(kernels):
    class Chosen(GaussianGrad):
        def __init__(self, gradient):
            super().__init__()
            self.surrogate_grad = gradient

    np.testing.assert_allclose(jax.grad(lambda x: Chosen(jnp.cos)(x).sum())(X), np.cos(X), rtol=1e-6)


def test_the_overridden_derivative_in_a_layer(kernels, base):
    cls, parameters = base
    current, decay, threshold, v0 = draw(0, 12, (9,))

    class Once(Surrogate):
        """The same spike, as a user's surrogate in a plain scan."""

        def surrogate_grad(self, x):
            return 0.25 * cls(**parameters).surrogate_grad(x)

    def by_scan(x):
        def step(v, x):
            u = decay * v + x
            s = Once()(u - threshold)
            return u - s * threshold, s

        return lax.scan(step, jnp.asarray(v0), x)[1]

    f = lambda x: lif(x, decay, threshold, v0=v0, surrogate=damped(cls)(**parameters))[0]
    weights = np.random.default_rng(1).standard_normal(current.shape).astype(np.float32)
    gradient, expected = (jax.grad(lambda x, run=run: (run(x) * weights).sum())(current) for run in (f, by_scan))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    undamped = jax.grad(lambda x: (lif(x, decay, threshold, v0=v0, surrogate=cls(**parameters))[0] * weights).sum())
    assert np.max(np.abs(undamped(current) - expected)) > 1e-2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_overridden_surrogate_fun_counts_and_keeps_the_kernels(case):
    class Shifted(case.surrogate):
        def surrogate_fun(self, x):
            return super().surrogate_fun(x) + 1

    f, plain = Shifted(**case.parameters), case.make()
    np.testing.assert_allclose(f.surrogate_fun(X), plain.surrogate_fun(X) + 1, rtol=1e-6)
    np.testing.assert_array_equal(f.surrogate_grad(X), plain.surrogate_grad(X))
    pull_back = lambda spike: lambda x: jax.vjp(spike, x)[1](x)[0]
    layer = lambda spike: lambda x: jax.vjp(lambda x: lif(x, 0.9, 1.0, surrogate=spike)[0], x)[1](x)[0]
    with spikegrad.kernels(True):
        np.testing.assert_array_equal(pull_back(f)(X), pull_back(plain)(X))
        for run in (pull_back, layer):
            assert calls(run(f), X[:, None]) == calls(run(plain), X[:, None]) > 0


def test_an_overridden_call_counts_in_a_layer(kernels):
    class Doubled(GaussianGrad):
        def __call__(self, x):
            s = super().__call__(x)
            return lax.stop_gradient(s) + 2 * (s - lax.stop_gradient(s))

    current = draw(0, 1, (9,))[0]
    gradient = lambda spike: jax.grad(lambda x: lif(x, 0.9, 1.0, surrogate=spike)[0].sum())(current)
    np.testing.assert_allclose(gradient(Doubled()), 2 * gradient(GaussianGrad()), rtol=1e-6)


@pytest.mark.parametrize("base", [Surrogate, braintools.Surrogate, GaussianGrad, braintools.GaussianGrad])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("inside", [0.0, 0])
def test_a_weakly_typed_derivative_gets_the_dtype_of_x(x64, kernels, base, dtype, inside):
    class Box(base):
        def surrogate_grad(self, x):
            return jnp.where(jnp.abs(x) > 0.5, inside, inside + 1)

    x = jnp.asarray(X, dtype)
    gradient = jax.grad(lambda x: Box()(x).sum())(x)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(gradient.astype(np.float32), np.abs(X) <= 0.5)
    by_lif = jax.grad(lambda x: lif(x, 0.0, 0.0, surrogate=Box(), reset=None)[0].sum())(x)
    np.testing.assert_array_equal(by_lif.astype(np.float32), np.abs(X) <= 0.5)


@pytest.mark.parametrize("kind", [lambda x: x.astype(jnp.float32), lambda x: x > 0, lambda x: x.astype(jnp.int32)])
def test_a_strong_type_other_than_that_of_x_is_refused(kind):
    class Other(Surrogate):
        def surrogate_grad(self, x):
            return kind(x)

    with pytest.raises(TypeError, match=r"Other.surrogate_grad made .* of x of dtype float16"):
        Other()(X.astype(np.float16))


class Tuned(GaussianGrad):
    """One attribute takes part in comparisons, the other does not."""

    fields = (*GaussianGrad.fields, "gain")

    def __init__(self, gain=2.0, note="", **parameters):
        self.note = note
        super().__init__(**parameters)
        self.gain = 1.0
        self.gain = gain  # attributes may be set several times in __init__

    def surrogate_grad(self, x):
        return self.gain * super().surrogate_grad(x)


class Wider(Tuned):
    def __init__(self):
        super().__init__(sigma=0.9)
        self.more = 1


def test_attributes_of_a_subclass():
    f = Tuned(3.0, "a", alpha=0.25)
    assert repr(f) == "Tuned(alpha=0.25, sigma=0.5, gain=3.0)"
    assert f == Tuned(3.0, "b", alpha=0.25) and hash(f) == hash(Tuned(3.0, "b", alpha=0.25))
    assert f != Tuned(4.0, "a", alpha=0.25) and f != Tuned(3.0, "a")
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(X), 3 * GaussianGrad(alpha=0.25).surrogate_grad(X), rtol=1e-6)
    for other in (pickle.loads(pickle.dumps(f)), copy.copy(f), copy.deepcopy(f)):
        assert other == f and other.note == "a"
        with pytest.raises(AttributeError, match="immutable"):
            other.gain = 1.0
    assert Wider().sigma == 0.9 and Wider().more == 1 and Wider() == Wider() != Tuned(sigma=0.9)


@pytest.mark.parametrize("f", [Tuned(), Wider()], ids=["own", "inherited"])
def test_attributes_are_immutable_once_the_object_is_made(f):
    for name in ("gain", "note", "sigma", "other"):
        with pytest.raises(AttributeError, match=f"immutable; make a new one with the other {name}"):
            setattr(f, name, 1.0)
    with pytest.raises(AttributeError, match="immutable"):
        del f.gain


def test_a_parameter_is_set_by_the_base_alone():
    class Wrong(GaussianGrad):
        def __init__(self):
            super().__init__()
            self.sigma = -1.0

    with pytest.raises(AttributeError, match="immutable"):
        Wrong()


def test_a_field_of_a_subclass_is_part_of_a_static_argument():
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(f, x):
        traces.append(f)
        return jax.grad(f)(x)

    for gain in (1.0, 2.0, 1.0, 2.0):
        np.testing.assert_allclose(gradient(Tuned(gain), 0.0), gain * 0.3989423, rtol=1e-6)
    assert len(traces) == 2


def test_a_field_that_cannot_be_hashed_is_named():
    with pytest.raises(TypeError, match="has an array as its gain and cannot be hashed"):
        hash(Tuned(np.ones(2)))


class NoteMixin:
    """An `__init__` from a class that is not a surrogate."""

    def __init__(self, note="", **parameters):
        super().__init__(**parameters)
        self.note = note


class Noted(NoteMixin, GaussianGrad):
    pass


class NotedCompat(NoteMixin, braintools.GaussianGrad):
    pass


class NotedSubclass(Noted):
    pass


@pytest.mark.parametrize("cls", [Noted, NotedCompat, NotedSubclass])
def test_an_init_from_a_mixin_seals(cls):
    f = cls("a", sigma=0.3)
    for other in (f, copy.copy(f), pickle.loads(pickle.dumps(f))):
        assert (other.note, other.sigma) == ("a", 0.3) and other == cls("b", sigma=0.3)
        with pytest.raises(AttributeError, match="immutable; make a new one with the other note"):
            other.note = "c"
        with pytest.raises(AttributeError, match="immutable"):
            del other.note
    assert inspect.signature(cls) == inspect.signature(NoteMixin)


def test_a_mixin_between_keeps_its_init():
    class LongNoteMixin(NoteMixin):
        def __init__(self, *args, **parameters):
            super().__init__(*args, **parameters)
            self.length = len(self.note)

    class LongNoted(Noted, LongNoteMixin):
        pass

    f = LongNoted("abc")
    assert f.note == "abc" and f.length == 3
    with pytest.raises(AttributeError, match="immutable"):
        f.length = 4


@pytest.mark.parametrize("decorate", [dataclass, dataclass(frozen=True), dataclass(frozen=True, eq=False)])
@pytest.mark.parametrize("base", [GaussianGrad, spikegrad.Sigmoid, braintools.GaussianGrad, Tuned])
def test_dataclasses_are_refused(decorate, base):
    @decorate
    class Data(base):
        gain: float = 2.0

    class Subclass(Data):
        pass

    for cls in (Data, Subclass):
        with pytest.raises(TypeError, match=rf"{cls.__name__} is a dataclass.*spikegrad.Surrogate, or write __init__"):
            cls()


@pytest.mark.parametrize("f", [GaussianGrad(), braintools.GaussianGrad(), Tuned(), Noted()], ids=repr)
def test_calling_init_again_changes_nothing(f):
    for init in (type(f).__init__, GaussianGrad.__init__):
        with pytest.raises(AttributeError, match="immutable"):
            init(f, sigma=2.0)
    assert f.sigma == 0.5


def test_an_attribute_can_be_deleted_in_init():
    class Temporary(GaussianGrad):
        def __init__(self, name):
            super().__init__()
            self.temporary = 1
            delattr(self, name)

    f = Temporary("temporary")
    assert not hasattr(f, "temporary")
    with pytest.raises(AttributeError, match="immutable"):
        Temporary("sigma")
