"""The results as Markdown that reads as plain text too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks import accuracy, lif_rows, model_rows
from benchmarks.competitors import BRAINTOOLS, FORMULA, OPPONENTS, OURS, SCAN
from benchmarks.lif_rows import Case, LifRow
from benchmarks.other_settings import HUGE_PAGES, NO_HAND_OVER, SMALL
from benchmarks.results import Results, geometric_mean
from benchmarks.spike_rows import SpikeRow
from benchmarks.tables import table
from benchmarks.targets import MISSING, verdicts
from benchmarks.turns import Timing

LINEAR = "Linear + LIF"
SLOWER, DISTURBED, UNSTEADY = " ▼", " *", " ~"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return MISSING
    value, unit = next((seconds * f, u) for f, u in ((1e6, "us"), (1e3, "ms"), (1, "s")) if seconds * f < 1e3 or f == 1)
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def _marked(value: float, slower: bool, quiet: bool = True, timings: Iterable[Timing] = ()) -> str:
    disturbed = "" if quiet else DISTURBED
    unsteady = "" if all(timing.steady for timing in timings) else UNSTEADY
    return f"{value:.2f}{disturbed}{unsteady}{SLOWER if slower else ''}"


def _compared(timings: Mapping[str, Timing]) -> list[Timing]:
    return [timings[OURS], timings[FORMULA]]


def _ratio(row: SpikeRow | None) -> str:
    if row is None:
        return MISSING
    return _marked(row.ratio, round(row.ratio, 2) < 1, row.quiet, _compared(row.timings))


def _share(others: Sequence[float]) -> str:
    return f"{100 * max(others):.0f} %"


def _environment(results: Results) -> str:
    rows = [[key, "-" if value is None else value] for key, value in results.environment.items()]
    for process, shares in results.huge_shares.items():
        told = ", ".join(f"{name} {'?' if s is None else f'{100 * s:.0f} %'}" for name, s in shares.items())
        rows.append([f"huge pages under a 64 MiB result, {process}", told])
    rows.append(["this run", f"{results.seconds / 60:.1f} min{', quick: too short to be relied on' * results.quick}"])
    return table(["", ""], rows, left=2)


def _targets(results: Results) -> str:
    header = ["what", "target", "measured", "", "note"]
    rows = [[v.what, v.target, v.value, v.word, v.note] for v in verdicts(results)]
    return table(header, rows, left=5)


Kind = tuple[str, str, str]  # surrogate, dtype, direction


def _kind(row: SpikeRow) -> Kind:
    return row.surrogate, row.dtype, row.direction


def _chosen(rows: Sequence[SpikeRow], kind: Kind) -> list[SpikeRow]:
    return [row for row in rows if _kind(row) == kind]


def _means(results: Results) -> str:
    """The geometric mean and the smallest ratio of each surrogate, dtype and direction."""

    def cells(every: Sequence[SpikeRow], kind: Kind) -> list[str]:
        rows = _chosen(every, kind)
        if not rows:
            return [MISSING, MISSING]
        mean, smallest = geometric_mean([row.ratio for row in rows]), min(row.ratio for row in rows)
        return [_marked(value, round(value, 2) < 1) for value in (mean, smallest)]

    header = ["surrogate", "dtype", "direction", "mean", "smallest", "huge pages: mean", "smallest"]
    header += [f"no hand-over, up to {SMALL:.0e}: mean", "smallest"]
    rows = [
        [*kind, *cells(results.spike, kind), *cells(results.huge_pages, kind), *cells(results.no_hand_over, kind)]
        for kind in dict.fromkeys(map(_kind, results.spike))
    ]
    return table(header, rows, left=3)


def _spike(results: Results, kind: Kind) -> str:
    here, on_huge_pages, in_place = (
        {row.size: row for row in _chosen(rows, kind)}
        for rows in (results.spike, results.huge_pages, results.no_hand_over)
    )
    names = [OURS, FORMULA, BRAINTOOLS]

    def times(row: SpikeRow | None) -> list[str]:
        medians = {} if row is None else {name: timing.median for name, timing in row.timings.items()}
        return [_duration(medians.get(name)) for name in names]

    header = ["elements", *names, "ratio", f"huge pages: {OURS}", *names[1:], "ratio"]
    header += ["no hand-over: ratio", "others"]
    rows = []
    for size, row in here.items():
        huge, direct = on_huge_pages.get(size), in_place.get(size)
        shares = [r.others for r in (row, huge, direct) if r is not None]
        cells = [f"{size:.0e}", *times(row), _ratio(row), *times(huge), _ratio(huge), _ratio(direct)]
        rows.append([*cells, _share(shares)])
    return table(header, rows, left=0)


def _model(results: Results) -> str:
    header = ["neurons", "batch", "spikes a step", "rate"]
    for direction in model_rows.DIRECTIONS:
        header += [f"{direction}: {OURS}", FORMULA, "time ratio"]
    by_shape = {(row.neurons, row.batch, row.direction): row for row in results.model}
    lines = []
    for neurons, batch in dict.fromkeys((row.neurons, row.batch) for row in results.model):
        rows = [by_shape[neurons, batch, direction] for direction in model_rows.DIRECTIONS]
        line = [str(neurons), str(batch), f"{rows[0].spikes:,}", f"{100 * rows[0].rate:.0f} %"]
        for row in rows:
            line += [_duration(row.timings[name].median) for name in (OURS, FORMULA)]
            slower = round(row.time_ratio, 2) > 1
            line.append(_marked(row.time_ratio, slower, row.quiet, _compared(row.timings)))
        lines.append([*line, _share([row.others for row in rows])])
    return table([*header, "others"], lines, left=0)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _lif_ratio(row: LifRow | None) -> str:
    if row is None:
        return MISSING
    timings = [row.timings[OURS], row.timings[row.opponent]]
    return _marked(row.ratio, round(row.ratio, 2) < 1, row.quiet, timings)


def _lif_times(row: LifRow | None) -> list[str]:
    """Ours, the opponent's, and who that is."""
    if row is None:
        return [MISSING, MISSING, MISSING]
    return [*(_duration(row.timings[name].median) for name in (OURS, row.opponent)), row.opponent]


