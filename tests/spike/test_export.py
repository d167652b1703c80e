"""`jax.export`: round trips, symbolic shapes, and platforms other than this machine's."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from jax import export
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

pytestmark = pytest.mark.usefixtures("kernels_called")

CHECKS = [export.DisabledSafetyCheck.custom_call(name) for name in spikegrad.FFI_TARGETS]
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def step(case):
    """The spike and its gradient, as a function of x and the first parameter."""
    name = next(iter(case.parameters))

    def step(x, value):
        parameters = {**case.parameters, name: value}
        return case.function(x, **parameters), jax.grad(lambda x: case.function(x, **parameters).sum())(x)

    return step


def test_the_targets_are_named_and_versioned():
    assert spikegrad.FFI_TARGETS == (
        "spikegrad.gaussian_mixture.v1",
        "spikegrad.heaviside.v1",
        "spikegrad.lif.v2",
        "spikegrad.lif_cotangent.gaussian_mixture.v2",
        "spikegrad.lif_cotangent.sigmoid.v2",
        "spikegrad.lif_tangent.gaussian_mixture.v3",
        "spikegrad.lif_tangent.sigmoid.v3",
        "spikegrad.sigmoid.v1",
    )


def test_without_the_names_export_refuses(step):
    with pytest.raises(ValueError, match="spikegrad"):
        export.export(jax.jit(step))(X, 0.5)


CALL_IN_A_FRESH_PROCESS = """
import sys
import numpy as np
import spikegrad  # registers the targets
from jax import export
from spikegrad import ffi_targets
blob, x, out = sys.argv[1:]
spikes, gradient = export.deserialize(open(blob, "rb").read()).call(np.load(x), np.float32(0.5))
np.savez(out, spikes=spikes, gradient=gradient)
"""


def test_serialised_and_called_in_a_fresh_process(case, step, tmp_path):
    exported = export.export(jax.jit(step), disabled_checks=CHECKS)(X, np.float32(0.5))
    (tmp_path / "blob").write_bytes(exported.serialize())
    np.save(tmp_path / "x.npy", X)
    arguments = [str(tmp_path / name) for name in ("blob", "x.npy", "out.npz")]
    subprocess.run([sys.executable, "-c", CALL_IN_A_FRESH_PROCESS, *arguments], check=True, timeout=120)
    out = np.load(tmp_path / "out.npz")
    spikes, gradient = jax.jit(step)(X, np.float32(0.5))
    np.testing.assert_array_equal(out["spikes"], spikes)
    np.testing.assert_array_equal(out["gradient"], gradient)
    np.testing.assert_array_equal(out["spikes"], X >= 0)
    exact = case.derivative(0, X, **{next(iter(case.parameters)): 0.5})
    np.testing.assert_allclose(out["gradient"], exact, rtol=1e-5)


def test_the_gradient_of_an_exported_function(case):
    f = lambda x: case.make()(x) * x
    again = export.deserialize(export.export(jax.jit(f), disabled_checks=CHECKS)(X).serialize(vjp_order=2))
    np.testing.assert_array_equal(jax.grad(lambda x: again.call(x).sum())(X), jax.grad(lambda x: f(x).sum())(X))


@pytest.mark.parametrize("shape", ["b, 3", "b, c", "2*b, 3"])
def test_symbolic_shapes(step, shape):
    spec = jax.ShapeDtypeStruct(export.symbolic_shape(shape), jnp.float32)
    exported = export.export(jax.jit(step), disabled_checks=CHECKS)(spec, jax.ShapeDtypeStruct((), jnp.float32))
    again = export.deserialize(exported.serialize())
    for rows in (2, 8):
        x = np.linspace(-1, 1, rows * 3, dtype=np.float32).reshape(rows, 3)
        for actual, expected in zip(again.call(x, np.float32(0.4)), jax.jit(step)(x, np.float32(0.4)), strict=True):
            np.testing.assert_array_equal(actual, expected)


def text_for(step, *platforms):
    return export.export(jax.jit(step), platforms=platforms, disabled_checks=CHECKS)(X, 0.5).mlir_module()


@pytest.mark.parametrize("platform", ["tpu", "rocm"])
def test_other_platforms_get_the_fused_form(step, platform):
    text = text_for(step, platform)
    assert "custom_call @spikegrad" not in text
    assert "stablehlo.bitcast_convert" in text  # the power of two
    lowered = jax.jit(step).trace(X, 0.5).lower(lowering_platforms=(platform,)).as_text()
    assert "custom_call @spikegrad" not in lowered


def test_several_platforms_carry_both(case, step):
    text = text_for(step, "cpu", "tpu")
    assert "custom_call @spikegrad.heaviside.v1" in text
    assert f"custom_call @spikegrad.{case.family}.v1" in text
    assert "stablehlo.bitcast_convert" in text  # the power of two


def layer_and_gradient(x, decay):
    layer = lambda x: spikegrad.lif(x, decay, 0.3)
    return *layer(x), jax.grad(lambda x: (layer(x)[0] * x).sum())(x)


@pytest.mark.parametrize("shape", [None, "4, b", "t, 3", "t, b"], ids=str)
def test_a_layer(shape):
    """Neurons or steps may be symbolic. With symbolic steps, the checkpoint interval is fixed."""
    spec = X if shape is None else jax.ShapeDtypeStruct(export.symbolic_shape(shape), jnp.float32)
    exported = export.export(jax.jit(layer_and_gradient), disabled_checks=CHECKS)(spec, np.float32(0.9))
    assert exported.mlir_module().count("custom_call @spikegrad.lif") == 3
    again = export.deserialize(exported.serialize())
    sizes = {None: [(4, 3)], "4, b": [(4, 1), (4, 70)], "t, 3": [(1, 3), (100, 3)], "t, b": [(33, 5), (2, 2)]}[shape]
    for size in sizes:
        x = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)
        expected = jax.jit(layer_and_gradient)(x, np.float32(0.9))
        for actual, wanted in zip(again.call(x, np.float32(0.9)), expected, strict=True):
            np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize(
    "shape, spec", [("t, 8", P("i")), ("t, 8", P(None, "i")), ("t, n", P("i")), ("8, n", P(None, "i"))]
)
def test_a_symbolic_layer_that_is_sharded(shape, spec, on_cpu):
    """The current must be gathered over time. Otherwise each part would start with v0, silently."""
    of_shape = jax.ShapeDtypeStruct(export.symbolic_shape(shape), jnp.float32)
    to_cpu = export.export(jax.jit(layer_and_gradient), platforms=("cpu",), disabled_checks=CHECKS)
    exported = to_cpu(of_shape, np.float32(0.9))
    x = np.random.default_rng(0).uniform(-1, 1, (8, 8)).astype(np.float32)
    mesh = jax.make_mesh((2,), ("i",), devices=jax.devices("cpu")[:2])  # a machine may have one GPU
    sharded = jax.device_put(x, NamedSharding(mesh, spec))
    expected = jax.jit(layer_and_gradient)(x, np.float32(0.9))
    for actual, wanted in zip(jax.jit(exported.call)(sharded, np.float32(0.9)), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_symbolic_steps_and_a_checkpoint_that_is_far():
    """An interval beyond the steps means one checkpoint, at the start. jax counts checkpoints in int32."""
    gradient = lambda every: jax.grad(lambda x: (spikegrad.lif(x, 0.9, 0.3, checkpoint_every=every)[0] * x).sum())
    spec = jax.ShapeDtypeStruct(export.symbolic_shape("t, 3"), jnp.float32)
    exported = export.export(jax.jit(gradient(2**30)), disabled_checks=CHECKS)(spec)
    np.testing.assert_array_equal(exported.call(X), jax.jit(gradient(1))(X))
    with pytest.raises(
        ValueError, match=r"checkpoint_every must be at most 1073741824 where .* symbolic, and is 1073741825"
    ):
        export.export(jax.jit(gradient(2**30 + 1)), disabled_checks=CHECKS)(spec)


def test_a_layer_elsewhere_is_a_scan():
    x = np.concatenate([X, X])  # too many steps for an unrolled layer
    text = export.export(jax.jit(layer_and_gradient), platforms=("tpu",))(x, np.float32(0.9)).mlir_module()
    assert "custom_call @spikegrad" not in text
    assert "stablehlo.while" in text
