"""The switch is part of every jit key: nothing that was traced before it changed goes stale."""

import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import pytest
import spikegrad
from spikegrad import GaussianGrad


def uses_kernels(f=None):
    return "spikegrad." in jax.jit(f or (lambda x: GaussianGrad()(x))).lower(jnp.ones(3)).as_text()


@pytest.fixture(autouse=True)
def put_back():
    yield
    spikegrad.use_kernels(True)


def test_on_by_default_and_off_for_a_block():
    assert uses_kernels()
    with spikegrad.kernels(False):
        assert not uses_kernels()
        with spikegrad.kernels(True):
            assert uses_kernels()
        assert not uses_kernels()
    assert uses_kernels()


def test_for_the_process_and_in_every_thread():
    spikegrad.use_kernels(False)
    seen = [uses_kernels()]
    thread = threading.Thread(target=lambda: seen.append(uses_kernels()))
    thread.start()
    thread.join()
    assert seen == [False, False]
    with spikegrad.kernels(True):
        assert uses_kernels()
    assert not uses_kernels()
    spikegrad.use_kernels(True)
    assert uses_kernels()


@pytest.mark.parametrize("set_flag", [lambda flag: spikegrad.use_kernels(flag), None], ids=["process", "block"])
def test_a_function_that_is_compiled_already_is_compiled_anew(set_flag, on_cpu):
    traces = []

    @jax.jit
    def f(x):
        traces.append(x)
        return jax.grad(lambda x: GaussianGrad()(x).sum())(x)

    x = jnp.float32(6.9)  # where only the kernel keeps the subnormal
    flags = [True, False, True, False]
    for flag in flags:
        if set_flag:
            set_flag(flag)
            assert (float(f(x)) != 0) == flag
        else:
            with spikegrad.kernels(flag):
                assert (float(f(x)) != 0) == flag
    assert len(traces) == 2


def test_a_backward_pass_keeps_what_its_forward_pass_was_traced_with(on_cpu):
    with spikegrad.kernels(False):
        _, pullback = jax.vjp(GaussianGrad(), jnp.float32(6.9))
    assert float(pullback(jnp.float32(1))[0]) == 0


@pytest.mark.parametrize("call", [spikegrad.use_kernels, spikegrad.kernels])
@pytest.mark.parametrize("flag", [0, 1, None, "off"])
def test_the_flag_is_a_bool(call, flag):
    with pytest.raises(TypeError, match="flag must be True or False, and is"):
        call(flag)


@pytest.mark.parametrize("value, expected", [("0", "False"), ("1", "True")])
def test_environment_variable(value, expected):
    code = "import jax, spikegrad; print('spikegrad.' in jax.jit(spikegrad.GaussianGrad()).lower(1.0).as_text())"
    environment = {**os.environ, "SPIKEGRAD_KERNELS": value}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert out.stdout.strip() == expected, out.stderr


def test_a_bad_environment_variable_says_so():
    environment = {**os.environ, "SPIKEGRAD_KERNELS": "yes"}
    out = subprocess.run(
        [sys.executable, "-c", "import spikegrad"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert out.returncode != 0 and "SPIKEGRAD_KERNELS must be 0 or 1, and is 'yes'" in out.stderr
