"""The call follows the sharding of x: no collectives in the compiled HLO on eight devices, forward and gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from collectives import COLLECTIVE, all_kernels, assert_same, mesh
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from spikegrad.primitives.spike_derivative import spike_derivative

pytestmark = [pytest.mark.each_policy, pytest.mark.host_only, pytest.mark.usefixtures("kernels_by_default")]

SHAPE = (8, 16)
SPECS = [P("i"), P(None, "i"), P("i", "j"), P("j", "i"), P(("i", "j")), P(None, ("i", "j")), P(("j", "i"), None)]


@pytest.fixture
def spike(case):
    return case.make()


def forward(spike, x):
    return spike(x)


def pullback(spike, x, t):
    return jax.vjp(spike, x)[1](t)[0]


def second(spike, x, t):
    return jax.jvp(lambda x: pullback(spike, x, t), (x,), (t,))[1]


def gradient_of_a_model(spike, x, t):
    """All other operations are elementwise too, so only the spike could need a collective."""
    return jax.grad(lambda x: (spike(x * 2 - 1) * t).astype(jnp.float32).sum())(x)


def operands(f, shape=SHAPE, dtype=np.float32):
    rng = np.random.default_rng(0)
    count = 1 if f is forward else 2
    return [rng.standard_normal(shape).astype(dtype) for _ in range(count)]


def compiled_text(f, *args, **kwargs):
    return jax.jit(f, **kwargs).lower(*args).compile().as_text()


def check(f, plain, sharding, **kwargs):
    args = [jax.device_put(a, sharding) for a in plain]
    text = compiled_text(f, *args, **kwargs)
    assert not COLLECTIVE.search(text), COLLECTIVE.findall(text)
    assert not all_kernels() or "spikegrad." in text
    out = jax.jit(f, **kwargs)(*args)
    assert out.sharding.is_equivalent_to(sharding, out.ndim)
    assert_same(out, jax.jit(f)(*plain))


@pytest.mark.parametrize("f", [forward, pullback, second, gradient_of_a_model])
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_whole_array_shardings(spike, f, spec, kind):
    m = mesh(kind)
    with jax.set_mesh(m):
        check(partial(f, spike), operands(f), NamedSharding(m, spec))


@pytest.mark.parametrize("f", [forward, pullback])
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_one_dimension(spike, f, kind):
    m = mesh(kind)
    with jax.set_mesh(m):
        check(partial(f, spike), operands(f, (16,)), NamedSharding(m, P(("i", "j"))))


@pytest.mark.parametrize("mapped", [False, True], ids=["whole", "vmap"])
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_integers_keep_their_sharding(spike, kind, mapped):
    m = mesh(kind)
    with jax.set_mesh(m):
        x = np.random.default_rng(0).integers(-2, 3, SHAPE).astype(np.int32)
        check(jax.vmap(spike) if mapped else spike, [x], NamedSharding(m, P("i", "j")))
        out = spike(jax.device_put(x, NamedSharding(m, P("i", "j"))))
        assert out.dtype == jnp.float32 and jax.typeof(out).sharding.spec == jax.typeof(jnp.sin(out)).sharding.spec


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_halves(spike, dtype):
    m = mesh(AxisType.Auto)
    check(partial(pullback, spike), operands(pullback, dtype=dtype), NamedSharding(m, P("i", "j")))


def test_sharding_given_to_jit_alone(spike):
    """Sharding propagates through the call, from a constrained result to an unconstrained operand."""
    m = mesh(AxisType.Auto)
    sharding = NamedSharding(m, P("i", "j"))
    check(partial(pullback, spike), operands(pullback), sharding, out_shardings=sharding)


@pytest.mark.parametrize("f", [forward, pullback])
@pytest.mark.parametrize("manual", [("i", "j"), ("i",), ("j",)], ids=str)
def test_full_and_partial_shard_map(spike, f, manual):
    m = mesh(AxisType.Auto)
    spec = P(*(axis if axis in manual else None for axis in ("i", "j")))
    count = len(operands(f))
    mapped = jax.shard_map(partial(f, spike), mesh=m, in_specs=(spec,) * count, out_specs=spec, axis_names=set(manual))
    check(mapped, operands(f), NamedSharding(m, P("i", "j")))


def test_partial_shard_map_on_an_explicit_mesh_is_no_worse_than_a_multiplication(spike):
    """XLA gathers here even for x * 2. The spike must not add collectives."""
    m = mesh(AxisType.Explicit)
    (x,) = operands(forward)

    def count(f):
        with jax.set_mesh(m):
            mapped = jax.shard_map(f, mesh=m, in_specs=P("i"), out_specs=P("i"), axis_names={"i"})
            return len(COLLECTIVE.findall(compiled_text(mapped, jax.device_put(x, NamedSharding(m, P("i", "j"))))))

    assert count(spike) <= count(lambda x: x * 2)


@pytest.mark.parametrize("traced_parameters", [False, True])
def test_gradients_of_a_replicated_operand_inside_shard_map(case, traced_parameters):
    """Without a cast to "varying" the results would be the gradients of a single shard."""
    m = mesh(AxisType.Auto)
    x, _ = operands(pullback)
    w = np.float32(0.3)
    parameters = {name: np.float32(value) for name, value in case.parameters.items()}

    def loss(w, parameters, x):
        outside = parameters if traced_parameters else case.parameters
        spikes = case.function(x - w, **outside)
        derivative = case.surrogate(**outside).surrogate_grad(w)
        inner = jax.grad(lambda y: case.function(y - w, **parameters).sum())(x)
        return (spikes * x).sum() + (inner**2).sum() + derivative

    def sharded(w, parameters, x):
        return jax.lax.psum(loss(w, parameters, x), ("i", "j"))

    mapped = jax.shard_map(sharded, mesh=m, in_specs=(P(), P(), P("i", "j")), out_specs=P())

    def whole(w, parameters, x):
        outside = parameters if traced_parameters else case.parameters
        return loss(w, parameters, x) + 7 * case.surrogate(**outside).surrogate_grad(w)

    expected = jax.grad(whole, (0, 1))(w, parameters, x)
    actual = jax.jit(jax.grad(mapped, (0, 1)))(w, parameters, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=3e-4, atol=1e-4), actual, expected)


def test_a_replicated_x_and_a_sharded_cotangent_inside_shard_map(case):
    m = mesh(AxisType.Auto)
    x, t = np.linspace(-1, 1, 4, dtype=np.float32), np.arange(32, dtype=np.float32).reshape(8, 4)

    @partial(jax.shard_map, mesh=m, in_specs=(P(), P(("i", "j"))), out_specs=P(("i", "j")))
    def mapped(x, t):
        return spike_derivative(x, t[0], *case.operands(x), family=case.family, order=0)[None]

    np.testing.assert_allclose(mapped(x, t), [pullback(case.make(), x, row) for row in t], rtol=1e-6)


def test_operands_with_different_explicit_shardings_are_refused_as_multiplication_does(case):
    m = mesh(AxisType.Explicit)
    with jax.set_mesh(m):
        x, t = (
            jax.device_put(a, NamedSharding(m, spec))
            for a, spec in zip(operands(pullback), (P("i"), P("j")), strict=True)
        )
        with pytest.raises(Exception) as multiplication:
            jax.jit(lambda x, t: x * t)(x, t)
        with pytest.raises(type(multiplication.value)):
            jax.jit(partial(spike_derivative, family=case.family, order=0))(x, t, *case.operands(jnp.zeros(())))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (1, 1), (1, None)])
def test_vmap_of_a_sharded_dimension(spike, kind, axes):
    m = mesh(kind)
    full, lesser = NamedSharding(m, P("i", "j")), NamedSharding(m, P("j"))
    plain = operands(pullback)
    plain = [
        a if axis is not None else (a[0] if axes[0] != 1 else a[:, 0]) for a, axis in zip(plain, axes, strict=True)
    ]
    if axes[0] == 1:
        lesser = NamedSharding(m, P("i"))
    with jax.set_mesh(m):
        args = [jax.device_put(a, full if a.ndim == 2 else lesser) for a in plain]
        f = jax.vmap(partial(pullback, spike), in_axes=axes)
        text = compiled_text(f, *args)
        assert not COLLECTIVE.search(text), COLLECTIVE.findall(text)
        np.testing.assert_allclose(jax.jit(f)(*args), f(*plain), rtol=1e-6)


def test_spmd_axis_name(spike):
    m = mesh(AxisType.Auto)
    x, t = operands(pullback)
    f = jax.jit(jax.vmap(partial(pullback, spike), spmd_axis_name="i"))
    args = [jax.device_put(a, NamedSharding(m, P("i"))) for a in (x, t)]
    with jax.set_mesh(m):
        assert not COLLECTIVE.search(f.lower(*args).compile().as_text())
        np.testing.assert_allclose(f(*args), jax.vmap(partial(pullback, spike))(x, t), rtol=1e-6)
