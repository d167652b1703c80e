"""Which surrogates of other conventions run on the kernels of a layer. The custom calls in the program show it.

Here `braintools` is a stand-in with the relevant names and formulas, so that these tests run without it.
tests/with_libraries/test_lif_in_braintools.py uses the real package.
"""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from families import CASES
from numpy_lif import draw
from spikegrad import lif
from spikegrad.compat import braintools as compat
from spikegrad.kernel_parameters import BRAINTOOLS_RELEASES
from spikegrad.primitives.families import FAMILIES

pytestmark = pytest.mark.usefixtures("kernels_called")

IN_BRAINTOOLS = [case for case in CASES if case.in_braintools]

SOURCE = """
import jax, jax.numpy as jnp

class Surrogate:
    def __call__(self, x):
        grad = self.surrogate_grad(jax.lax.stop_gradient(x))
        return jax.lax.stop_gradient((x >= 0).astype(x.dtype) - x * grad) + x * grad

class GaussianGrad(Surrogate):
    __module__ = "braintools.surrogate"

    def __init__(self, sigma=0.5, alpha=0.5):
        self.sigma, self.alpha = sigma, alpha

    def surrogate_grad(self, x):
        return self.alpha * jnp.exp(-(x**2) / (2 * self.sigma**2)) / (jnp.sqrt(2 * jnp.pi) * self.sigma)
"""


@pytest.fixture
def install(monkeypatch):
    """A function that installs a version of the stand-in in `sys.modules` and returns its `surrogate` module."""

    def put(version):
        package, module = types.ModuleType("braintools"), types.ModuleType("braintools.surrogate")
        code = {"__name__": "braintools.surrogate._impl"}
        exec(SOURCE, code)
        module.GaussianGrad = code["GaussianGrad"]
        if version is not None:
            package.__version__ = version
        package.surrogate = module
        monkeypatch.setitem(sys.modules, "braintools", package)
        monkeypatch.setitem(sys.modules, "braintools.surrogate", module)
        return module

    return put


CURRENT, DECAY, THRESHOLD, V0 = draw(0, 12, (9,))


def layer(surrogate):
    return lambda x: lif(x, DECAY, THRESHOLD, v0=V0, surrogate=surrogate)[0]


def gradient(surrogate):
    return jax.grad(lambda x: (layer(surrogate)(x) * CURRENT).sum())


def runs_on_kernels(surrogate):
    """Whether forward and gradient call the kernels. If they don't, the whole layer must be a scan."""
    forward, backward = (jax.jit(f(surrogate)).lower(CURRENT).as_text() for f in (layer, gradient))
    calls = ["custom_call @spikegrad.lif" in text for text in (forward, backward)]
    loops = ["stablehlo.while" in text for text in (forward, backward)]
    assert calls in ([True, True], [False, False]) and loops == [not call for call in calls]
    return calls[0]


@pytest.mark.parametrize("version", ["0.2.0", "0.3.0", "0.3.1.post20260101", "0.4.0"])
def test_versions_with_our_formulas(install, version):
    theirs = install(version).GaussianGrad(0.3, alpha=2)
    assert runs_on_kernels(theirs)
    np.testing.assert_array_equal(gradient(theirs)(CURRENT), gradient(spikegrad.GaussianGrad(0.3, 2))(CURRENT))


@pytest.mark.parametrize("version", ["0.1.10", "0.1.0", "0.0.4.post20250423", "0.5.0", "0.20.0", "1.0", "1.4.0", None])
def test_other_versions_run_as_a_scan(install, version):
    """braintools before 0.2 uses 1 / sigma, and future versions may have any formula."""
    assert not runs_on_kernels(install(version).GaussianGrad(0.3))
    assert BRAINTOOLS_RELEASES == ("0.2", "0.3", "0.4")


def subclass(cls):
    return type("GaussianGrad", (cls,), {"__module__": cls.__module__})()


def with_attribute(name):
    def make(cls):
        made = cls()
        setattr(made, name, jnp.cos)
        return made

    return make


def with_method(name):
    def make(cls):
        setattr(cls, name, lambda self, x: jnp.cos(x))
        return cls()

    return make


@pytest.mark.parametrize(
    "make",
    [
        subclass,
        *[with_attribute(name) for name in ("surrogate_grad", "surrogate_fun", "__call__", "name")],
        *[with_method(name) for name in ("surrogate_grad", "__call__")],
        lambda cls: cls(sigma=np.full(9, 0.5, np.float32)),
        lambda cls: cls(sigma=jnp.float32(0.5)),
        lambda cls: cls(sigma=-0.5),
        lambda cls: cls(sigma=float("nan")),
        lambda cls: cls(sigma=1e-46),
        lambda cls: cls(alpha=True),
    ],
    ids=[
        *["subclass", "surrogate_grad", "surrogate_fun", "__call__", "name", "class's surrogate_grad"],
        *["class's __call__", "array", "jax scalar", "negative", "nan", "0 in float32", "bool"],
    ],
)
def test_what_may_differ_runs_as_a_scan(install, make):
    assert not runs_on_kernels(make(install("0.4.0").GaussianGrad))


