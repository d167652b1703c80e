"""The results as Markdown that is also readable as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.measured import accuracy, lif_rows, model_rows, unrolled_rows
from benchmarks.measured.competitor_names import AUTO, BRAINTOOLS, FORMULA, FUSED, KERNELS
from benchmarks.measured.competitors import OPPONENTS, POLICIES, SCAN
from benchmarks.measured.lif_rows import LifRow
from benchmarks.measured.other_settings import HUGE_PAGES, NO_HAND_OVER
from benchmarks.measured.spike_rows import SpikeRow
from benchmarks.reported.durations import duration
from benchmarks.reported.goals import verdicts
from benchmarks.reported.results import Results, geometric_mean
from benchmarks.reported.tables import table
from benchmarks.reported.verdict import MISSING
from benchmarks.timing.comparison import Comparison

LINEAR = "Linear + LIF"
SLOWER, DISTURBED, UNSTEADY, SAME = " ▼", " *", " ~", " ="


def _duration(seconds: float | None) -> str:
    return MISSING if seconds is None else duration(seconds)


def _marked(value: float, slower: bool, quiet: bool = True, steady: bool = True) -> str:
    return f"{value:.2f}{'' if quiet else DISTURBED}{'' if steady else UNSTEADY}{SLOWER if slower else ''}"


def _ratio(compared: Comparison | None, name: str) -> str:
    """The formula's time over this competitor's time."""
    if compared is None:
        return MISSING
    ratio = compared.times_faster(name)
    if compared.is_the_formula(name):
        return f"{ratio:.2f}{SAME}"
    return _marked(ratio, round(ratio, 2) < 1, compared.quiet, compared.steady(name))


def _time_ratio(compared: Comparison, name: str) -> str:
    ratio = compared.time_ratio(name)
    if compared.is_the_formula(name):
        return f"{ratio:.2f}{SAME}"
    return _marked(ratio, round(ratio, 2) > 1, compared.quiet, compared.steady(name))


def _times(compared: Comparison, names: Iterable[str]) -> list[str]:
    timings = compared.timings
    return [_duration(timings[name].median) if name in timings else MISSING for name in names]


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

    def cells(every: Sequence[SpikeRow], kind: Kind, names: Iterable[str]) -> list[str]:
        found = []
        rows = _chosen(every, kind)
        for name in names:
            ratios = [row.compared.times_faster(name) for row in rows]
            values = [geometric_mean(ratios), min(ratios)] if ratios else []
            found += [_marked(value, round(value, 2) < 1) for value in values] or [MISSING, MISSING]
        return found

    header = ["surrogate", "dtype", "direction"]
    for name in POLICIES:
        header += [f"{name}: mean", "smallest"]
    for setting in (HUGE_PAGES, NO_HAND_OVER):
        header += [f"{setting.title}, {AUTO}: mean", "smallest"]
    rows = [
        [
            *kind,
            *cells(results.spike, kind, POLICIES),
            *cells(results.huge_pages, kind, [AUTO]),
            *cells(results.no_hand_over, kind, [AUTO]),
        ]
        for kind in dict.fromkeys(map(_kind, results.spike))
    ]
    return table(header, rows, left=3)


def _spike(results: Results, kind: Kind) -> str:
    here, on_huge_pages, in_place = (
        {row.size: row.compared for row in _chosen(rows, kind)}
        for rows in (results.spike, results.huge_pages, results.no_hand_over)
    )
    names = [*POLICIES, FORMULA, BRAINTOOLS]
    header = ["elements", *names, f"ratio: {AUTO}", KERNELS, FUSED]
    for setting in (HUGE_PAGES, NO_HAND_OVER):
        header += [f"{setting.title}: {AUTO}", KERNELS]
    rows = []
    for size, compared in here.items():
        line = [f"{size:.0e}", *_times(compared, names), *(_ratio(compared, name) for name in POLICIES)]
        elsewhere = [on_huge_pages.get(size), in_place.get(size)]
        line += [_ratio(other, name) for other in elsewhere for name in (AUTO, KERNELS)]
        others = [each.others for each in (compared, *elsewhere) if each is not None]
        rows.append([*line, _share(others)])
    return table([*header, "others"], rows, left=0)


_IN_A_MODEL = [*POLICIES, FORMULA, f"time ratio: {AUTO}", KERNELS, FUSED, "others"]


def _in_a_model(compared: Comparison) -> list[str]:
    ratios = [_time_ratio(compared, name) for name in POLICIES]
    return [*_times(compared, [*POLICIES, FORMULA]), *ratios, _share([compared.others])]


def _model(results: Results, direction: str) -> str:
    lines = [
        [str(row.batch), str(row.neurons), f"{row.spikes:,}", f"{100 * row.rate:.0f} %", *_in_a_model(row.compared)]
        for row in results.model
        if row.direction == direction
    ]
    return table(["batch", "neurons", "spikes a step", "rate", *_IN_A_MODEL], lines, left=0)


def _unrolled(results: Results, direction: str) -> str:
    lines = [
        ["constant" if row.constant else "[T, N]", str(row.steps), f"{row.neurons:.0e}", *_in_a_model(row.compared)]
        for row in results.unrolled
        if row.direction == direction
    ]
    return table(["current", "steps", "neurons", *_IN_A_MODEL], lines)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _lif_ratio(row: LifRow | None) -> str:
    if row is None:
        return MISSING
    steady = row.timings[AUTO].steady and row.timings[row.opponent].steady
    return _marked(row.ratio, round(row.ratio, 2) < 1, row.quiet, steady)


def _lif_times(row: LifRow | None) -> list[str]:
    """Spikegrad's time, the opponent's time, and the opponent's name."""
    if row is None:
        return [MISSING, MISSING, MISSING]
    return [*(_duration(row.timings[name].median) for name in (AUTO, row.opponent)), row.opponent]


