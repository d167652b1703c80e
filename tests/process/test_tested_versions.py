"""An incompatible jaxlib raises an error before anything is registered, and an untested one warns."""

import subprocess
import sys

import jaxlib
import pytest
from spikegrad.tested_versions import check_jaxlib, running_ffi_api

pytestmark = pytest.mark.host_only


@pytest.mark.parametrize("version", ["0.8.0", "0.8.3", "0.9.0.1", "0.10.2", "0.12.0.1", "0.12.99"])
def test_versions_that_fit(version):
    check_jaxlib("0.8.0", (0, 1), version)


@pytest.mark.parametrize("version", ["0.7.2", "0.4.38"])
@pytest.mark.parametrize("headers", ["0.8.0", "0.7.2"])  # the Python code needs 0.8.0 itself
def test_versions_that_are_too_old(version, headers):
    with pytest.raises(ImportError, match=rf'found jaxlib {version}.*pip install "jax>=0.8.0"'):
        check_jaxlib(headers, (0, 1), version)


@pytest.mark.parametrize("version", ["0.13.0", "1.0.0", "0.13.0.dev20270101"])
@pytest.mark.parametrize("running", [(0, 1), (0, 3), None])
def test_untested_versions_warn(version, running):
    with pytest.warns(UserWarning, match=rf'found jaxlib {version}.*pip install "jax<0.13.0"'):
        check_jaxlib("0.8.0", (0, 1), version, running)


@pytest.mark.parametrize("running", [(1, 0), (1, 1), (0, 0)])
def test_another_ffi_is_refused(running):
    with pytest.raises(
        ImportError, match=rf"version 0.1 of XLA's FFI, and jaxlib 1.0.0 has version {running[0]}.{running[1]}"
    ):
        check_jaxlib("0.8.0", (0, 1), "1.0.0", running)


def test_newer_headers_need_a_newer_jaxlib():
    """A wheel that CPython 3.15 built has newer headers, and older Pythons can install it."""
    for version in ("0.11.1", "0.11.2", "0.12.0.1"):
        check_jaxlib("0.11.1", (0, 1), version)
    for version in ("0.8.0", "0.10.2", "0.11.0"):
        with pytest.raises(ImportError, match=rf'jaxlib 0.11.1\..*found jaxlib {version}.*"jax>=0.11.1"'):
            check_jaxlib("0.11.1", (0, 1), version)


def test_the_ffi_of_the_installed_jaxlib():
    """jaxlib 0.8.0 has version 0.1 and 0.10.2 has 0.3, by their headers."""
    known = {"0.8.0": (0, 1), "0.10.2": (0, 3)}
    assert running_ffi_api() == known.get(jaxlib.__version__, running_ffi_api())
    assert running_ffi_api() >= (0, 1)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "wrong, found",
    [
        ("import jaxlib; jaxlib.__version__ = '0.7.2'", "0.7.2"),
        # A module built with newer headers. It has no targets: the version check must come before any access to them.
        (
            "import sys, types, jaxlib; jaxlib.__version__ = '0.8.0'; "
            "sys.modules['spikegrad._cpu'] = types.SimpleNamespace(jaxlib_of_headers='0.11.1', ffi_api_version=(0, 1))",
            "0.8.0",
        ),
    ],
)
def test_an_import_under_a_wrong_jaxlib_fails_and_leaves_jax_working(wrong, found):
    code = f"""
{wrong}
try:
    import spikegrad
except ImportError as error:
    assert "found jaxlib {found}" in str(error), error
else:
    raise AssertionError("imported")
import jax
assert jax.numpy.ones(3).sum() == 3
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


NEWER = "import jaxlib; jaxlib.__version__ = '0.13.0'"


def test_an_untested_jaxlib_warns_and_works():
    result = run(f"{NEWER}; import spikegrad, jax; print(jax.grad(spikegrad.gaussian_grad)(0.0))")
    assert result.stdout == "0.3989423\n", result.stderr
    assert result.stderr.count("found jaxlib 0.13.0") == 1


def test_an_untested_jaxlib_that_lacks_a_name_says_what_broke():
    result = run(f"{NEWER}; import jax.interpreters.ad as ad; del ad.primitive_jvps; import spikegrad")
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert "does not work with jaxlib 0.13.0" in last
    assert "primitive_jvps" in last
    assert 'pip install "jax<0.13.0"' in last
