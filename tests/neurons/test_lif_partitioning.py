"""The layer on eight devices: every dimension but time may be sharded, without a collective, copy or transposition."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from collectives import COLLECTIVE, mesh
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy_lif import draw
from spikegrad import Surrogate, lif
from spikegrad.jax_versions import varying_axes

MOVES = re.compile(r"= \S+ (copy|transpose)\(")
STEPS = 9
SHAPE = (16, 16)  # at least 2 per device in each dimension: XLA copies dimensions of size 1, also for the spike
SPECS = [P("i"), P(None, "i"), P("i", "j"), P("j", "i"), P(("i", "j")), P(None, ("i", "j"))]
KINDS = [AxisType.Auto, AxisType.Explicit]
GATHERS = re.compile(r"\b(all-gather|all-to-all|collective-permute|all-reduce)(?:-start)?\(")


pytestmark = [pytest.mark.host_only, pytest.mark.usefixtures("kernels_called")]


def forward(current, decay, v0):
    return lif(current, decay, 1.0, v0=v0, return_membrane=True)


def gradient(current, decay, v0):
    """The gradient with respect to all sharded operands, so that only the layer could need a collective."""

    def loss(current, decay, v0):
        spikes, v_final, membrane = lif(current, decay, 1.0, v0=v0, return_membrane=True)
        return (spikes * current).sum() + (v_final * v0).sum() + (membrane * current).sum()

    return jax.grad(loss, (0, 1, 2))(current, decay, v0)


def tangent(current, decay, v0):
    return jax.jvp(forward, (current, decay, v0), (current, v0, decay))[1]


def operands(dtype=np.float32):
    current, decay, _, v0 = draw(0, STEPS, SHAPE, dtype, scales=SHAPE)
    return current, decay, v0


def over_time(spec):
    return P(None, *spec)


def check(f, plain, shardings, calls, moves=True, **options):
    args = [jax.device_put(a, s) for a, s in zip(plain, shardings, strict=True)]
    text = jax.jit(f, **options).lower(*args).compile().as_text()
    assert not COLLECTIVE.search(text), COLLECTIVE.findall(text)
    if moves:
        assert not MOVES.search(text), [line for line in text.splitlines() if MOVES.search(line)]
    assert text.count('custom_call_target="spikegrad.lif') == calls
    outs, expected = jax.jit(f, **options)(*args), jax.jit(f)(*plain)
    for out, want in zip(outs, expected, strict=True):
        np.testing.assert_array_equal(out, want)
        of = shardings[0] if out.shape == plain[0].shape else shardings[1]
        assert out.sharding.is_equivalent_to(of, out.ndim), (out.sharding, of)


@pytest.mark.parametrize(
    "f, calls", [(forward, 1), (gradient, 2), (tangent, 1)], ids=["forward", "gradient", "tangent"]
)
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_sharding_but_that_of_time(f, calls, spec, kind):
    m = mesh(kind)
    with jax.set_mesh(m):
        shardings = [NamedSharding(m, s) for s in (over_time(spec), spec, spec)]
        check(f, operands(), shardings, calls)


@pytest.mark.parametrize("f", [forward, gradient, tangent], ids=["forward", "gradient", "tangent"])
@pytest.mark.parametrize("spec", SPECS[2:5:2], ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("steps", [3, STEPS])
def test_the_fused_form(f, spec, kind, steps):
    m = mesh(kind)
    plain = [operands()[0][:steps], *operands()[1:]]
    shardings = [NamedSharding(m, s) for s in (over_time(spec), spec, spec)]
    with jax.set_mesh(m), spikegrad.kernels(False):
        args = [jax.device_put(a, s) for a, s in zip(plain, shardings, strict=True)]
        compiled = jax.jit(f).lower(*args).compile()
        assert not GATHERS.search(compiled.as_text())
        outs = compiled(*args)
    for out, want in zip(outs, jax.jit(f)(*plain), strict=True):
        np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
        of = shardings[0] if out.shape == plain[0].shape else shardings[1]
        assert out.sharding.is_equivalent_to(of, out.ndim)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_halves(dtype):
    """XLA:CPU copies reshaped bfloat16 operands of custom calls, also on one device."""
    m = mesh(AxisType.Auto)
    shardings = [NamedSharding(m, s) for s in (P(None, "i", "j"), P("i", "j"), P("i", "j"))]
    check(gradient, operands(dtype), shardings, calls=2, moves=dtype != jnp.bfloat16)


@pytest.mark.parametrize("v0", [0.5, None, np.arange(8, dtype=np.float32)], ids=["number", "default", "array"])
@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("membrane", [False, True])
def test_a_layer_of_no_steps_is_sharded_like_one_of_some(v0, steps, membrane):
    """Check the types too: the next layer rejects another sharding."""
    m = jax.make_mesh((8,), ("i",), axis_types=(AxisType.Explicit,), devices=jax.devices("cpu"))
    run = lambda x, v0: lif(x, 0.9, 1.0, v0=v0, return_membrane=membrane)
    with jax.set_mesh(m):
        current = jax.device_put(np.ones((steps, 8), np.float32), NamedSharding(m, P(None, "i")))
        state = jax.device_put(v0, NamedSharding(m, P("i"))) if isinstance(v0, np.ndarray) else v0
        for f in (run, jax.jit(run)):
            spikes, v_final, *_ = f(current, state)
            assert jax.typeof(v_final).sharding.spec == P("i")
            assert jax.typeof(spikes).sharding.spec == P(None, "i")
        if steps == 0:
            np.testing.assert_array_equal(v_final, np.broadcast_to(0 if v0 is None else v0, 8))
    m = mesh(AxisType.Auto)

    @partial(jax.shard_map, mesh=m, in_specs=P(None, "i"), out_specs=P("i"))
    def mapped(x):
        v_final = run(x, None if v0 is None else 0.5)[1]
        assert "i" in varying_axes(v_final)
        return v_final

    assert mapped(np.ones((steps, 16), np.float32)).shape == (16,)


def test_replicated_scales_and_a_sharded_current():
    """One decay for all neurons. Its gradient needs a sum over devices, which is the only collective."""
    m = mesh(AxisType.Auto)
    current, _, _ = operands()
    sharding = NamedSharding(m, P(None, "i", "j"))
    f = jax.jit(jax.grad(lambda decay, x: (lif(x, decay, 1.0)[0] * x).sum()))
    args = jnp.float32(0.9), jax.device_put(current, sharding)
    text = f.lower(*args).compile().as_text()
    assert set(GATHERS.findall(text)) == {"all-reduce"}
    np.testing.assert_allclose(f(*args), f(np.float32(0.9), current), rtol=1e-5)


def test_sharding_given_to_jit_alone():
    m = mesh(AxisType.Auto)
    shardings = tuple(NamedSharding(m, s) for s in (P(None, "i", "j"), P("i", "j"), P("i", "j")))
    check(gradient, operands(), shardings, 2, out_shardings=shardings)


@pytest.mark.parametrize("f", [forward, gradient])
@pytest.mark.parametrize("manual", [("i", "j"), ("i",), ("j",)], ids=str)
def test_full_and_partial_shard_map(f, manual):
    m = mesh(AxisType.Auto)
    spec = P(*(axis if axis in manual else None for axis in ("i", "j")))
    specs = over_time(spec), spec, spec
    out_specs = (over_time(spec), spec, over_time(spec)) if f is forward else specs
    mapped = jax.shard_map(f, mesh=m, in_specs=specs, out_specs=out_specs, axis_names=set(manual))
    shardings = [NamedSharding(m, s) for s in (P(None, "i", "j"), P("i", "j"), P("i", "j"))]
    check(mapped, operands(), shardings, 1 + (f is gradient))


@pytest.mark.parametrize("f, operands_over_time", [(forward, 1), (gradient, 4)])
def test_time_that_is_sharded_is_gathered_and_right(f, operands_over_time):
    """Only operands over time are gathered, once for each call. The second call has three: current and cotangents."""
    m = mesh(AxisType.Auto)
    plain = operands()[0][:8], *operands()[1:]
    args = [jax.device_put(a, NamedSharding(m, s)) for a, s in zip(plain, (P("i", "j"), P("j"), P("j")), strict=True)]
    text = jax.jit(f).lower(*args).compile().as_text()
    assert GATHERS.findall(text) == ["all-gather"] * operands_over_time
    for out, want in zip(jax.jit(f)(*args), jax.jit(f)(*plain), strict=True):
        np.testing.assert_array_equal(out, want)


def test_explicitly_sharded_time_is_refused_with_the_remedy():
    m = mesh(AxisType.Explicit)
    with jax.set_mesh(m):
        current = jax.device_put(operands()[0][:8], NamedSharding(m, P("i")))
        with pytest.raises(ValueError, match=r"current is sharded over time.*reshard"):
            jax.jit(lambda x: lif(x, 0.9, 1.0))(current)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("f", [forward, gradient])
def test_vmap_of_a_sharded_dimension(f, kind):
    m = mesh(kind)
    spec = P("i", "j")
    with jax.set_mesh(m):
        plain = operands()
        shardings = [NamedSharding(m, s) for s in (over_time(spec), spec, spec)]
        out_axes = (1, 0, 1) if f is forward else (1, 0, 0)
        check(jax.vmap(f, in_axes=(1, 0, 0), out_axes=out_axes), plain, shardings, 1 + (f is gradient))


def test_gradients_of_a_replicated_decay_inside_shard_map():
    """Without a cast to "varying" the result would be the gradient of a single shard."""
    m = mesh(AxisType.Auto)
    current, _, _ = operands()

    def loss(decay, x):
        return (lif(x, decay, 1.0)[0] * x).sum()

    mapped = jax.shard_map(
        lambda decay, x: jax.lax.psum(loss(decay, x), ("i", "j")),
        mesh=m,
        in_specs=(P(), P(None, "i", "j")),
        out_specs=P(),
    )
    actual = jax.jit(jax.grad(mapped))(jnp.float32(0.9), current)
    np.testing.assert_allclose(actual, jax.grad(loss)(jnp.float32(0.9), current), rtol=1e-5)


def assert_near(outs, expected):
    """XLA may fuse and round a sharded scan differently."""
    for out, want in zip(outs, expected, strict=True):
        np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)


def test_second_order_on_a_sharded_current():
    """Second order uses the scan, which XLA partitions."""
    m = mesh(AxisType.Auto)
    f = lambda current, decay, v0: jax.jvp(partial(gradient, decay=decay, v0=v0), (current,), (current,))[1]
    plain = operands()
    args = [jax.device_put(a, NamedSharding(m, s)) for a, s in zip(plain, (P(None, "i"), P("i"), P("i")), strict=True)]
    assert_near(jax.jit(f)(*args), jax.jit(f)(*plain))


class Triangle(Surrogate):
    def surrogate_grad(self, x):
        return jnp.maximum(0, 1 - jnp.abs(x))


def by_triangle(current):
    return lif(current, 0.9, 1.0, surrogate=Triangle())


def test_a_surrogate_of_ones_own_inside_shard_map():
    """The carried membrane must vary over the same mesh axes as the current."""
    current = operands()[0]
    f = jax.shard_map(
        by_triangle, mesh=mesh(AxisType.Auto), in_specs=P(None, "i", "j"), out_specs=(P(None, "i", "j"), P("i", "j"))
    )
    assert_near(jax.jit(f)(current), by_triangle(current))


def test_a_surrogate_of_ones_own_on_an_explicit_mesh():
    current = operands()[0]
    expected = by_triangle(current)
    with jax.set_mesh(mesh(AxisType.Explicit)):
        outs = jax.jit(by_triangle)(jax.device_put(current, P(None, "i", "j")))
    assert_near(outs, expected)
