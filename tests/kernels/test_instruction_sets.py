"""The instruction sets that the CPU module finds are the ones that the operating system reports."""

import platform
from pathlib import Path

from requirements import module_for_tests

scalar = module_for_tests("spikegrad_scalar")

NEEDED = {
    "avx512": {"avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512bw", "avx512dq"},
    "avx2": {"avx2", "fma", "f16c"},
    "baseline": set(),
}


def test_the_instruction_sets_of_this_processor():
    """Linux lists only the features whose registers it saves. An emulated processor sees the list of its host."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.machine() == "x86_64" else []
    features = {feature for line in lines if line.startswith("flags") for feature in line.split()}
    assert scalar.instruction_sets() == [name for name, needed in NEEDED.items() if needed <= features]
