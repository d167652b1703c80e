"""All checks that need a GPU, in one command and eight minutes: `python -m benchmarks.gpu_check`.

It builds the package offline, or installs a given wheel. It runs the tests that need a GPU, measures, runs
compute-sanitizer and then the test suite. The most valuable steps come first. Each step has its own time limit. The
report is rewritten after each step. Failures appear in the report and in the exit status.

`--dry-run` does the same on a CPU with tiny sizes. It skips the steps that need a GPU, and includes a step that exceeds
its time limit.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measured import spikingjelly_rows
from benchmarks.reported.gpu_report import read_results, report
from benchmarks.timing.steps import OUT_OF_TIME, Outcome, Step, run_steps

ROOT = Path(__file__).parent.parent
BUDGET = 465.0  # seconds for all steps: eight minutes without start and report

# Seconds. The test suite, the last step, gets the remaining time.
BUILD, INSTALL, GPU_TESTS, MEASUREMENTS, SPIKINGJELLY, SANITIZER = 110.0, 25.0, 90.0, 150.0, 35.0, 45.0
STARTING = 15.0  # start of the measurements: imports and driver
DRY_RUN_LIMIT = 120.0

WITH_GRAPHS = "--xla_gpu_enable_command_buffer=FUSION,CUSTOM_CALL --xla_gpu_graph_min_graph_size=1"
WITHOUT_GRAPHS = "--xla_gpu_enable_command_buffer="

GPU_ONLY, SUITE = "gpu_only", "not host_only and not gpu_only"
NEEDS_A_GPU = "needs a GPU"


def _quoted(*words: object) -> str:
    return " ".join(shlex.quote(str(word)) for word in words)


def _package(site: Path, build: Path, wheel: Path | None) -> Step:
    """Install into `site`. A build targets only this GPU's architecture, which saves two thirds of the time."""
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", site]
    if wheel:
        return Step("package: a given wheel", [_quoted(*install, wheel)], INSTALL, needed=True)
    settings = ["-Ccmake.define.SPIKEGRAD_TESTING=ON", f"-Cbuild-dir={build}"]
    capability = _last_line("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader").replace(".", "")
    if capability.isdigit():
        settings.append(f"-Ccmake.define.CMAKE_CUDA_ARCHITECTURES={capability}-real")
    command = _quoted(*install, "--no-build-isolation", *settings, ROOT)
    return Step("package: a build", [command], BUILD, {"SPIKEGRAD_CUDA": "ON"}, needed=True)


