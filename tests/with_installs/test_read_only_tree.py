"""A wheel builds from a read-only source tree, and works."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from building import ROOT, pip_wheel, run

# Without these capabilities root can't write to read-only folders.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

CALL = """
import sys
import jax, numpy as np, spikegrad
assert spikegrad.__file__.startswith(sys.argv[1])
with spikegrad.kernels(True):
    spike = spikegrad.GaussianGrad()
    assert spike(0.0) == 1
    np.testing.assert_allclose(jax.grad(spike)(0.0), 1 / np.sqrt(2 * np.pi), rtol=1e-6)
assert np.float32(1e-40) * np.float32(1) > 0, "the import flushes subnormals"
"""


@pytest.fixture
def read_only_tree(tmp_path):
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns(".*", "build", "out", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=ignored)
    paths = [tree, *tree.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    yield tree
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)


def test_a_wheel_from_a_read_only_tree(read_only_tree, tmp_path):
    assert run([*UNPRIVILEGED, "mkdir", read_only_tree / "build"]).returncode != 0
    result = run([*UNPRIVILEGED, *pip_wheel(read_only_tree, tmp_path / "wheel")])
    assert result.returncode == 0, result.stdout
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    subprocess.run([sys.executable, "-c", CALL, str(site)], check=True, env=environment, cwd=tmp_path, timeout=120)
    assert not list(Path(read_only_tree).glob("build"))
