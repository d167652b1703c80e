"""The builds that the tests of this folder run: the Python that builds, and its environment."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / os.environ["SPIKEGRAD_BUILD_PYTHON"]  # the Makefile sets it: a Python with build-system.requires


def build_environment(**variables):
    """The environment, with these variables in place of every variable that brings compiler flags."""
    taken = {name: value for name, value in os.environ.items() if not name.startswith(("CMAKE_", "NVCC_", "SKBUILD_"))}
    for name in ("CXX", "CPPFLAGS", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDAFLAGS"):
        taken.pop(name, None)
    # cmake and ninja of the environment that builds.
    return {**taken, "PATH": f"{PYTHON.parent}{os.pathsep}{taken['PATH']}", **variables}


def run(command, **variables):
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=build_environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


def pip_wheel(source, folder, *settings):
    """The command that builds a wheel without CUDA, and without the network."""
    command = [PYTHON, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-build-isolation", "--no-deps"]
    return [*command, "--no-index", "--wheel-dir", folder, "-Ccmake.define.SPIKEGRAD_CUDA=OFF", *settings, source]