def gpu_steps(out: Path, wheel: Path | None) -> list[Step]:
    site = out / "site"
    on_gpu = {
        "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT))),
        "SPIKEGRAD_REQUIRE_GPU": "1",
        "SPIKEGRAD_REQUIRE_CUDA": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    pytest = f"{_quoted(sys.executable)} -m pytest -q -p no:cacheprovider --maxfail=40"
    # With and without CUDA graphs, in parallel. Together they use 14 of the 16 cores, mostly for compilation.
    graphs = [f"XLA_FLAGS='{flags}' {pytest} -n 7" for flags in (WITH_GRAPHS, WITHOUT_GRAPHS)]
    # XLA's probes of the driver fail as expected, so API errors are not reported. With a separate allocation for each
    # buffer, memcheck detects accesses beyond it. initcheck must also watch XLA's kernels, because they write the
    # inputs of spikegrad's kernels.
    sanitizer = "compute-sanitizer --error-exitcode 1 --target-processes all --report-api-errors no"
    of_ours = "--kernel-regex kns=spikegrad"
    cases = f"{pytest} -m {GPU_ONLY} -k"
    rows = _quoted(sys.executable, "-m", "benchmarks.measured.gpu_rows", "--out", out / "rows.json")
    theirs = _quoted(sys.executable, "-m", "benchmarks.measured.spikingjelly_rows", "--out", out / "spikingjelly.json")
    first = [
        _package(site, out / "build", wheel),
        Step("GPU tests, CUDA graphs on and off", [f"{g} -m {GPU_ONLY}" for g in graphs], GPU_TESTS, on_gpu),
        Step("measurements", [f"{rows} --seconds {MEASUREMENTS - STARTING}"], MEASUREMENTS, on_gpu),
        Step("SpikingJelly", [theirs], SPIKINGJELLY, skipped=spikingjelly_rows.missing()),
        Step(
            "compute-sanitizer",
            [
                f"{sanitizer} {of_ours} --tool memcheck {cases} 'to_the_bit and (-7- or 4099 or 1000003) or a_scan_as'",
                f"{sanitizer} {of_ours} --tool racecheck {cases} 'to_the_bit and (-7- or 4099) or a_scan_as'",
                f"{sanitizer} --tool initcheck {cases} 'to_the_bit and -4099-'",
            ],
            SANITIZER,
            on_gpu | {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"},
            skipped="" if shutil.which("compute-sanitizer") else "not installed: compute-sanitizer",
        ),
    ]
    suite = [f"{g} -m '{SUITE}'" for g in graphs]
    rest = BUDGET - sum(step.limit for step in first)
    return [*first, Step("test-suite, CUDA graphs on and off", suite, rest, on_gpu)]


def dry_steps(out: Path, wheel: Path | None, build: bool) -> list[Step]:
    """The steps of a dry run: the same selections, programs and report, on a CPU."""
    site = out / "site"
    on_cpu = {"JAX_PLATFORMS": "cpu"}
    if wheel or build:
        package = _package(site, out / "build", wheel)
        on_cpu["PYTHONPATH"] = os.pathsep.join(map(str, (site, ROOT)))
    else:
        found = importlib.util.find_spec("spikegrad")
        skipped = f"uses the installed package: {found.origin}" if found else ""
        package = Step("package", ["echo 'spikegrad is not installed'; false"], 1.0, skipped=skipped, needed=True)
    rows = _quoted(sys.executable, "-m", "benchmarks.measured.gpu_rows", "--tiny", "--out", out / "rows.json")
    collect = f"{_quoted(sys.executable)} -m pytest -q -p no:cacheprovider --collect-only -m"
    return [
        # This step comes first: an earlier step would add its unused time to this step's limit.
        Step("a step that is too slow", ["echo started; sleep 60"], 2.0, expected=OUT_OF_TIME),
        package,
        Step("GPU tests", [], 0, skipped=NEEDS_A_GPU),
        Step("measurements", [f"{rows} --seconds {DRY_RUN_LIMIT}"], DRY_RUN_LIMIT, on_cpu),
        Step("SpikingJelly", [], 0, skipped=spikingjelly_rows.missing() or NEEDS_A_GPU),
        Step("compute-sanitizer", [], 0, skipped=NEEDS_A_GPU),
        Step(
            "the tests that would run",
            [f"{collect} '{marks}'" for marks in (GPU_ONLY, SUITE)],
            DRY_RUN_LIMIT,
            on_cpu,
        ),
    ]


def _last_line(*command: str) -> str:
    try:
        output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown ({error})"
    return output.strip().splitlines()[-1] if output.strip() else "unknown"


def _about(commit: str | None, dry_run: bool) -> list[tuple[str, str]]:
    card = _last_line("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    versions = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('jax', 'jaxlib', 'numpy')))"
    return [
        ("date", datetime.now(UTC).isoformat(timespec="seconds")),
        ("commit", commit or _last_line("git", "rev-parse", "HEAD")),
        ("kind", "dry run on a CPU: tiny sizes" if dry_run else "full"),
        ("card, driver, memory", card),
        ("nvcc", _last_line("nvcc", "--version")),
        ("cores", str(os.cpu_count())),
        ("Python", sys.version.split()[0]),
        ("packages", _last_line(sys.executable, "-c", versions)),
    ]


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu_check"), help="the folder to write to")
    parser.add_argument("--commit", help="the name of the commit, if this is not a checkout")
    parser.add_argument("--wheel", type=Path, help="a wheel with the CUDA module, instead of a build")
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, tiny sizes, without steps that need a GPU")
    parser.add_argument("--build", action="store_true", help="build the package in a dry run, too")
    options = parser.parse_args()
    if options.wheel and not options.wheel.is_file():
        parser.error(f"there is no wheel {options.wheel}")
    wheel = options.wheel.resolve() if options.wheel else None
    out = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    signal.signal(signal.SIGTERM, _end)  # ends the commands of the current step, too

    about = _about(options.commit, options.dry_run)
    steps = dry_steps(out, wheel, options.build) if options.dry_run else gpu_steps(out, wheel)

    def write(outcomes: Sequence[Outcome]) -> None:
        results = read_results(out / "rows.json", out / "spikingjelly.json")
        (out / "gpu_check.md").write_text(report(about, outcomes, len(steps), results), encoding="utf-8")
        last = outcomes[-1]
        print(f"{last.name}: {last.result}, {last.seconds:.0f} s", flush=True)

    outcomes = run_steps(steps, out, ROOT, write)
    print((out / "gpu_check.md").read_text(encoding="utf-8"))
    sys.exit(not all(outcome.good for outcome in outcomes))


if __name__ == "__main__":
    main()
