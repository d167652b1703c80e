"""XLA:GPU compiles for four simulated H100s. The programs contain spikegrad's calls and no collectives."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from jax import lax
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from spikegrad import ffi_targets

# An H100 SXM5, 80 GB, from its data sheet. Without the versions, XLA assumes a driver that cannot capture graphs.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132  fpus_per_core: 128  clock_rate_ghz: 1.98
  threads_per_warp: 32  threads_per_block_limit: 1024  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  shared_memory_per_core: 233472  shared_memory_per_block: 49152  shared_memory_per_block_optin: 232448
  l2_cache_size: 52428800  device_memory_size: 85899345920  memory_bandwidth: 3352000000000
  driver_version: "13.0.0"  runtime_version: "13.0.0"  compile_time_toolkit_version: "13.0.0"
}
platform_name: "CUDA"  device_description_str: "NVIDIA H100"
runtime_version { major: 13 }  dnn_version_info { major: 9 minor: 12 }
"""
COLLECTIVE = re.compile(
    r" (all-gather|all-reduce|all-to-all|collective-permute|collective-broadcast|reduce-scatter)(?:-start)?\("
)
pytestmark = pytest.mark.usefixtures("kernels_called")

SPECS = [P("i"), P(None, "i"), P("i", "j"), P(("i", "j")), P(None, ("j", "i"))]


@pytest.fixture(scope="module")
def devices():
    # Slices, hosts in each, GPUs in each.
    return topologies.get_topology_desc(platform="cuda", target_config=H100, topology="1x1x4").devices


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=str)
def mesh(request, devices):
    return Mesh(np.array(devices).reshape(2, 2), ("i", "j"), axis_types=(request.param,) * 2)


def compiled(f, *args):
    return jax.jit(f).lower(*args).compile().as_text()


def array(mesh, spec, shape=(1024, 64), dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))


def calls(text):
    return re.findall(r'custom_call_target="([^"]+)"', text)


def pullback(spike, x, t):
    return jax.vjp(spike, x)[1](t)[0]


def second(spike, x, t):
    return jax.jvp(partial(pullback, spike), (x, t), (x, t))[1]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_sharded_without_collectives(case, mesh, spec):
    spike, x = case.make(), array(mesh, spec)
    derivative = f"spikegrad.{case.family}.v1"
    for f, count, expected in (
        (spike, 1, {"spikegrad.heaviside.v1"}),
        (partial(pullback, spike), 2, {derivative}),
        (partial(second, spike), 2, {derivative}),
    ):
        text = compiled(f, *[x] * count)
        assert set(calls(text)) == expected
        assert not COLLECTIVE.search(text), COLLECTIVE.findall(text)
        assert not re.search(r"= \S+ (copy|transpose)\(", text)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_shard_map(case, devices, spec):
    m = Mesh(np.array(devices).reshape(2, 2), ("i", "j"))
    mapped = jax.shard_map(partial(pullback, case.make()), mesh=m, in_specs=(spec, spec), out_specs=spec)
    text = compiled(mapped, array(m, spec), array(m, spec))
    assert calls(text) == [f"spikegrad.{case.family}.v1"]
    assert not COLLECTIVE.search(text)


def test_a_call_that_says_nothing_of_its_sharding_is_gathered(devices):
    """A control: without sharding attributes XLA gathers, so the tests above can fail."""
    m = Mesh(np.array(devices).reshape(2, 2), ("i", "j"))
    jax.ffi.register_ffi_target("control.heaviside.v1", ffi_targets.CUDA.targets()["spikegrad.heaviside.v1"], "CUDA")

    def plain(x):
        return jax.ffi.ffi_call("control.heaviside.v1", jax.ShapeDtypeStruct(x.shape, x.dtype))(x)

    assert COLLECTIVE.search(compiled(plain, array(m, P("i", "j"))))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32], ids=lambda d: d.__name__)
def test_a_training_step(case, devices, dtype):
    """A recurrent layer and its gradient, sharded over the batch: spikegrad's calls and a single all-reduce."""
    spike = case.make()
    m = Mesh(np.array(devices), ("batch",))

    def loss(weight, currents):
        def step(v, current):
            u = 0.9 * v + current @ weight
            s = spike(u - 1)
            return u - s, s

        _, spikes = lax.scan(step, jnp.zeros(currents.shape[1:], dtype), currents)
        return spikes.astype(jnp.float32).mean()

    weight = array(m, P(), (64, 64), dtype)
    currents = array(m, P(None, "batch"), (10, 32, 64), dtype)
    text = compiled(jax.value_and_grad(loss), weight, currents)
    assert (
        set(ffi_targets.FFI_TARGETS)
        >= {c for c in calls(text) if c.startswith("spikegrad")}
        == {
            "spikegrad.heaviside.v1",
            f"spikegrad.{case.family}.v1",
        }
    )
    assert set(COLLECTIVE.findall(text)) <= {"all-reduce"}
    # The part of each device: 8 of 32.
    assert "[8,64,1]{2,1,0} custom-call" in text


@pytest.fixture
def captured(dump):
    """A function that compiles, and returns for each spikegrad call whether it is part of a CUDA graph."""

    def run(f, *args):
        before = set(dump.iterdir())
        compiled(f, *args)
        written = (path for path in set(dump.iterdir()) - before if "thunk_sequence_after" in path.name)
        graph, found = None, []
        for indent, kind in re.findall(r"^( *)\d+: (\w+)", "".join(path.read_text() for path in written), re.MULTILINE):
            if graph is not None and len(indent) <= graph:
                graph = None
            if kind == "kCommandBuffer":
                graph = len(indent)
            if kind == "kCustomCall":
                found.append(graph is not None)
        return found

    return run