def _lif_opponents(results: Results) -> str:
    """How often each was the fastest in the short look, and its time over that of the plain scan, in the mean."""
    looked_at = [name for name in OPPONENTS if any(name in row.probed for row in results.lif)]
    header, lines = ["opponent"], {name: [name] for name in looked_at}
    for direction in (lif_rows.FORWARD, lif_rows.GRADIENT):
        probes = [row.probed for row in results.lif if row.direction == direction and row.probed]
        header += [f"{direction}: time over that of {SCAN}", "fastest"]
        for name, line in lines.items():
            fastest = sum(min(probed, key=lambda other: probed[other]) == name for probed in probes)
            mean = geometric_mean([probed[name] / probed[SCAN] for probed in probes])
            line += [f"{mean:.2f}", f"{fastest} of {len(probes)}"]
    return table(header, list(lines.values()))


def _lif(results: Results, direction: str) -> str:
    header = ["steps x neurons", "layer", "rate", OURS, "fastest scan", "which", "ratio"]
    header += [f"huge pages: {OURS}", "fastest scan", "which", "ratio", "others"]
    huge_pages = {(row.case, row.direction): row for row in results.lif_huge_pages}
    lines = []
    for row in results.lif:
        if row.direction != direction or row.case.linear:
            continue
        huge = huge_pages.get((row.case, direction))
        kind = f"{row.case.dtype}{', trained' * row.case.trained}"
        line = [_size(row.case.shape), kind, f"{100 * row.rate:.0f} %", *_lif_times(row), _lif_ratio(row)]
        shares = [found.others for found in (row, huge) if found is not None]
        lines.append([*line, *_lif_times(huge), _lif_ratio(huge), _share(shares)])
    return table(header, lines, left=2)


def _lif_steps(results: Results) -> str:
    """What the neurons take of a step: the time of the layer alone over that of the step it is in."""
    header = ["steps x batch x neurons", "direction", OURS, "fastest scan", "which", "ratio"]
    header += [f"share of the neurons: {OURS}", "fastest scan", "others"]
    alone = {(row.case, row.direction): row for row in results.lif}
    lines = []
    for row in results.lif:
        case = row.case
        if not case.linear:
            continue
        layer = alone[Case(case.steps, case.batch, case.neurons, case.dtype), row.direction]
        shares = [
            layer.timings[of_layer].median / row.timings[of_step].median
            for of_layer, of_step in ((OURS, OURS), (layer.opponent, row.opponent))
        ]
        line = [_size(case.shape), row.direction, *_lif_times(row), _lif_ratio(row)]
        lines.append([*line, *(f"{100 * share:.0f} %" for share in shares), _share([row.others, layer.others])])
    return table(header, lines, left=2)


def _lif_memory(results: Results) -> str:
    names = (OURS, SCAN)
    header = ["steps x neurons"]
    for what in ("kept", "current too", "gradient", f"{LINEAR}: gradient"):
        header += [f"{what}: {OURS}", SCAN]
    lines = []
    for row in results.lif_memory:
        memory = [row.memory[name] for name in names]
        line = [_size((row.steps, row.neurons))]
        line += [f"{m.kept / row.unit:.3f}" for m in memory]
        line += ["yes" if m.current_kept else "no" for m in memory]
        line += [f"{m.layer / row.unit:.3f}" for m in memory]
        line += [f"{m.linear / row.unit:.3f}" for m in memory]
        lines.append(line)
    return table(header, lines)


