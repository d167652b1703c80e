"""XLA:GPU writes down what it compiles."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Read when the plugin is loaded, by the first thing that is compiled.
DUMP = Path(tempfile.mkdtemp(prefix="spikegrad-hlo-"))
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + f" --xla_dump_to={DUMP}"


@pytest.fixture(scope="session")
def dump():
    """The folder that it writes to."""
    yield DUMP
    shutil.rmtree(DUMP, ignore_errors=True)
