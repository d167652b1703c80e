"""A build uses the headers of the oldest jaxlib with a wheel for this Python."""

import re
import subprocess
import sys
import tomllib

import pytest
from building import ROOT
from packaging.requirements import Requirement
from packaging.version import Version
from requirements import is_required
from spikegrad.tested_versions import OLDEST

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")


def jaxlib_of(python):
    """The versions of jaxlib that a build on this Python requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    requirements = [Requirement(line) for line in project["build-system"]["requires"]]
    markers = {"python_version": python, "python_full_version": f"{python}.0"}
    return [
        str(r.specifier) for r in requirements if r.name == "jaxlib" and (not r.marker or r.marker.evaluate(markers))
    ]


def jaxlibs_in_registry(*options):
    """The versions of jaxlib that pip finds. Empty without a network."""
    command = [sys.executable, "-m", "pip", "index", "versions", "--retries=0", "--timeout=10", *options, "jaxlib"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"Available versions: (.*)", output)
    return [Version(version) for version in found[1].split(", ")] if found else []


@pytest.fixture(scope="module")
def registry():
    """Skip without a registry: after the first installation every make target works offline."""
    if not jaxlibs_in_registry() and not is_required("SPIKEGRAD_REQUIRE_REGISTRY"):
        pytest.skip("pip finds no jaxlib, probably without a network (SPIKEGRAD_REQUIRE_REGISTRY=1 makes this fail)")


@pytest.mark.parametrize("python", PYTHONS)
def test_one_jaxlib_for_each_python(python):
    (requirement,) = jaxlib_of(python)
    assert requirement.startswith("==")


@pytest.mark.parametrize("python", PYTHONS)
def test_it_is_the_oldest_that_has_a_wheel(python, registry):
    wheels = ["--only-binary=:all:", "--platform=manylinux_2_27_x86_64", "--platform=manylinux2014_x86_64"]
    found = jaxlibs_in_registry(*wheels, f"--python-version={python}", f"--abi=cp{python.replace('.', '')}")
    oldest = min(version for version in found if version.release >= OLDEST)
    assert jaxlib_of(python) == [f"=={oldest}"]
