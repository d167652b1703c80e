"""An incompatible jaxlib raises an error before anything is registered. The error tells what to install."""

import subprocess
import sys

import pytest
from spikegrad.jax_versions import check_jaxlib

pytestmark = pytest.mark.host_only


@pytest.mark.parametrize("version", ["0.8.0", "0.8.3", "0.9.0.1", "0.10.2", "0.12.0.1", "0.12.99"])
def test_versions_that_fit(version):
    check_jaxlib("0.8.0", version)


@pytest.mark.parametrize("version", ["0.7.2", "0.4.38", "0.13.0", "1.0.0", "0.13.0.dev20270101"])
@pytest.mark.parametrize("headers", ["0.8.0", "0.7.2"])  # the Python code needs 0.8.0 itself
def test_versions_that_do_not(version, headers):
    with pytest.raises(ImportError, match=rf'found jaxlib {version}.*pip install "jax>=0.8.0,<0.13.0"'):
        check_jaxlib(headers, version)


def test_newer_headers_need_a_newer_jaxlib():
    """A wheel that CPython 3.15 built has newer headers, and older Pythons can install it."""
    for version in ("0.11.1", "0.11.2", "0.12.0.1"):
        check_jaxlib("0.11.1", version)
    for version in ("0.8.0", "0.10.2", "0.11.0"):
        with pytest.raises(ImportError, match=rf'jaxlib 0.11.1\..*found jaxlib {version}.*"jax>=0.11.1,<0.13.0"'):
            check_jaxlib("0.11.1", version)


@pytest.mark.parametrize(
    "wrong, found",
    [
        ("import jaxlib; jaxlib.__version__ = '0.7.2'", "0.7.2"),
        # A module built with newer headers. It has no targets: the version check must come before any access to them.
        (
            "import sys, types, jaxlib; jaxlib.__version__ = '0.8.0'; "
            "sys.modules['spikegrad._cpu'] = types.SimpleNamespace(jaxlib_of_headers='0.11.1')",
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
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
