"""The pictures of `digits.py`: surrogate gradients, training curves, and the spikes for one digit."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from spikegrad import GaussianGrad

INK, GREY, PALE = "#22313f", "#9aa5b1", "#e4e8ec"
BLUE, ORANGE = "#2166ac", "#d6604d"
SERIES = ["#9ecae1", "#4292c6", "#2166ac", "#08306b"]  # light to dark with increasing parameter

matplotlib.use("Agg")
plt.rcParams.update(
    {
        "savefig.dpi": 150,
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.color": INK,
        "grid.color": PALE,
        "legend.frameon": False,
    }
)


class History(NamedTuple):
    """One value per epoch."""

    loss: list[float]
    train_accuracy: list[float]
    test_accuracy: list[float]


def save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    plt.close(figure)
    return path


def draw_surrogates(path: Path) -> Path:
    """The gradients of `GaussianGrad` for several values of sigma and alpha."""
    xs = jnp.linspace(-4, 4, 1000)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for sigma, colour in zip([0.3, 0.5, 1.0, 2.0], SERIES, strict=True):
        gradients = jax.vmap(jax.grad(GaussianGrad(sigma=sigma, alpha=0.5)))(xs)
        left.plot(xs, gradients, color=colour, linewidth=1.8, label=rf"$\sigma={sigma}$")
    for alpha, colour in zip([0.25, 0.5, 1.0, 2.0], SERIES, strict=True):
        gradients = jax.vmap(jax.grad(GaussianGrad(sigma=0.5, alpha=alpha)))(xs)
        right.plot(xs, gradients, color=colour, linewidth=1.8, label=rf"$\alpha={alpha}$")
    left.set_title(r"Gaussian gradients ($\alpha=0.5$)")
    right.set_title(r"Scaling effect ($\sigma=0.5$)")
    for axes in (left, right):
        axes.set(xlabel="input x (membrane minus threshold)", ylabel="gradient of the spike", xlim=(-4, 4))
        axes.set_ylim(bottom=0)
        axes.grid()
        axes.legend()
    return save(figure, path)


def draw_training(path: Path, history: History) -> Path:
    epochs = np.arange(1, len(history.loss) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.semilogy(epochs, history.loss, ".-", color=INK)
    left.set(title="Loss on the training digits", ylabel="cross-entropy + cost of spikes")
    left.yaxis.set_major_formatter("{x:g}")
    right.plot(epochs, history.train_accuracy, ".-", color=BLUE, label="training digits")
    right.plot(epochs, history.test_accuracy, ".-", color=ORANGE, label="held-out digits")
    right.set(title=f"Accuracy ({history.test_accuracy[-1]:.1%} on the held-out digits at the end)")
    right.set_ylabel("share of digits recognised")
    right.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid()
    return save(figure, path)


class Decision(NamedTuple):
    """The readout. Its last step gives the prediction."""

    readout: np.ndarray  # (time, classes)
    label: int
    names: range  # of the classes

    @property
    def prediction(self) -> int:
        return int(self.readout[-1].argmax())

    def colour_of(self, index: int) -> str:
        return BLUE if index == self.label else ORANGE if index == self.prediction else GREY


class Response(NamedTuple):
    """The network's response to one digit."""

    image: np.ndarray  # (rows, columns)
    inputs: np.ndarray  # (time, input lines)
    spikes: np.ndarray  # (time, neurons)
    votes: np.ndarray  # (neurons,): the weight from each to the readout of the true class
    decision: Decision