def test_calls_are_captured_in_cuda_graphs(case, devices, captured):
    """Calls are captured because the handlers are registered with the trait for command buffers."""
    spike = case.make()

    def five_in_a_row(x):
        for _ in range(5):
            x = pullback(spike, x * 2, x)
        return x

    assert captured(five_in_a_row, array(Mesh(np.array(devices), ("i",)), P("i"))) == [True] * 5


def test_float64(case, devices, x64):
    m = Mesh(np.array(devices), ("i",))
    text = compiled(partial(pullback, case.make()), *[array(m, P("i"), dtype=jnp.float64)] * 2)
    assert "f64[256,64,1]{2,1,0} custom-call" in text
    assert calls(text) == [f"spikegrad.{case.family}.v1"]


def test_without_kernels_there_is_no_call(case, devices):
    m = Mesh(np.array(devices), ("i",))
    with spikegrad.kernels(False):
        assert not calls(compiled(partial(pullback, case.make()), *[array(m, P("i"))] * 2))


def lif_and_gradient(case, **options):
    """The layer's outputs and all its gradients, with a cotangent for each output."""

    def f(current, decay, threshold, v0, spikes_bar, v_bar):
        layer = partial(spikegrad.lif, surrogate=case.make(), **options)
        outs, pull_back = jax.vjp(lambda c, d, t, v: layer(c, d, t, v0=v), current, decay, threshold, v0)
        return outs, pull_back((spikes_bar, v_bar))

    return f


def lif_operands(mesh, spec):
    """current, decay, threshold, v0, and the cotangents of spikes and v_final."""
    current = array(mesh, spec, (32, 64, 16))
    state = array(mesh, P(*spec[1:]), (64, 16))
    return current, *[state] * 3, current, state


def of_lif(case):
    return {"spikegrad.lif.v2", f"spikegrad.lif_cotangent.{case.family}.v2"}


@pytest.mark.parametrize(
    "spec", [P(None, "i"), P(None, "i", "j"), P(None, ("i", "j")), P(None, None, ("j", "i"))], ids=str
)
@pytest.mark.parametrize("step_order", ["charge_fire_reset", "reset_undecayed"])
def test_lif_sharded_over_neurons(case, mesh, spec, step_order):
    text = compiled(lif_and_gradient(case, step_order=step_order), *lif_operands(mesh, spec))
    assert set(calls(text)) == of_lif(case)
    assert len(calls(text)) == 2
    assert not COLLECTIVE.search(text), COLLECTIVE.findall(text)
    assert not re.search(r"= \S+ (copy|transpose)\(", text)


def test_lif_sharded_over_time_is_gathered(case, devices):
    m = Mesh(np.array(devices).reshape(2, 2), ("i", "j"))
    current, *others = lif_operands(m, P("i", "j"))
    text = compiled(lif_and_gradient(case), current, *others)
    assert set(calls(text)) == of_lif(case)
    assert "all-gather" in COLLECTIVE.findall(text)
    # All steps of time, and this device's part of the neurons.
    assert re.search(r"f32\[32,32,16,1\]\S* custom-call|f32\[32,32,16,1\][^=]*\) custom-call", text)


def test_lif_forward_mode(case, mesh):
    current, decay, *_ = lif_operands(mesh, P(None, "i", "j"))
    f = partial(spikegrad.lif, threshold=1.0, surrogate=case.make())
    text = compiled(lambda x, d, t: jax.jvp(f, (x, d), (t, d)), current, decay, current)
    assert f"spikegrad.lif_tangent.{case.family}.v3" in calls(text)
    assert not COLLECTIVE.search(text)
    assert not re.search(r"= \S+ (copy|transpose)\(", text)


def test_lif_is_captured_in_cuda_graphs(case, devices, captured):
    """Three layers with gradients, because XLA needs at least five kernels for a graph."""

    def three_in_a_row(current, spikes_bar):
        def f(x):
            for _ in range(3):
                x, _ = spikegrad.lif(x, 0.9, 1.0, surrogate=case.make())
            return x

        return jax.vjp(f, current)[1](spikes_bar)

    current, *_ = lif_operands(Mesh(np.array(devices), ("i",)), P(None, "i"))
    assert captured(three_in_a_row, current, current) == [True] * 6


@pytest.mark.parametrize("steps", [4, 500])
def test_a_training_step_on_one_gpu(case, devices, captured, steps):
    """Linear + LIF: two calls on the arrays as they are, captured in CUDA graphs, without copies or transposes."""
    one = Mesh(np.array(devices[:1]), ("i",))

    def step(weights, inputs, cotangent):
        def loss(weights):
            spikes, _ = spikegrad.lif(inputs @ weights, 0.9, 1.0, surrogate=case.make())
            return (spikes * cotangent).sum()

        return weights - 0.1 * jax.grad(loss)(weights)

    operands = [array(one, P(), shape) for shape in ((64, 128), (steps, 16, 64), (steps, 16, 128))]
    # First, because jax compiles a function once, and only a compilation writes the thunks.
    found = captured(step, *operands)
    text = compiled(step, *operands)
    assert sorted(calls(text)) == sorted(of_lif(case))
    assert f"f32[{steps},16,128]{{2,1,0}}" in text
    assert not re.search(r"= \S+ (copy|transpose)\(", text)
    assert found == [True] * 2
