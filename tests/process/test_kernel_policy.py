"""The kernel policy: the form of a program, and no stale program after a change of policy."""

import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad
from requirements import needs_cuda_module
from spikegrad import GaussianGrad, fused, lif
from spikegrad.kernel_policy import ANY, AUTO, NEVER, Sizes, calls_kernel

pytestmark = pytest.mark.host_only

LARGE = 100_000
POLICIES = ("auto", True, False)


def derivative(x):
    return jax.grad(lambda x: GaussianGrad()(x).sum())(x)


def uses_kernels(size=LARGE):
    """Whether a derivative of this size uses a kernel under the current policy."""
    return "spikegrad." in jax.jit(derivative).lower(jnp.ones(size)).as_text()


@pytest.fixture(autouse=True)
def put_back():
    yield
    spikegrad.use_kernels("auto")


def test_auto_by_default_and_another_policy_for_a_block():
    assert uses_kernels() and not uses_kernels(3)
    with spikegrad.kernels(False):
        assert not uses_kernels()
        with spikegrad.kernels(True):
            assert uses_kernels(3)
            with spikegrad.kernels("auto"):
                assert uses_kernels() and not uses_kernels(3)
        assert not uses_kernels()
    assert uses_kernels() and not uses_kernels(3)


def test_for_the_process_and_in_every_thread():
    spikegrad.use_kernels(False)
    seen = [uses_kernels()]
    thread = threading.Thread(target=lambda: seen.append(uses_kernels()))
    thread.start()
    thread.join()
    assert seen == [False, False]
    with spikegrad.kernels(True):
        assert uses_kernels(3)
    assert not uses_kernels()
    spikegrad.use_kernels("auto")
    assert uses_kernels() and not uses_kernels(3)


@pytest.mark.parametrize("for_process", [True, False], ids=["process", "block"])
def test_a_function_that_is_compiled_already_is_compiled_again(for_process, on_cpu):
    traces = []

    @jax.jit
    def f(x):
        traces.append(x)
        return derivative(x)

    x = jnp.float32(6.9)  # g is subnormal here, and only the kernel keeps it
    for policy in (True, False, "auto", True, False, "auto"):
        if for_process:
            spikegrad.use_kernels(policy)
            assert (float(f(x)) != 0) == (policy is True)
        else:
            with spikegrad.kernels(policy):
                assert (float(f(x)) != 0) == (policy is True)
    assert len(traces) == 3


def test_a_backward_pass_keeps_what_its_forward_pass_was_traced_with(on_cpu):
    with spikegrad.kernels(False):
        _, pullback = jax.vjp(GaussianGrad(), jnp.float32(6.9))
    with spikegrad.kernels(True):
        assert float(pullback(jnp.float32(1))[0]) == 0


@pytest.mark.parametrize("call", [spikegrad.use_kernels, spikegrad.kernels])
@pytest.mark.parametrize("policy", [0, 1, None, "off", np.True_, np.ones(2)])
def test_a_policy_is_one_of_three(call, policy):
    with pytest.raises(ValueError, match='policy must be "auto", True or False, and is'):
        call(policy)


@pytest.mark.parametrize("value, expected", [("0", [False] * 2), ("1", [True] * 2), ("auto", [True, False])])
def test_environment_variable(value, expected):
    code = (
        "import jax, jax.numpy as jnp, spikegrad; g = spikegrad.GaussianGrad().surrogate_grad; "
        f"print(['spikegrad.' in jax.jit(g).lower(jnp.ones(n)).as_text() for n in ({LARGE}, 3)])"
    )
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "SPIKEGRAD_KERNELS": value}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert out.stdout.strip() == str(expected), out.stderr