def draw_raster(path: Path, response: Response) -> Path:
    figure = plt.figure(figsize=(11, 7.5), layout="constrained")
    figure.get_layout_engine().set(hspace=0.06, wspace=0.05)
    grid = figure.add_gridspec(3, 2, width_ratios=[1, 2.8], height_ratios=[1, 2.4, 1.8])
    top = figure.add_subplot(grid[0, 1])
    middle = figure.add_subplot(grid[1, 1], sharex=top)
    bottom = figure.add_subplot(grid[2, 1], sharex=top)
    draw_image(figure.add_subplot(grid[:2, 0]), response)
    draw_decision(figure.add_subplot(grid[2, 0], sharey=bottom), response.decision)
    draw_inputs(top, response)
    draw_spikes(middle, response.spikes, colours_of(response.votes))
    explain_colours(middle, response.decision)
    draw_readout(bottom, response.decision)
    for axes in (top, middle):
        axes.tick_params(labelbottom=False)
    time, rows = len(response.spikes), len(response.image)
    bottom.set(xlabel="time (steps)", xlim=(0, time), xticks=range(0, time + 1, time // rows))
    figure.align_ylabels([top, middle, bottom])
    return save(figure, path)


def draw_image(axes: Axes, response: Response) -> None:
    size = len(response.image)
    axes.imshow(response.image, cmap="Greys", vmin=0, vmax=1)
    numbers = [str(i + 1) for i in range(size)]
    axes.set_xticks(range(size), numbers)
    axes.set_yticks(range(size), numbers)
    axes.set(xlabel="column, in the order of reading", ylabel="row, in the order of reading")
    axes.spines[:].set_visible(True)
    axes.tick_params(length=0)
    draw_title(axes, "held-out digit", response.decision)


def draw_title(axes: Axes, what: str, decision: Decision) -> None:
    title = f"{what}: {decision.names[decision.label]}\nprediction: {decision.names[decision.prediction]}"
    axes.set_title(title, color=decision.colour_of(decision.prediction), fontsize=15, weight="bold")


def draw_decision(axes: Axes, decision: Decision) -> None:
    classes = range(len(decision.names))
    axes.bar(classes, decision.readout[-1], color=[decision.colour_of(index) for index in classes])
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(title="Readout at the last step", xlabel="class", ylabel="membrane potential")
    axes.set_xticks(classes, [str(name) for name in decision.names])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def draw_inputs(axes: Axes, response: Response) -> None:
    time, lines = response.inputs.shape
    axes.imshow(response.inputs.T, cmap="Greys", vmin=0, vmax=1, aspect="auto", extent=(0, time, lines, 0))
    axes.axhline(lines / 2, color=GREY, linewidth=1)
    axes.set_yticks([lines / 4, 3 * lines / 4], ["row", "column"])
    axes.tick_params(axis="y", length=0)
    axes.set(title="Input: the pixels of one row and of one column at a time", ylabel="input line")


def draw_spikes(
    axes: Axes, spikes: np.ndarray, colours: np.ndarray, name: str = "Spikes", linewidth: float = 3.5
) -> None:
    """Draw the spikes (time, neurons), each neuron in its colour."""
    active = np.flatnonzero(spikes.any(axis=0))
    by_first_spike = active[np.argsort(spikes[:, active].argmax(axis=0), kind="stable")]
    times, rows = np.nonzero(spikes[:, by_first_spike])
    colour = colours[by_first_spike][rows]
    axes.vlines(times + 0.5, rows + 0.05, rows + 0.95, color=colour, linewidth=linewidth)
    axes.set(title=f"{name}: {len(active)} of {spikes.shape[1]} hidden neurons fire")
    axes.set(ylabel="neuron, by its first spike", ylim=(len(active), 0))
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def colours_of(votes: np.ndarray) -> np.ndarray:
    return np.where(votes > 0, BLUE, GREY)


def explain_colours(axes: Axes, decision: Decision) -> None:
    goal = f"the readout of {decision.names[decision.label]}"
    lines = [Line2D([], [], color=BLUE, label=f"raises {goal}"), Line2D([], [], color=GREY, label=f"lowers {goal}")]
    axes.legend(handles=lines, loc="lower left")


def draw_readout(axes: Axes, decision: Decision) -> None:
    middles = np.arange(len(decision.readout)) + 0.5
    axes.plot(middles, decision.readout, color=GREY, linewidth=1)
    for index in sorted({decision.label, decision.prediction}):
        roles = [role for role in ("label", "prediction") if getattr(decision, role) == index]
        label = f"{decision.names[index]} ({' and '.join(roles)})"
        axes.plot(middles, decision.readout[:, index], color=decision.colour_of(index), linewidth=2.6, label=label)
    axes.set(title="Readout: one leaky membrane per class", ylabel="membrane potential")
    axes.grid()
    axes.legend(loc="upper left")