def _lif_opponents(results: Results) -> str:
    """How often each opponent was the fastest in the short probe, and its mean time over the plain scan's time."""
    alone = [row for row in results.lif if not row.case.linear]
    looked_at = [name for name in OPPONENTS if any(name in row.probed for row in alone)]
    header, lines = ["opponent"], {name: [name] for name in looked_at}
    for direction in (lif_rows.FORWARD, lif_rows.VJP):
        probes = [row.probed for row in alone if row.direction == direction and row.probed]
        header += [f"{direction}: time over {SCAN}", "fastest"]
        for name, line in lines.items():
            fastest = sum(min(probed, key=lambda other: probed[other]) == name for probed in probes)
            mean = geometric_mean([probed[name] / probed[SCAN] for probed in probes])
            line += [f"{mean:.2f}", f"{fastest} of {len(probes)}"]
    return table(header, list(lines.values()))


def _lif(results: Results, direction: str) -> str:
    header = ["steps x neurons", "layer", "rate", AUTO, "fastest scan", "which", "ratio"]
    header += [f"{HUGE_PAGES.title}: {AUTO}", "fastest scan", "which", "ratio", "others"]
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


def _linear(results: Results) -> str:
    header = ["steps x batch x width", "rate"]
    for direction in lif_rows.LINEAR_DIRECTIONS:
        header += [f"{direction}: {AUTO}", "fastest scan", "which", "ratio"]
    by_key = {(row.case, row.direction): row for row in results.lif if row.case.linear}
    lines = []
    for case in dict.fromkeys(case for case, _ in by_key):
        rows = [by_key[case, direction] for direction in lif_rows.LINEAR_DIRECTIONS]
        line = [_size(case.shape), f"{100 * rows[0].rate:.0f} %"]
        for row in rows:
            line += [*_lif_times(row), _lif_ratio(row)]
        lines.append([*line, _share([row.others for row in rows])])
    return table([*header, "others"], lines)


def _lif_memory(results: Results) -> str:
    names = (AUTO, SCAN)
    header = ["steps x neurons"]
    for what in ("kept", "current too", "gradient", f"{LINEAR}: gradient"):
        header += [f"{what}: {AUTO}", SCAN]
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
        f"`spikegrad.lif` with the policy `{AUTO}`, against the same recurrence under `lax.scan`, reset by\n"
        f"subtraction. Decay {lif_rows.DECAY} and threshold {lif_rows.THRESHOLD} are scalars, or (trained) an array\n"
        "each, with gradients for them too. Ratio: the time of the fastest scan over the time of spikegrad. Rate: the\n"
        "share of neurons that spike in a step. The vjp is forward and backward together: the spikes, and the\n"
        "pullback of given cotangents. The backward is the pullback alone, with the values that the forward kept.\n\n"
        f"Huge pages: the same with `{HUGE_PAGES.text}`, for the shapes with targets."
    )
    yield "![the ratios over the shapes](lif.png)"
    yield (
        "A short probe before each row finds the fastest scan. This scan and the plain `scan` are then timed in\n"
        "interleaved rounds with spikegrad. Geometric means of the probe over the rows:"
    )
    yield _lif_opponents(results)
    for direction in lif_rows.ALONE_DIRECTIONS:
        yield f"### {direction}"
        yield _lif(results, direction)
    if any(row.case.linear for row in results.lif):
        yield (
            f"### Training step of {LINEAR}\n\n"
            "A linear map as wide as the layer, `x @ w + b`, applied once to all steps, then the neurons. Gradients\n"
            "for w, b and x: of given cotangents of the spikes (vjp), and of a weighted sum of the spikes. The\n"
            "fastest scan is the fastest of unroll 1, 2, 4 and 8. Both sides compute the same matrix products,\n"
            "whose share of the time grows with the width."
        )
        yield _linear(results)
    if results.lif_memory:
        yield (
            "### Memory of the gradient\n\n"
            "In units of a `[T, N]` float32. Kept: memory from forward to backward, without the current. Current\n"
            "too: whether the current is also kept, which is free if the program holds it anyway.\n"
            "Gradient: allocations of the compiled gradient without arguments and results, for the layer alone\n"
            f"and for {LINEAR}, whose current only the layer keeps."
        )
        yield _lif_memory(results)


