"""Everything that only a GPU can show, in one command and under eight minutes: `python -m benchmarks.gpu_check`.

Builds the package with what is installed (no network), runs the test-suite on the GPU with and without CUDA graphs,
runs the kernels under compute-sanitizer, measures, and writes a dated report. The first steps matter most, so that a
run that is cut short still says something; whatever fails is in the report, and in the exit status.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from benchmarks.tables import table

ROOT = Path(__file__).parent.parent
BUDGET = 460.0  # seconds for all steps: eight minutes, less what starting and reporting take

WITH_GRAPHS = "--xla_gpu_enable_command_buffer=FUSION,CUSTOM_CALL --xla_gpu_graph_min_graph_size=1"
WITHOUT_GRAPHS = "--xla_gpu_enable_command_buffer="
# These ask nothing of a GPU: they hold the C++ against the closed form, pin processes to cores, shard over CPU devices.
OF_THE_CPU = (
    "test_accuracy.py",
    "test_cuda_kernels.py",
    "test_lowering.py",
    "test_partitioning.py",
    "test_profiler_ranges.py",
    "test_threads.py",
)


@dataclass(frozen=True)
class Step:
    """Commands for the shell that run side by side, and what they need around them."""

    name: str
    commands: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """How a step ended: 0, an exit status, or None where it ran out of time."""

    step: str
    status: int | None
    seconds: float
    last_lines: str

    @property
    def passed(self) -> bool:
        return self.status == 0


def _steps(out: Path) -> list[Step]:
    site = out / "site"
    words = (sys.executable, site, f"-Cbuild-dir={out / 'build'}", ROOT, out / "rows.json")
    python, where, build, root, rows = (shlex.quote(str(word)) for word in words)
    on_gpu = {
        "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT))),
        "SPIKEGRAD_REQUIRE_GPU": "1",
        "SPIKEGRAD_REQUIRE_CUDA": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    pytest = f"{python} -m pytest -q -p no:cacheprovider --maxfail=40"
    # The headers here are those of the jaxlib that is installed, not of the oldest one.
    suite = f"{pytest} -n 7 --deselect tests/test_report.py::test_built_against_the_headers_of_the_oldest_jaxlib tests"
    suite += "".join(f" --ignore=tests/{name}" for name in OF_THE_CPU)
    # XLA's own probes of the driver fail as they should. An allocation of its own for each buffer lets memcheck see
    # what goes beyond it; initcheck has to watch XLA's kernels too, which write what ours read.
    sanitizer = "compute-sanitizer --error-exitcode 1 --target-processes all --report-api-errors no"
    of_ours = "--kernel-regex kns=spikegrad"
    cases = f"{pytest} tests/test_gpu.py -k"
    return [
        Step(
            "build",
            [
                f"{python} -m pip install --no-build-isolation --no-deps --no-index --target {where} {build}"
                f" -Ccmake.define.SPIKEGRAD_TESTING=ON {root}"
            ],
            {"SPIKEGRAD_CUDA": "ON"},
        ),
        Step("GPU tests", [f"{pytest} tests/test_gpu.py"], on_gpu | {"XLA_FLAGS": WITH_GRAPHS}),
        Step("measurements", [f"{python} -m benchmarks.gpu_rows --out {rows}"], on_gpu),
        Step(
            "compute-sanitizer",
            [
                f"{sanitizer} {of_ours} --tool memcheck {cases} 'to_the_bit and (-7- or 4099 or 1000003) or a_scan_as'",
                f"{sanitizer} {of_ours} --tool racecheck {cases} 'to_the_bit and (-7- or 4099) or a_scan_as'",
                f"{sanitizer} --tool initcheck {cases} 'to_the_bit and -4099-'",
            ],
            on_gpu | {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"},
        ),
        # Side by side: on 16 cores either alone would leave half of them idle.
        Step(
            "test-suite, CUDA graphs on and off",
            [f"XLA_FLAGS='{flags}' {suite}" for flags in (WITH_GRAPHS, WITHOUT_GRAPHS)],
            on_gpu,
        ),
    ]


def _run(step: Step, out: Path, seconds: float) -> Outcome:
    """All commands at once; each log is kept, and the ends of those that failed are in the report."""
    start = time.monotonic()
    logs = [out / f"{step.name.replace(' ', '-').replace(',', '')}-{i}.log" for i in range(len(step.commands))]
    running = []
    for command, log in zip(step.commands, logs, strict=True):
        with log.open("w") as file:
            running.append(
                subprocess.Popen(
                    command,
                    shell=True,
                    start_new_session=True,  # so that what it started can be ended with it
                    cwd=ROOT,
                    env={**os.environ, **step.environment},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
    statuses: list[int | None] = []
    for process in running:
        try:
            statuses.append(process.wait(max(1.0, seconds - (time.monotonic() - start))))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            statuses.append(None)
    failed = [i for i, status in enumerate(statuses) if status != 0]
    lines = "\n".join(
        line
        for i in failed or range(len(logs))
        for line in logs[i].read_text(errors="replace").strip().splitlines()[-(25 if failed else 1) :]
    )
    status = next((statuses[i] for i in failed), 0)
    return Outcome(step.name, status, time.monotonic() - start, lines)


def _last_line(*command: str) -> str:
    try:
        output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown ({error})"
    return output.strip().splitlines()[-1] if output.strip() else "unknown"


def _about(commit: str) -> list[tuple[str, str]]:
    card = _last_line("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    return [
        ("date", datetime.now(UTC).isoformat(timespec="seconds")),
        ("commit", commit),
        ("card, driver, memory", card),
        ("nvcc", _last_line("nvcc", "--version")),
        ("Python", sys.version.split()[0]),
        ("jax", _last_line(sys.executable, "-c", "import jax; print(jax.__version__)")),
    ]


def _measurements(path: Path) -> str:
    """The tables of what gpu_rows wrote; imported late, since it needs the package that was just built."""
    from benchmarks.competitors import AUTO, FORMULA, KERNELS, POLICIES
    from benchmarks.gpu_rows import COPY, BandwidthRow
    from benchmarks.lif_rows import LifRow

    found = json.loads(path.read_text())
    rows = [BandwidthRow(**row) for row in found["bandwidth"]]
    ours = (AUTO, KERNELS)
    bandwidth = table(
        [
            *("surrogate", "direction", "dtype", "elements"),
            *(f"{AUTO}: GB/s", KERNELS, "formula", COPY),
            *(f"of the copy: {AUTO}", KERNELS),
            *(f"time over the formula's: {AUTO}", KERNELS),
        ],
        [
            [row.surrogate, row.direction, row.dtype, f"{row.size:.0e}"]
            + [f"{row.bandwidth(name) / 1e9:.0f}" for name in (*ours, FORMULA, COPY)]
            + [f"{row.share_of_copy(name):.2f}" for name in ours]
            + [f"{row.time_ratio(name):.2f}" for name in ours]
            for row in rows
        ],
        left=3,
    )
    model = table(
        ["neurons", "batch", "direction", *(f"time over the formula's: {name}" for name in POLICIES)],
        [
            [str(r["neurons"]), str(r["batch"]), r["direction"]]
            + [f"{r['time_ratios'][name]:.2f}" for name in POLICIES]
            for r in found["model"]
        ],
        left=3,
    )
    layers = table(
        ["steps x neurons", "direction", "times the scan"],
        [
            [" x ".join(map(str, r.case.shape)), r.direction, f"{r.ratio:.1f}"]
            for r in map(LifRow.from_json, found["lif"])
        ],
        left=2,
    )
    note = (
        f"`{AUTO}`, the default policy, calls no kernel for the spike and its derivative on a GPU: XLA fuses them.\n"
        "Below some 1e6 elements the launch takes most of the time."
    )
    layers_note = f"With the policy `{AUTO}`: up to 4 steps are unrolled in plain HLO, longer layers call the kernels."
    headed = {
        "Bandwidth": f"{note}\n\n{bandwidth}",
        "A recurrent layer under `lax.scan`": model,
        "Whole layers": f"{layers_note}\n\n{layers}",
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in headed.items()) + "\n"


def _report(about: Sequence[tuple[str, str]], outcomes: Sequence[Outcome], rows: Path, site: Path) -> str:
    def result(outcome: Outcome) -> str:
        return "passed" if outcome.passed else "out of time" if outcome.status is None else f"failed ({outcome.status})"

    text = "# GPU check\n\n" + table(["", ""], [list(pair) for pair in about]) + "\n\n"
    text += table(["step", "result", "seconds"], [[o.step, result(o), f"{o.seconds:.0f}"] for o in outcomes], left=2)
    for outcome in outcomes:
        text += f"\n\n### {outcome.step}\n\n```\n{outcome.last_lines}\n```"
    text += "\n\n"
    if rows.exists():
        sys.path.insert(0, str(site))
        text += _measurements(rows)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu_check"), help="the folder to write to")
    parser.add_argument("--commit", help="what to call the commit, where this is no checkout")
    options = parser.parse_args()
    out = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)

    about = _about(options.commit or _last_line("git", "rev-parse", "HEAD"))
    start = time.monotonic()
    outcomes: list[Outcome] = []
    for step in tqdm(_steps(out), desc="GPU check"):
        outcomes.append(_run(step, out, BUDGET - (time.monotonic() - start)))
        if step.name == "build" and not outcomes[0].passed:
            break
    text = _report(about, outcomes, out / "rows.json", out / "site")
    (out / "gpu_check.md").write_text(text)
    print(text)
    sys.exit(not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    main()
