"""The time of `import spikegrad` after `import jax`."""

from __future__ import annotations

import statistics
import subprocess
import sys

_PROGRAM = """
import time
import jax
start = time.perf_counter()
import spikegrad
print(time.perf_counter() - start)
"""


def measure(processes: int = 5) -> float:
    """Seconds of `import spikegrad` after `import jax`: the median of fresh processes, after a warm-up process."""

    def once() -> float:
        run = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True)
        return float(run.stdout)

    once()
    return statistics.median(once() for _ in range(processes))