def _spike_sections(results: Results) -> Iterator[str]:
    yield (
        "## The spike alone\n\n"
        "Ratio: the time of the formula over the time of spikegrad; more is better.\n\n"
        f"Huge pages: the ratios with `{HUGE_PAGES.text}`, where every large result lies on huge\n"
        "pages. By default only the results of kernels do. The remaining ratio is arithmetic.\n\n"
        f"No hand-over: the ratios with `{NO_HAND_OVER.text}`.\n"
        "By default XLA moves a program to another thread unless it considers the program cheap. Judging by\n"
        "the timings, a kernel's call counts as cheap, and plain HLO up to some 1000 operations. The remaining\n"
        "ratio is arithmetic and the call."
    )
    yield "![the ratios over the sizes](bench.png)"
    yield "Geometric means over the sizes; the forward is the same for every surrogate:"
    yield _means(results)
    for kind in dict.fromkeys(map(_kind, results.spike)):
        yield f"### {', '.join(kind)}"
        yield _spike(results, kind)


def _model_sections(results: Results) -> Iterator[str]:
    yield (
        "## In a recurrent model\n\n"
        f"A recurrent layer of neurons under `lax.scan`, {model_rows.STEPS} steps, float32. Time ratio: the time with\n"
        "spikegrad over the time with the formula; less is better. Rate: the share of neurons that spike in a step."
    )
    for direction in model_rows.DIRECTIONS:
        yield f"### {direction}, recurrent model"
        yield _model(results, direction)


def _unrolled_sections(results: Results) -> Iterator[str]:
    yield (
        "## In unrolled steps\n\n"
        f"`u = {unrolled_rows.DECAY} * v + x[t]; s = spike(u - 1); v = u - s` in a Python loop over T steps, float32.\n"
        "The current x is an array `[T, N]`, or constant: the same `[N]` at every step. The forward returns the\n"
        "number of spikes of each neuron. The gradient is of their mean square, by the current.\n"
        "Time ratio: as above.\n\n"
        "On CPUs the gradient by a current `[T, N]` without kernels recomputes all earlier steps for each step.\n"
        "A kernel prevents this, which saves a multiple of the time in 16 steps. If XLA computes the plain steps in\n"
        "one loop without recomputation, a kernel costs a pass through memory for each step."
    )
    for direction in model_rows.DIRECTIONS:
        yield f"### {direction}, unrolled steps"
        yield _unrolled(results, direction)


def _sections(results: Results) -> Iterator[str]:
    yield "# spikegrad: benchmarks"
    yield _environment(results)
    if verdicts(results):
        yield "## Targets"
        yield (
            f"The speed targets apply to the policy `{AUTO}`, the default. GPUs are measured by\n"
            "`python -m benchmarks.gpu_check`."
        )
        yield _targets(results)
    yield (
        "Times are medians over interleaved rounds.\n\n"
        f"- `{AUTO}`: spikegrad with its default policy: the kernel where it was faster in most models.\n"
        f"- `{KERNELS}`: with `spikegrad.kernels(True)`, which always calls the kernel.\n"
        f"- `{FUSED}`: with `spikegrad.kernels(False)`, plain HLO that XLA fuses with the operations around it.\n"
        f"- `{FORMULA}`: the formula, written as a `jax.custom_vjp`.\n"
        f"- `{BRAINTOOLS}`: its `surrogate`{' (not installed)' * (results.environment[BRAINTOOLS] is None)}.\n\n"
        "Competitors that compile to the same program are timed once, and their columns show the same time.\n"
        f"Marks: `{SAME.strip()}` the same program as the formula's; `{SLOWER.strip()}` spikegrad is slower;\n"
        f"`{DISTURBED.strip()}` other processes used 5 % of a core or more, so the ratio may be wrong (`others` is\n"
        f"their maximum); `{UNSTEADY.strip()}` the quartiles of the times are more than 1.5x apart."
    )
    if results.spike:
        yield from _spike_sections(results)
    if results.model:
        yield from _model_sections(results)
    if results.unrolled:
        yield from _unrolled_sections(results)
    if results.lif:
        yield from _lif_sections(results)
    if results.accuracy:
        yield (
            "## Accuracy of the derivatives\n\n"
            "Errors in units in the last place (ULP). The multi-Gaussian's unit is the spacing at the sum of its\n"
            "terms' magnitudes. XLA on CPUs flushes subnormal results to 0, so all forms\n"
            "except the kernels are wrong there."
        )
        yield accuracy.as_table(results.accuracy)


def markdown(results: Results) -> str:
    return "\n\n".join(_sections(results)) + "\n"
