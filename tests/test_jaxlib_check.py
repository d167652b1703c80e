"""An incompatible jaxlib is told before anything is registered, with what to install."""

import subprocess
import sys

import pytest
from spikegrad.jax_versions import check_jaxlib


@pytest.mark.parametrize("version", ["0.8.0", "0.8.3", "0.9.0.1", "0.10.2", "0.12.0.1", "0.12.99"])
def test_versions_that_fit(version):
    check_jaxlib(version)


@pytest.mark.parametrize("version", ["0.7.2", "0.4.38", "0.13.0", "1.0.0", "0.13.0.dev20270101"])
def test_versions_that_do_not(version):
    with pytest.raises(ImportError, match=rf'found jaxlib {version}.*pip install "jax>=0.8.0,<0.13.0"'):
        check_jaxlib(version)


def test_an_import_under_a_wrong_jaxlib_fails_and_leaves_jax_working():
    code = """
import jaxlib
jaxlib.__version__ = "0.7.2"
try:
    import spikegrad
except ImportError as error:
    assert "found jaxlib 0.7.2" in str(error)
else:
    raise AssertionError("imported")
import jax
assert jax.numpy.ones(3).sum() == 3
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
