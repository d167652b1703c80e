"""XLA:GPU dumps its compiled programs."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Read once, when the first compilation loads the plugin.
DUMP = Path(tempfile.mkdtemp(prefix="spikegrad-hlo-"))
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + f" --xla_dump_to={DUMP}"


@pytest.fixture(scope="session")
def dump():
    """The folder of the dump."""
    yield DUMP
    shutil.rmtree(DUMP, ignore_errors=True)
