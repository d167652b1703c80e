"""Kernels give equal bits on an emulated aarch64 processor and on x86-64 with fused multiply-add."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import spikegrad_scalar as scalar

SCRIPT = Path(__file__).with_name("kernel_results.py")
EMULATED = os.environ["SPIKEGRAD_AARCH64_PYTHON"]  # set by `make aarch64`


def run(python, folder, instruction_set):
    file = folder / f"{instruction_set}.npz"
    subprocess.run([python, SCRIPT, file, instruction_set], check=True)
    with np.load(file) as results:
        return dict(results)


def test_every_result_has_the_bits_of_x86_64(tmp_path):
    best = scalar.instruction_sets()[0]
    assert best != "baseline", "without fused multiply-add the results of x86-64 are rounded differently"
    here, there = run(sys.executable, tmp_path, best), run(EMULATED, tmp_path, "baseline")
    assert here.keys() == there.keys()
    assert [name for name in here if not np.array_equal(here[name], there[name])] == []
