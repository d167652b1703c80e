"""The results as Markdown that is also readable as plain text."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.peers.cases import INPUT_DENSITY, LayerCase
from benchmarks.peers.oracle import GRADIENT, ROUNDING, Equation
from benchmarks.peers.results import Outcome, Results, Row
from benchmarks.peers.table import OURS, PEERS
from benchmarks.reported.durations import duration
from benchmarks.reported.tables import table
from benchmarks.reported.verdict import MISSING

FASTER, UNSTEADY, DISTURBED = " ▼", " ~", " *"


def _ratio(row: Row, peer: str) -> str:
    ratio = row.ratio(peer)
    if ratio is None:
        return "not run" if row.outcomes[peer].not_run else MISSING
    timings = [row.outcomes[name].timing for name in (peer, OURS)]
    steady = all(timing is not None and timing.steady for timing in timings)
    digits = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return f"{ratio:.{digits}f}{'' if steady else UNSTEADY}{FASTER if round(ratio, 2) < 1 else ''}"


def _short(row: Row) -> str:
    case = row.case
    return f"{case.steps} x {case.batch} x {case.neurons}" if isinstance(case, LayerCase) else f"{case.elements:,}"


def _ratios(results: Results, layers: bool) -> str:
    """One line for each peer, one column for each row of this kind."""
    rows = [row for row in results.rows if isinstance(row.case, LayerCase) == layers]
    header = ["", *(f"{_short(row)}, {row.direction}{'' if row.quiet else DISTURBED}" for row in rows)]
    return table(header, [[peer.name, *(_ratio(row, peer.name) for row in rows)] for peer in PEERS])


def _equation(equation: Equation) -> str:
    return f"{equation.order}{', reset detached' if equation.detached else ''}"


def _peers(results: Results) -> str:
    header = ["", "versions", "step order", "its name of the surrogate"]
    rows = [
        [
            peer.name,
            ", ".join(f"{name} {version}" for name, version in results.versions[peer.name].items()) or MISSING,
            _equation(peer.equation),
            f"`{peer.surrogate}`",
        ]
        for peer in PEERS
    ]
    return table(header, rows, left=4)


def _outcome(row: Row, peer: str) -> list[str]:
    outcome: Outcome = row.outcomes[peer]
    timing, check = outcome.timing, outcome.check
    cells = [f"not run: {outcome.not_run}", MISSING, MISSING]
    if timing is not None:
        quartiles = f"{duration(timing.lower_quartile)} to {duration(timing.upper_quartile)}"
        cells = [duration(timing.median), quartiles, _ratio(row, peer)]
    cells += (
        [MISSING, MISSING] if outcome.built is None else [str(outcome.built.threads), duration(outcome.built.seconds)]
    )
    if check is None:
        return [*cells, MISSING, MISSING]
    error = MISSING if check.gradient_error is None else f"{check.gradient_error:.0e}"
    return [*cells, f"{check.wrong} ({check.rounded})", error]


def _row(row: Row) -> Iterator[str]:
    timings = [outcome.timing for outcome in row.outcomes.values() if outcome.timing is not None]
    checks = [outcome.check for outcome in row.outcomes.values() if outcome.check is not None]
    yield f"### {row.name}"
    told = f"{timings[0].rounds} rounds, {timings[0].repetitions} calls each. " if timings else ""
    if checks:
        told += f"{100 * checks[0].rate:.0f} % of the outputs are spikes. "
    yield f"{told}Other processes used {100 * row.others:.0f} % of a core."
    header = [
        "",
        "time",
        "quartiles",
        "of spikegrad's",
        "threads",
        "first call",
        "spikes that differ",
        "gradient error",
    ]
    yield table(header, [[peer.name, *_outcome(row, peer.name)] for peer in PEERS])


def _sections(results: Results) -> Iterator[str]:
    quick = ", quick: too short to be relied on" if results.quick else ""
    yield table(
        ["", ""],
        [
            *([key, value] for key, value in results.environment.items() if value is not None),
            ["this run", f"{results.seconds / 60:.1f} min, at least {results.rounds} rounds{quick}"],
        ],
        left=2,
    )
    yield "## Time relative to spikegrad"
    yield (
        "**More than 1 means that spikegrad is faster.** ▼ marks a peer that is faster than spikegrad, ~ times whose "
        "upper quartile is more than 1.5 times the lower one, and * measurements that other processes disturbed."
    )
    for title, layers in (
        ("Linear + LIF, steps x batch x neurons:", True),
        ("The spike function, by elements:", False),
    ):
        if any(isinstance(row.case, LayerCase) == layers for row in results.rows):
            yield title
            yield _ratios(results, layers)
    yield "## Versions and step orders"
    yield _peers(results)
    yield "## Times"
    yield (
        f"Of the inputs of a layer, {100 * INPUT_DENSITY:.1f} % are 1 and the others 0. *Spikes that differ* from the "
        f"float64 oracle must be 0. Brackets count spikes within {ROUNDING:g} of the threshold, where rounding to "
        "float32 may decide. *Gradient error* is relative to the largest gradient, and must be at most "
        f"{GRADIENT:g}. *First call* includes compilation. PyTorch runs with 1 or 2 threads, whichever is faster in a "
        "probe before each table. *Compiled*: by `torch.compile`, the loop up to 8 steps, and one step of longer loops."
    )
    for row in results.rows:
        yield from _row(row)


def sections(results: Results) -> str:
    """The report without its title."""
    return "\n\n".join(_sections(results)) + "\n"


def markdown(results: Results) -> str:
    return f"# Libraries of spiking neurons on a CPU\n\n{sections(results)}"
