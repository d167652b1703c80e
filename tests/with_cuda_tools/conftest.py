"""CUDA's plugin for jax, without a GPU: XLA compiles for one that is described to it."""

import os
import tempfile
from pathlib import Path

# All read when the plugin is loaded, before anybody imports jax.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
DUMP = Path(tempfile.mkdtemp(prefix="spikegrad-hlo-"))
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + f" --xla_dump_to={DUMP}"

import shutil

import pytest


@pytest.fixture(scope="session")
def dump():
    """Where XLA writes what it compiles."""
    yield DUMP
    shutil.rmtree(DUMP, ignore_errors=True)