def test_a_bad_environment_variable_says_so():
    environment = {**os.environ, "SPIKEGRAD_KERNELS": "yes"}
    out = subprocess.run(
        [sys.executable, "-c", "import spikegrad"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert out.returncode != 0 and "SPIKEGRAD_KERNELS must be auto, 1 or 0, and is 'yes'" in out.stderr


platforms = pytest.mark.parametrize("platform", ["cpu", pytest.param("cuda", marks=needs_cuda_module)])


def targets_in(f, *operands, platform):
    """The FFI targets of spikegrad's calls in the lowered program."""
    with jax.enable_x64(True):
        text = jax.jit(f).trace(*operands).lower(lowering_platforms=(platform,)).as_text()
    return {line.split("(")[0] for line in text.split("stablehlo.custom_call @spikegrad.")[1:]}


# For each dtype, shapes just below and just at the thresholds of "auto" on CPUs.
BELOW = {
    "float16": [(99,), (9, 111)],
    "bfloat16": [(1, 99), (3, 333)],
    "float32": [(), (99,), (1, 99, 1), (2, 2499)],
    "float64": [(15,), (5, 51)],
}
AT = {
    "float16": [(100,), (10, 100)],
    "bfloat16": [(1, 100), (10, 100)],
    "float32": [(100,), (1, 100, 1), (2, 2500)],
    "float64": [(16,), (16, 16)],
}
SHAPES = [
    (dtype, shape, calls) for calls, table in ((False, BELOW), (True, AT)) for dtype in table for shape in table[dtype]
]


@platforms
@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("dtype, shape, calls", SHAPES, ids=str)
@pytest.mark.parametrize("order", [0, 2])
def test_the_form_of_the_spike_and_its_derivatives(case, platform, policy, dtype, shape, calls, order):
    x = jax.ShapeDtypeStruct(shape, dtype)
    g = case.make().surrogate_grad
    for _ in range(order):
        g = jax.grad(lambda x, g=g: g(x).sum())
    if order and dtype in ("float16", "bfloat16") and len(shape) == 2:
        calls = shape[0] == 1 and calls  # computed in float32
    with spikegrad.kernels(policy):
        found = targets_in(g, x, platform=platform)
        assert (f"{case.family}.v1" in found) == ((calls and platform == "cpu") if policy == "auto" else policy)
        found = targets_in(case.make(), x, platform=platform)
        assert found == ({"heaviside.v1"} if policy is True else set())


@platforms
@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("steps", [1, 4, 5, 100])
@pytest.mark.parametrize("neurons", [3, LARGE])
def test_the_form_of_a_layer(platform, policy, steps, neurons):
    x = jax.ShapeDtypeStruct((steps, neurons), jnp.float32)
    few = steps <= 4 and (platform == "cuda" or steps * neurons >= 40_000)
    pull_back = lambda x: jax.vjp(lambda x: lif(x, 0.9, 1.0)[0], x)[1](x)[0]
    with spikegrad.kernels(policy):
        found = targets_in(pull_back, x, platform=platform)
        text = jax.jit(pull_back).trace(x).lower(lowering_platforms=(platform,)).as_text()
    layer = {"lif.v2", "lif_cotangent.gaussian_mixture.v2"}
    if (not few) if policy == "auto" else policy:
        assert found == layer
    else:
        assert not found & layer
        assert ("stablehlo.while" in text) == (steps > fused.UNROLLED_STEPS)


@platforms
def test_symbolic_sizes_take_the_kernel(platform):
    (size,) = jax.export.symbolic_shape("n")
    for operation in ("spike", "spike_derivative", "lif"):
        x = jax.core.ShapedArray((3, size), np.dtype(np.float32))
        assert calls_kernel("auto", platform, operation, x, steps=3 if operation == "lif" else None)
        assert not calls_kernel(False, platform, operation, x)


def test_the_table_has_a_line_for_every_operation_of_every_platform():
    any_dtype = {(p, o) for p, o, dtype in AUTO if dtype == ANY}
    assert any_dtype == {(p, o) for p in ("cpu", "cuda") for o in ("spike", "spike_derivative", "lif")}


@pytest.mark.parametrize("spike, derivative", [(Sizes(), NEVER), (NEVER, Sizes()), (Sizes(), Sizes())], ids=str)
def test_forms_mix(case, spike, derivative, monkeypatch):
    """Derivatives of every order and mode, batched and in a scan, with one or both operations as kernels."""
    for operation, sizes in (("spike", spike), ("spike_derivative", derivative)):
        for dtype in ("float32", ANY):
            monkeypatch.setitem(AUTO, ("cpu", operation, dtype), sizes)
    f = case.make()
    x = np.linspace(-2, 2, 9).astype(np.float32)
    np.testing.assert_array_equal(f(x), x >= 0)
    g = jax.grad(f)
    for order, transformed in enumerate((g, jax.grad(g), jax.jacfwd(jax.grad(g)))):
        expected = case.derivative(order, x)
        np.testing.assert_allclose(jax.jit(jax.vmap(transformed))(x), expected, rtol=1e-5, atol=1e-6)
    scanned = jax.lax.scan(lambda c, x: (c + jax.grad(f)(x), f(x)), 0.0, jnp.asarray(x))
    np.testing.assert_allclose(scanned[0], case.derivative(0, x).sum(), rtol=1e-5)
    np.testing.assert_array_equal(scanned[1], x >= 0)
