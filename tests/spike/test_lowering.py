"""The calls in the lowered StableHLO, for every platform that has kernels. Lowering for a GPU needs no GPU.

In a program for one device the arrays keep their shape. In a program for several devices the arrays have an additional
last dimension of size 1, and the calls have attributes for the partitioners.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest
import spikegrad
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from requirements import needs_cuda_module
from spikegrad import ffi_targets
from spikegrad.primitives.spike_derivative import spike_derivative

pytestmark = [pytest.mark.host_only, pytest.mark.usefixtures("kernels_called")]

CALL = re.compile(r"stablehlo.custom_call @(spikegrad\S+?)\((.*?)\) \{(.*)\} : \((.*?)\) -> \(?([^()]+)\)?")
ABOUT_SHARDING = re.compile("num_batch_dims|sdy")
ELEMENT = {jnp.float16: "f16", jnp.bfloat16: "bf16", jnp.float32: "f32", jnp.float64: "f64"}

platforms = pytest.mark.parametrize("platform", ["cpu", pytest.param("cuda", marks=needs_cuda_module)])


@pytest.fixture(params=[1, 8], ids=["one device", "eight devices"])
def devices(request):
    return request.param


def calls(f, *args, platform, devices=1):
    """(target, attributes, operand types, result types) of each spikegrad call."""
    mesh = jax.make_mesh((devices,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices("cpu")[:devices])
    sharding = NamedSharding(mesh, P()) if devices > 1 else None
    placed = [jax.device_put(arg, sharding) for arg in args]
    text = jax.jit(f).trace(*placed).lower(lowering_platforms=(platform,)).as_text()
    return [(m[1], m[3], m[4].split(", "), m[5]) for m in map(CALL.search, text.splitlines()) if m]


@platforms
@pytest.mark.parametrize("dtype", ELEMENT, ids=lambda d: d.__name__)
def test_the_forward(case, platform, devices, dtype, x64):
    x = jnp.zeros((4, 3), dtype)
    ((target, attributes, operands, result),) = calls(case.make(), x, platform=platform, devices=devices)
    assert target == "spikegrad.heaviside.v1"
    if devices == 1:
        assert operands == [result] == [f"tensor<4x3x{ELEMENT[dtype]}>"]
        assert "operand_layouts = [dense<[1, 0]> : tensor<2xindex>]" in attributes
        assert not ABOUT_SHARDING.search(attributes)
        return
    assert operands == [result] == [f"tensor<4x3x1x{ELEMENT[dtype]}>"]
    assert "operand_layouts = [dense<[2, 1, 0]> : tensor<3xindex>]" in attributes
    assert "result_layouts = [dense<[2, 1, 0]> : tensor<3xindex>]" in attributes
    assert 'num_batch_dims = "2"' in attributes
    assert "#sdy.op_sharding_rule<([i, j, k])->([i, j, k]) {i=4, j=3, k=1}, custom>" in attributes


@platforms
@pytest.mark.parametrize("order", [0, 3])
@pytest.mark.parametrize("scalar_t", [False, True])
@pytest.mark.parametrize("dtype", ELEMENT, ids=lambda d: d.__name__)
def test_a_derivative(case, platform, devices, dtype, scalar_t, order, x64):
    x = jnp.zeros((4, 3), dtype)
    t = jnp.ones((), dtype) if scalar_t else x
    parameters = case.operands(x)
    f = partial(spike_derivative, family=case.family, order=order)
    ((target, attributes, operands, result),) = calls(f, x, t, *parameters, platform=platform, devices=devices)
    element = ELEMENT[dtype]
    assert target == f"spikegrad.{case.family}.v1"
    unit = "1x" if devices > 1 else ""
    array, scalar = f"tensor<4x3x{unit}{element}>", f"tensor<{element}>"
    assert result == array
    parameter = f"tensor<{'f64' if dtype == jnp.float64 else 'f32'}>"
    assert operands == [array, scalar if scalar_t else array, *[parameter] * len(parameters)]
    assert f"mhlo.backend_config = {{order = {order} : i64}}" in attributes
    if devices == 1:
        assert not ABOUT_SHARDING.search(attributes)
        return
    assert 'num_batch_dims = "2"' in attributes
    # The dimensions of every array are factors, in the order of x's dimensions. Scalars have none.
    arrays = attributes.count("dense<[2, 1, 0]> : tensor<3xindex>")
    assert arrays == (2 if scalar_t else 3)
    rule = re.search(r"#sdy.op_sharding_rule<\((.*)\)->\((.*)\) \{(.*)\}, custom>", attributes)
    whole = "[i, j, k]"
    assert rule[1].split("], [") == ", ".join([whole, "[]" if scalar_t else whole, *["[]"] * len(parameters)]).split(
        "], ["
    )
    assert (rule[2], rule[3]) == (whole, "i=4, j=3, k=1")


@platforms
@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("dtype", ELEMENT, ids=lambda d: d.__name__)
def test_lif_and_its_cotangent(case, platform, devices, dtype, scalar, x64):
    wide = jnp.float64 if dtype == jnp.float64 else jnp.float32
    current, state = jnp.zeros((5, 4, 3), dtype), jnp.zeros(() if scalar else (4, 3), wide)
    v_bar = jnp.zeros((4, 3), wide)

    def f(current, decay, v0, spikes_bar, v_bar):
        layer = partial(spikegrad.lif, threshold=1.0, reset="zero", step_order="fire_charge", surrogate=case.make())
        return jax.vjp(lambda c, d, v: layer(c, d, v0=v), current, decay, v0)[1]((spikes_bar, v_bar))

    found = calls(f, current, state, state, current, v_bar, platform=platform, devices=devices)
    assert [call[0] for call in found] == ["spikegrad.lif.v2", f"spikegrad.lif_cotangent.{case.family}.v2"]
    element, number = ELEMENT[dtype], ELEMENT[wide]
    unit = "1x" if devices > 1 else ""
    over_time, one = f"tensor<5x4x3x{unit}{element}>", f"tensor<{number}>"
    state, checkpoints = f"tensor<1x4x3x{unit}{number}>", f"tensor<3x4x3x{unit}{number}>"
    decay = one if scalar else state
    (_, forward, operands, results), (_, backward, of_cotangent, from_cotangent) = found
    assert operands == [over_time, decay, one, decay]
    assert results == f"{over_time}, {state}, {checkpoints}"
    parameters = [one] * len(case.operands(current))
    membrane_bar = f"tensor<{element}>"
    assert of_cotangent == [over_time, decay, one, checkpoints, over_time, state, membrane_bar, *parameters]
    assert from_cotangent == ", ".join([over_time, state, state, state])
    numbers = {"axis": 0, "detach_reset": 0, "every": 2, "reset": 2, "step_order": 2, "steps": 5}
    attributes = ", ".join(f"{name} = {number} : i64" for name, number in numbers.items())
    for text in (forward, backward):
        assert f"mhlo.backend_config = {{{attributes}}}" in text
        if devices == 1:
            assert not ABOUT_SHARDING.search(text)
            continue
        assert 'num_batch_dims = "3"' in text
        # All arrays are row-major. The empty layout belongs to the scalars.
        assert set(re.findall(r"dense<[^>]*> : tensor<\dxindex>", text)) == {
            "dense<[3, 2, 1, 0]> : tensor<4xindex>",
            "dense<> : tensor<0xindex>",
        }
        assert "{i=5, j=4, k=3, l=1, m=1, n=3}, custom>" in text


@platforms
def test_lif_in_forward_mode(case, platform):
    current = jnp.zeros((5, 4, 3))
    f = partial(spikegrad.lif, decay=0.9, threshold=1.0, surrogate=case.make())
    targets = [call[0] for call in calls(lambda x, t: jax.jvp(f, (x,), (t,)), current, current, platform=platform)]
    assert targets == ["spikegrad.lif.v2", f"spikegrad.lif_tangent.{case.family}.v3"]


@platforms
def test_rank_0(case, platform, devices):
    x = jnp.zeros(())
    ((_, attributes, operands, result),) = calls(case.make(), x, platform=platform, devices=devices)
    assert operands == [result] == [f"tensor<{'1x' if devices > 1 else ''}f32>"]
    assert ('num_batch_dims = "0"' in attributes) == (devices > 1)


@platforms
def test_the_fused_form_where_it_belongs(case, platform, x64):
    spike = case.make()
    x = jnp.zeros((4, 3))
    assert not calls(spike, x.astype(jnp.float8_e4m3fn), platform=platform)
    assert not calls(spike.surrogate_fun, x, platform=platform)
    with spikegrad.kernels(False):
        assert not calls(spike, x, platform=platform)
    name, value = next(iter(case.parameters.items()))
    array = {**case.parameters, name: jnp.full((4, 3), value)}
    assert not calls(case.surrogate(**array).surrogate_grad, x, platform=platform)
    layer = partial(spikegrad.lif, decay=0.9, threshold=1.0, surrogate=spike)
    assert not any("lif" in call[0] for call in calls(layer, x.astype(jnp.float8_e4m3fn), platform=platform))
    with spikegrad.kernels(False):
        assert not calls(layer, x, platform=platform)


@platforms
def test_batched_calls(case, platform):
    """No broadcast: if x and t are mapped there is one batched call, and one unbatched call if only one is."""
    pullback = lambda x, t: jax.vjp(case.make(), x)[1](t)[0]
    x = jnp.zeros((5, 4, 3))
    ((_, _, operands, _),) = calls(jax.vmap(pullback), x, x, platform=platform)
    assert operands[:2] == ["tensor<5x4x3xf32>"] * 2
    ((_, _, operands, _),) = calls(jax.vmap(pullback, (None, 0)), x[0], x, platform=platform)
    assert operands[:2] == ["tensor<4x3xf32>", "tensor<f32>"]


@needs_cuda_module
def test_one_program_for_both_platforms(case):
    checks = [export.DisabledSafetyCheck.custom_call(name) for name in spikegrad.FFI_TARGETS]
    exported = export.export(jax.jit(case.make()), platforms=("cpu", "cuda"), disabled_checks=checks)(jnp.zeros(3))
    assert exported.platforms == ("cpu", "cuda")
    assert exported.mlir_module().count("custom_call @spikegrad.heaviside.v1") == 2


@needs_cuda_module
def test_the_cuda_module_has_both_stages_of_every_target():
    stages = ffi_targets.CUDA.targets()
    assert tuple(sorted(stages)) == spikegrad.FFI_TARGETS
    assert all(set(found) == {"initialize", "execute"} for found in stages.values())
