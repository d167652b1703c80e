"""The pictures of `vowels.py`: training curves, the cost of a training step, and the spikes for one utterance."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from digits_pictures import (
    BLUE,
    INK,
    ORANGE,
    Decision,
    colours_of,
    draw_decision,
    draw_readout,
    draw_spikes,
    draw_title,
    explain_colours,
    save,
)
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

# The second line is dashed and drawn over the first one, so that both stay visible where they coincide.
STYLES = ({"color": BLUE, "linewidth": 2.4}, {"color": ORANGE, "linewidth": 1.6, "linestyle": "--"})


class History(NamedTuple):
    """One value per epoch."""

    loss: list[float]
    accuracy: list[float]  # of the held-out utterances


def draw_training(path: Path, histories: dict[str, History]) -> Path:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, history), style in zip(histories.items(), STYLES, strict=True):
        epochs = np.arange(1, len(history.loss) + 1)
        left.semilogy(epochs, history.loss, label=name, **style)
        right.plot(epochs, history.accuracy, label=f"{name}: {history.accuracy[-1]:.1%}", **style)
    left.set(title="Loss on the training utterances", ylabel="cross-entropy")
    left.yaxis.set_major_formatter("{x:g}")
    right.set(title="Accuracy on the held-out utterances", ylabel="share of speakers recognised")
    right.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
        axes.legend()
    return save(figure, path)


class Cost(NamedTuple):
    """The cost of one training step."""

    seconds: float
    memory: int  # bytes of temporary memory


def draw_costs(path: Path, costs: dict[int, dict[str, Cost]]) -> Path:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    steps = list(costs)
    for name, style in zip(costs[steps[0]], STYLES, strict=True):
        left.plot(steps, [1e3 * by_name[name].seconds for by_name in costs.values()], marker="o", label=name, **style)
        right.plot(steps, [by_name[name].memory / 1e6 for by_name in costs.values()], marker="o", label=name, **style)
    left.set(title="Time of a training step", ylabel="milliseconds")
    right.set(title="Temporary memory of a training step", ylabel="MB")
    for axes in (left, right):
        axes.set_xlabel("length of an utterance (steps)")
        axes.set_xticks(steps)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid()
        axes.legend()
    return save(figure, path)


class LayerResponse(NamedTuple):
    spikes: np.ndarray  # (time, neurons)
    decays: np.ndarray  # (2, neurons), before and after training
    thresholds: np.ndarray  # (2, neurons)


class Response(NamedTuple):
    """The network's response to one utterance."""

    frames: np.ndarray  # (time, coefficients)
    onset: int  # the step at which silence ends
    layers: list[LayerResponse]
    votes: np.ndarray  # (neurons,): the weight from each neuron of the last layer to the readout of the true class
    decision: Decision


def draw_raster(path: Path, response: Response) -> Path:
    figure = plt.figure(figsize=(12, 11), layout="constrained")
    figure.get_layout_engine().set(hspace=0.05, wspace=0.05)
    grid = figure.add_gridspec(4, 2, width_ratios=[1, 2.8], height_ratios=[1, 2, 2, 1.6])
    time = [figure.add_subplot(grid[row, 1]) for row in range(4)]
    learnt = [figure.add_subplot(grid[row, 0]) for row in (1, 2)]
    corner = figure.add_subplot(grid[0, 0])
    corner.axis("off")
    draw_title(corner, "held-out voice", response.decision)
    draw_frames(time[0], response)
    colours = [np.full(len(response.votes), INK), colours_of(response.votes)]
    for number, layer in enumerate(response.layers):
        name = f"Layer {number + 1}"
        draw_spikes(time[1 + number], layer.spikes, colours[number], name, linewidth=2)
        draw_learnt(learnt[number], layer, colours[number], name)
    explain_colours(time[2], response.decision)
    draw_readout(time[3], response.decision)
    draw_decision(figure.add_subplot(grid[3, 0], sharey=time[3]), response.decision)
    for axes in time:
        axes.axvline(response.onset, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xlim(0, len(response.frames))
        axes.tick_params(labelbottom=axes is time[3])
    time[3].set_xlabel("time (steps)")
    figure.align_ylabels(time)
    return save(figure, path)


def draw_frames(axes: Axes, response: Response) -> None:
    time, coefficients = response.frames.shape
    image = axes.imshow(
        response.frames.T, cmap="RdBu_r", vmin=-3, vmax=3, aspect="auto", extent=(0, time, coefficients + 0.5, 0.5)
    )
    axes.figure.colorbar(image, ax=axes, label="deviations", pad=0.01)
    axes.set_yticks([1, coefficients])
    axes.tick_params(axis="y", length=0)
    axes.set(title="Input: silence, then the cepstrum of the voice, frame by frame", ylabel="coefficient")


def draw_learnt(axes: Axes, layer: LayerResponse, colours: np.ndarray, name: str) -> None:
    """Draw a line for each neuron, from its decay and threshold before training to their values after it."""
    for decays, thresholds, colour in zip(layer.decays.T, layer.thresholds.T, colours, strict=True):
        axes.plot(decays, thresholds, color=colour, linewidth=0.6)
    axes.scatter(layer.decays[1], layer.thresholds[1], s=14, color=colours, linewidths=0)
    axes.set(title=f"{name}: what training changed", xlabel="decay of the membrane in a step", ylabel="threshold")
    axes.grid()
    axes.set_axisbelow(True)
