"""The instruction sets that the CPU module finds are the ones that the operating system reports."""

import platform
from pathlib import Path

import pytest
import spikegrad_scalar as scalar

NEEDED = {
    "avx512": {"avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512bw", "avx512dq"},
    "avx2": {"avx2", "fma", "f16c"},
    "baseline": set(),
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have the baseline only")
def test_the_instruction_sets_of_this_processor():
    """Linux lists only the features whose registers it saves."""
    text = Path("/proc/cpuinfo").read_text()
    (flags,) = {line for line in text.splitlines() if line.startswith("flags")}
    features = set(flags.split(":")[1].split())
    assert scalar.instruction_sets() == [name for name, needed in NEEDED.items() if needed <= features]
