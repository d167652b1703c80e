"""`Surrogate` as the base class of users' surrogates: spikegrad computes the step, JAX the gradient."""

import doctest
import functools
import pickle
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from collectives import COLLECTIVE
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from spikegrad import Surrogate
from spikegrad import surrogate_base as module
from spikegrad.compat import braintools


class Triangle(Surrogate):
    def surrogate_grad(self, x):
        return jnp.maximum(0, 1 - jnp.abs(x))


@dataclass(frozen=True)
class Cauchy(Surrogate):
    width: float = 1.0

    def surrogate_grad(self, x):
        return 1 / (1 + (x / self.width) ** 2)

    def surrogate_fun(self, x):
        return self.width * jnp.arctan(x / self.width)


X = np.linspace(-2, 2, 9).astype(np.float32)
SLOPE = 1 / (1 + X.astype(np.float64) ** 2)


def test_the_documented_examples():
    names = {"jax": jax, "jnp": jnp, "Surrogate": Surrogate, "dataclass": dataclass}
    assert doctest.testmod(module, extraglobs=names).failed == 0


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_forward_and_gradient(kernels, dtype):
    x = jnp.asarray(X, dtype)
    spikes, pullback = jax.vjp(Triangle(), x)
    assert spikes.dtype == dtype
    np.testing.assert_array_equal(spikes, X >= 0)
    np.testing.assert_array_equal(pullback(jnp.ones_like(x))[0].astype(np.float32), np.maximum(0, 1 - abs(X)))
    assert ("custom_call @spikegrad.heaviside" in jax.jit(Triangle()).lower(x).as_text()) == kernels


def test_every_transformation(kernels):
    f = Cauchy()
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(X), SLOPE, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(f, (X,), (X,))[1], X * SLOPE, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(f, (jnp.float32(0.5),), (1.0,))[1], 0.8, rtol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(f)(X), np.diag(SLOPE), rtol=1e-6)
    second = -2 * X * SLOPE**2
    for nested in (jax.grad(jax.grad(f)), jax.jacfwd(jax.jacrev(f)), jax.jacrev(jax.jacfwd(f)), jax.hessian(f)):
        np.testing.assert_allclose(jax.jit(jax.vmap(nested))(X), second, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(jax.grad(lambda x: jax.checkpoint(f)(x).sum())(X), SLOPE, rtol=1e-6)


@pytest.mark.parametrize("base", [Surrogate, braintools.Surrogate])
@pytest.mark.parametrize("second", [jax.hessian, lambda f: jax.jacrev(jax.grad(f)), lambda f: jax.jacfwd(jax.grad(f))])
def test_differentiated_twice_inside_scan(x64, kernels, base, second):
    """Reverse mode of a scan drops custom rules: jax then differentiates the primitives in the scan."""

    class Bump(base):
        def surrogate_grad(self, x):
            return jnp.exp(-x * x)

    def step(v, x_t):
        u = 0.5 * v + x_t
        s = Bump()(u - 0.2)
        return u - s, s

    run = lambda x: jax.lax.scan(step, 0.0, x)[1].sum()

    def unrolled(x):
        v, total = 0.0, 0.0
        for x_t in x:
            v, s = step(v, x_t)
            total += s
        return total

    x = jnp.array([0.1, 0.2, -0.3])
    expected = jax.jacfwd(jax.jacfwd(unrolled))(x)
    np.testing.assert_allclose(jax.jit(second(run))(x), expected, rtol=1e-12)
    np.testing.assert_allclose(second(run)(x), expected, rtol=1e-12)
    np.testing.assert_allclose(expected, expected.T, rtol=1e-12)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, 0)])
def test_vmap(kernels, axes):
    x, width = np.stack([X, X / 2], axes[0] or 0), np.array([0.5, 2.0], np.float32)
    x, width = (value if axis is not None else value[0] for value, axis in zip((x, width), axes, strict=True))
    f = lambda x, width: jax.value_and_grad(lambda x: Cauchy(width)(x).sum())(x)[1]
    out = jax.vmap(f, axes)(x, width)
    for i in range(2):
        x_i = x if axes[0] is None else np.take(x, i, axes[0])
        w_i = width if axes[1] is None else width[i]
        np.testing.assert_allclose(out[i], 1 / (1 + (x_i / w_i) ** 2), rtol=1e-6)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_no_collective(kind):
    mesh = jax.make_mesh((8,), ("i",), axis_types=(kind,), devices=jax.devices("cpu"))
    with jax.set_mesh(mesh):
        x = jax.device_put(np.linspace(-1, 1, 16, dtype=np.float32), NamedSharding(mesh, P("i")))
        compiled = jax.jit(lambda x: jax.vjp(Cauchy(), x)[1](x)[0]).lower(x).compile()
        assert not COLLECTIVE.search(compiled.as_text())
        np.testing.assert_allclose(compiled(x), x / (1 + x**2), rtol=1e-6)