def test_a_class_that_only_has_the_name_runs_as_a_scan(install):
    theirs = install("0.4.0").GaussianGrad
    install("0.4.0")
    assert not runs_on_kernels(theirs())


def test_a_tracer_as_parameter_runs_as_a_scan(install):
    cls = install("0.4.0").GaussianGrad
    f = lambda sigma: jax.grad(lambda x: (layer(cls(sigma))(x) * CURRENT).sum())(CURRENT)
    assert "spikegrad" not in jax.jit(f).lower(0.3).as_text()
    np.testing.assert_allclose(jax.jit(f)(0.3), gradient(spikegrad.GaussianGrad(0.3))(CURRENT), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("number", [1, np.float32(0.75), np.float64(0.75), np.int32(1)], ids=repr)
def test_any_plain_number(install, number):
    theirs = install("0.4.0").GaussianGrad(number)
    assert runs_on_kernels(theirs)
    np.testing.assert_array_equal(gradient(theirs)(CURRENT), gradient(spikegrad.GaussianGrad(float(number)))(CURRENT))


@pytest.mark.parametrize("case", IN_BRAINTOOLS, ids=str)
def test_objects_of_compat_run_on_the_kernels(case):
    theirs = getattr(compat, case.surrogate.__name__)(**case.parameters)
    assert runs_on_kernels(theirs)
    np.testing.assert_array_equal(gradient(theirs)(CURRENT), gradient(case.make())(CURRENT))


@pytest.mark.parametrize("case", IN_BRAINTOOLS, ids=str)
def test_objects_of_compat_with_arrays_run_as_a_scan(case):
    """In `compat` the output has a gradient with respect to the parameter."""
    name = next(iter(case.parameters))
    cls = getattr(compat, case.surrogate.__name__)
    assert not runs_on_kernels(cls(**{**case.parameters, name: np.full(9, 0.5, np.float32)}))
    total = lambda value: (layer(cls(**{**case.parameters, name: value}))(CURRENT) * CURRENT).sum()
    assert abs(jax.grad(total)(0.5)) > 1e-3


class OwnKernel(spikegrad.Surrogate):
    """A user's surrogate with `kernel_parameters`."""

    def surrogate_grad(self, x):
        return spikegrad.GaussianGrad().surrogate_grad(x)

    def kernel_parameters(self, x):
        return spikegrad.GaussianGrad().kernel_parameters(x)


def cosine(self, x):
    return jnp.cos(x)


def derived(base, **namespace):
    return type("Derived", (base,), namespace)


BASES = [OwnKernel, spikegrad.GaussianGrad, compat.GaussianGrad]


@pytest.mark.parametrize("base", BASES)
def test_an_override_below_kernel_parameters_runs_as_a_scan(base):
    overriding = derived(base, surrogate_grad=cosine)
    expected = gradient(derived(spikegrad.Surrogate, surrogate_grad=cosine)())(CURRENT)
    on_instance = derived(base, __init__=lambda self: setattr(self, "surrogate_grad", jnp.cos))
    mixin = type("Mixin", (), {"surrogate_grad": cosine})
    for cls in (overriding, derived(overriding), type("Mixed", (mixin, base), {}), on_instance):
        if cls is on_instance and base is not OwnKernel:
            continue  # tests/spike/test_subclasses.py
        assert not runs_on_kernels(cls())
        np.testing.assert_array_equal(gradient(cls())(CURRENT), expected)
    assert not runs_on_kernels(derived(base, __call__=base.__call__)())


def test_an_override_behind_the_classes_of_compat_runs_as_a_scan():
    class Cosine(spikegrad.GaussianGrad):
        surrogate_grad = cosine

    assert not runs_on_kernels(type("Mixed", (compat.GaussianGrad, Cosine), {})())


@pytest.mark.parametrize("base", BASES)
def test_kernel_parameters_of_the_same_class_or_below_count(base):
    """Twice the Gaussian: the base's parameters with doubled alpha."""

    class Doubled(base):
        def surrogate_grad(self, x):
            return 2 * super().surrogate_grad(x)

        def kernel_parameters(self, x):
            family, (weight, *others) = super().kernel_parameters(x)
            return family, (2 * weight, *others)

    expected = gradient(spikegrad.GaussianGrad(alpha=1.0))(CURRENT)
    for cls in (Doubled, derived(Doubled), derived(Doubled, surrogate_fun=cosine)):
        assert runs_on_kernels(cls())
        np.testing.assert_array_equal(gradient(cls())(CURRENT), expected)


@pytest.mark.parametrize("family", ["gaussian", None, []], ids=repr)
def test_an_unknown_family_is_named(family):
    own = derived(OwnKernel, kernel_parameters=lambda self, x: (family, ()))()
    known = ", ".join(map(repr, FAMILIES))
    with pytest.raises(ValueError, match=rf"Derived\.kernel_parameters .* families {known}, and names"):
        layer(own)(CURRENT)
