"""Draw docs/gallery: the spike of each surrogate, its gradient, the gradient's derivative and the smooth function.

    python examples/gallery.py

The pictures are SVG, so that changes are visible in a diff.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from spikegrad import GaussianGrad, MultiGaussianGrad, Sigmoid, Surrogate

INK, GREY, PALE = "#22313f", "#9aa5b1", "#e4e8ec"
SERIES = ["#9ecae1", "#4292c6", "#08306b"]  # light to dark with increasing parameter

matplotlib.use("Agg")
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": PALE,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "spikegrad",
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
)


@dataclass(frozen=True)
class Triangle(Surrogate):
    """The first example in the docstring of `Surrogate`."""

    width: float

    def surrogate_grad(self, x: jax.Array) -> jax.Array:
        return jnp.maximum(0, 1 - jnp.abs(x / self.width)) / self.width

    def surrogate_fun(self, x: jax.Array) -> jax.Array:
        z = jnp.clip(x / self.width, -1, 1)
        return 0.5 + z - 0.5 * z * jnp.abs(z)


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """The second example in the docstring of `Surrogate`."""

    slope: float

    def surrogate_grad(self, x: jax.Array) -> jax.Array:
        return 1 / (1 + self.slope * jnp.abs(x)) ** 2

    def surrogate_fun(self, x: jax.Array) -> jax.Array:
        return x / (1 + self.slope * jnp.abs(x))


GALLERY: dict[str, dict[str, Surrogate]] = {
    "GaussianGrad": {f"sigma={sigma}": GaussianGrad(sigma) for sigma in (0.3, 0.5, 1.0)},
    "MultiGaussianGrad": {f"h={h}": MultiGaussianGrad(h) for h in (0.05, 0.15, 0.3)},
    "Sigmoid": {f"alpha={alpha}": Sigmoid(alpha) for alpha in (2.0, 4.0, 8.0)},
    "Triangle": {f"width={width}": Triangle(width) for width in (0.5, 1.0, 2.0)},
    "FastSigmoid": {f"slope={slope}": FastSigmoid(slope) for slope in (1.0, 2.0, 5.0)},
}


def _second_derivative(surrogate: Surrogate) -> Callable[[jax.Array], jax.Array]:
    return jax.vmap(jax.grad(jax.grad(surrogate)))


def draw(name: str, surrogates: dict[str, Surrogate], folder: Path) -> Path:
    x = jnp.linspace(-3, 3, 240)
    figure, (first, second, third, fourth) = plt.subplots(1, 4, figsize=(12, 2.6), layout="constrained")

    def curves(axes: Axes, title: str, of: Callable[[Surrogate], Callable[[jax.Array], jax.Array]]) -> None:
        for (label, surrogate), colour in zip(surrogates.items(), SERIES, strict=True):
            axes.plot(x, np.asarray(of(surrogate)(x)), color=colour, linewidth=1.6, label=label)
        axes.set(title=title, xlim=(-3, 3), xlabel="x")
        axes.grid()

    # Draw both sides separately, because a line through the jump would be wrong.
    for side in (x < 0, x >= 0):
        spikes = next(iter(surrogates.values()))(x[side])
        first.plot(x[side], np.asarray(spikes), color=INK, linewidth=1.6)
    first.set(title="forward: the spike", xlim=(-3, 3), ylim=(-0.05, 1.05), xlabel="x")
    first.grid()
    curves(second, "gradient", lambda surrogate: jax.vmap(jax.grad(surrogate)))
    curves(third, "second derivative", _second_derivative)
    curves(fourth, "smooth function", lambda surrogate: surrogate.surrogate_fun)
    fourth.legend(fontsize=8)

    path = folder / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw each surrogate.")
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"), help="the folder to write to (docs/gallery)")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for name, surrogates in GALLERY.items():
        print(draw(name, surrogates, folder))


if __name__ == "__main__":
    main()