def _lif_sections(results: Results) -> Iterator[str]:
    yield (
        "## Layers of leaky integrate-and-fire neurons\n\n"
        f"`spikegrad.lif` against the same recurrence under `lax.scan`, reset by subtraction. Decay\n"
        f"{lif_rows.DECAY} and threshold {lif_rows.THRESHOLD} are numbers or (trained) an array each, whose gradients\n"
        "are wanted too. Ratio: the time of the fastest scan over that of spikegrad. Rate: the share of neurons that\n"
        "spike in a step. The gradient is forward and backward together, the spikes and what their cotangents come\n"
        "to; backward is the pullback alone, given what the forward kept.\n\n"
        f"Huge pages: the same with `{HUGE_PAGES.text}`, for those shapes that something is promised of."
    )
    yield "![the ratios over the shapes](lif.png)"
    yield (
        f"The scans, looked at shortly before each row: the fastest of them, and `{SCAN}`, which is plain, then took\n"
        "turns with spikegrad. Geometric means over the rows:"
    )
    yield _lif_opponents(results)
    for direction in lif_rows.DIRECTIONS:
        yield f"### {direction}"
        yield _lif(results, direction)
    if any(row.case.linear for row in results.lif):
        yield (
            f"### {LINEAR}\n\n"
            "A square matrix, applied once to all steps, before the neurons; the gradient is the matrix's. Share:\n"
            "the time of the layer alone, from the tables above, over that of all of it. The product grows with the\n"
            "square of the neurons, so that a wider layer's share is smaller, and a narrower one's larger."
        )
        yield _lif_steps(results)
    if results.lif_memory:
        yield (
            "### Memory of the gradient\n\n"
            "In units of a `[T, N]` float32. Kept: what lives from forward to backward beside the current, and\n"
            "whether the current does too, which costs nothing where somebody holds it anyway. Gradient: all that the\n"
            "compiled gradient allocates beside its arguments and its result, of the layer alone; and of the matrix's\n"
            "before a layer, where nobody else holds the current."
        )
        yield _lif_memory(results)


def _sections(results: Results) -> Iterator[str]:
    yield "# spikegrad: benchmarks"
    yield _environment(results)
    if verdicts(results):
        yield "## Targets"
        yield _targets(results)
    yield (
        f"Times are medians over rounds in which the competitors take turns. `{FORMULA}` is the formula written as a\n"
        f"`jax.custom_vjp`, `{BRAINTOOLS}` its `surrogate`"
        + (" (not installed: its columns are empty).\n" if results.environment[BRAINTOOLS] is None else ".\n")
        + f"`{SLOWER.strip()}`: spikegrad is slower. `*`: other processes took 5 % of a core or more, and the ratio\n"
        "may lie; `others` is what they took, at most. `~`: the quartiles of the times are more than 1.5x apart."
    )
    if results.spike:
        yield "## The spike alone\n\nRatio: the time of the formula over that of spikegrad."
        yield (
            f"Huge pages: the same with `{HUGE_PAGES.text}`, where not only the kernels' large\n"
            "results lie on huge pages: what remains of the ratio at the large sizes is arithmetic.\n\n"
            f"No hand-over: the same with `{NO_HAND_OVER.text}`.\n"
            "By itself XLA hands a computation over to another thread unless it takes it to be cheap. To judge by the\n"
            "timings it takes every custom call to be: the call that starts a kernel returns only when the kernel has\n"
            "finished, and no hand-over is paid. What remains of the ratio here is arithmetic and the call itself."
        )
        yield "![the ratios over the sizes](bench.png)"
        yield "Geometric means over the sizes; the forward is the same for every surrogate:"
        yield _means(results)
        for kind in dict.fromkeys(map(_kind, results.spike)):
            yield f"### {', '.join(kind)}"
            yield _spike(results, kind)
    if results.model:
        yield (
            "## In a recurrent model\n\n"
            f"A recurrent layer of neurons under `lax.scan`, {model_rows.STEPS} steps, float32. Time ratio: the time\n"
            "with spikegrad over that with the formula. Rate: the share of neurons that spike in a step."
        )
        yield _model(results)
    if results.lif:
        yield from _lif_sections(results)
    if results.accuracy:
        yield "## Accuracy of the derivatives"
        yield accuracy.as_table(results.accuracy)


def markdown(results: Results) -> str:
    return "\n\n".join(_sections(results)) + "\n"