def test_a_replicated_x_with_a_slope_that_varies_inside_shard_map():
    mesh = jax.make_mesh((8,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices("cpu"))
    widths, x = np.linspace(0.5, 2, 8, dtype=np.float32), X[:4]

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("i")), out_specs=P())
    def mapped(x, width):
        return jax.lax.psum(Cauchy(width[0])(x).sum(), "i")

    expected = np.sum(1 / (1 + (x / widths[:, None]) ** 2), 0)
    np.testing.assert_allclose(jax.grad(mapped)(x, widths), expected, rtol=1e-6)


def test_exported():
    checks = [export.DisabledSafetyCheck.custom_call(name) for name in spikegrad.FFI_TARGETS]
    f = lambda x: jax.vjp(Cauchy(), x)[1](x)[0]
    again = export.deserialize(export.export(jax.jit(f), disabled_checks=checks)(X).serialize())
    np.testing.assert_allclose(again.call(X), X * SLOPE, rtol=1e-6)


def test_a_traced_attribute_under_grad_of_jit():
    """A rule with a closure over the tracer would fail. The spike doesn't depend on width, its derivative does."""
    loss = jax.jit(lambda width, x: Cauchy(width)(x).sum())
    np.testing.assert_array_equal(jax.grad(loss)(1.5, X), 0)
    np.testing.assert_allclose(jax.grad(loss, 1)(1.0, X), SLOPE, rtol=1e-6)
    hyper = jax.jit(jax.grad(lambda width: jax.grad(loss, 1)(width, X).sum()))
    np.testing.assert_allclose(hyper(1.0), np.sum(2 * X**2 * SLOPE**2), rtol=1e-5)
    widths = np.array([0.5, 1.0, 2.0], np.float32)
    mapped = jax.vmap(lambda width: jax.grad(loss, 1)(width, X))(widths)
    np.testing.assert_allclose(mapped, 1 / (1 + (X / widths[:, None]) ** 2), rtol=1e-6)


def test_programs_without_differentiation_have_no_gradient():
    text = jax.jit(Cauchy()).lower(X).compile().as_text()
    assert "divide" not in text


def test_integers_and_constants():
    for x in (jnp.array([-1, 0, 2]), jnp.array([True, False]), np.array([-1, 0, 2]), -1, True):
        spikes = Triangle()(x)
        assert spikes.dtype == jnp.float32
        np.testing.assert_array_equal(spikes, np.asarray(x) >= 0)
    with pytest.raises(TypeError, match="x must be real"):
        Triangle()(jnp.array([1j]))
    tangent = jax.jvp(lambda c: Triangle()(jnp.asarray(X)) + c, (jnp.zeros(9),), (jnp.ones(9),))[1]
    np.testing.assert_array_equal(tangent, 1)


def test_what_is_missing_or_does_not_fit_is_named():
    class Nothing(Surrogate):
        pass

    class Scalar(Surrogate):
        def surrogate_grad(self, x):
            return jnp.sum(x)

    class Wide(Surrogate):
        def surrogate_grad(self, x):
            return x.astype(jnp.float32)

    with pytest.raises(NotImplementedError, match=r"Nothing must define surrogate_grad"):
        Nothing()(X)
    with pytest.raises(NotImplementedError, match=r"Nothing does not define surrogate_fun"):
        Nothing().surrogate_fun(X)
    with pytest.raises(ValueError, match=r"Scalar.surrogate_grad made \(\) of x of shape \(9,\)"):
        Scalar()(X)
    with pytest.raises(TypeError, match=r"Wide.surrogate_grad made float32 of x of dtype float16"):
        Wide()(X.astype(np.float16))


def test_as_an_object():
    f = Triangle()
    assert jax.tree.leaves(f) == [f]
    assert isinstance(pickle.loads(pickle.dumps(f)), Triangle)
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def apply(f, x):
        traces.append(f)
        return f(x)

    for _ in range(3):
        np.testing.assert_array_equal(apply(Cauchy(), X), X >= 0)
    assert len(traces) == 1 and pickle.loads(pickle.dumps(Cauchy(2.0))) == Cauchy(2.0)
