"""Builds for the tests of this folder: commands, Python and environment variables."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / os.environ["SPIKEGRAD_BUILD_PYTHON"]  # set by the Makefile: a Python with build-system.requires


def build_environment(**variables):
    """The environment, without any variable that sets compiler flags, plus these variables."""
    taken = {name: value for name, value in os.environ.items() if not name.startswith(("CMAKE_", "NVCC_", "SKBUILD_"))}
    for name in ("CXX", "CPPFLAGS", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDAFLAGS"):
        taken.pop(name, None)
    # Use cmake and ninja from the build environment.
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
    """The command that builds a wheel without CUDA, offline."""
    command = [PYTHON, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-build-isolation", "--no-deps"]
    return [*command, "--no-index", "--wheel-dir", folder, "-Ccmake.define.SPIKEGRAD_CUDA=OFF", *settings, source]
