"""Train a recurrent spiking network on handwritten digits, with `spikegrad.GaussianGrad` as its spike.

The data are scikit-learn's 1,797 real digits of 8 x 8 pixels; a fifth of them is held out. The network reads an image
over time, a row and a column at once for a few steps: first the top row and the left column, last the bottom row and
the right column. It has 128 leaky integrate-and-fire neurons, which spike if their membrane reaches the threshold. The
step function has no useful derivative, so the backward pass uses a Gaussian instead. An epoch is one jitted call: a
`lax.scan` over the minibatches, which contains the gradient of a `lax.scan` over time.

The program prints the accuracy on the held-out digits, and the time of a training step with the kernels on and off. It
draws the surrogate gradients, the training curves, and the spikes for one digit. It takes less than a minute on two
cores:

    pip install . optax scikit-learn matplotlib tqdm
    python examples/digits.py --out out/demo
"""

import argparse
import functools
import sys
from pathlib import Path
from typing import NamedTuple

import digits_pictures as pictures
import jax
import jax.numpy as jnp
import numpy as np
import optax
import spikegrad
from jax import Array
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from timing import median_seconds
from tqdm import trange

PIXELS, CLASSES = 8, 10
HIDDEN = 128
STEPS_PER_ROW = 4
LEAK, READOUT_LEAK = 0.9, 0.95  # the share of the membrane that remains after one step
THRESHOLD = 1.0

BATCH = 64
LEARNING_RATE = 5e-3
PIXEL_NOISE = 0.15  # in training, against overfitting to 1,437 images
RATE_COST = 5.0  # a cost of spikes makes them sparse
REQUIRED_ACCURACY = 0.95

spike = spikegrad.GaussianGrad(sigma=0.5, alpha=0.5)


class Digits(NamedTuple):
    images: Array  # (n, 8, 8), from 0 to 1
    labels: Array  # (n,)


class Params(NamedTuple):
    inputs: Array
    recurrent: Array
    bias: Array
    readout: Array
    readout_bias: Array


class Neurons(NamedTuple):
    membrane: Array
    spikes: Array
    readout: Array


class Training(NamedTuple):
    params: Params
    optimiser_state: optax.OptState


def load_data() -> tuple[Digits, Digits]:
    """The training digits and the held-out fifth, with a fixed split."""
    digits = load_digits()
    images, labels = jnp.asarray(digits.images / 16, jnp.float32), jnp.asarray(digits.target)
    train, test = train_test_split(range(len(labels)), test_size=0.2, stratify=digits.target, random_state=0)
    held_in, held_out = (Digits(images[jnp.array(part)], labels[jnp.array(part)]) for part in (train, test))
    return held_in, held_out


def initial_params(key: Array) -> Params:
    def normal(key: Array, shape: tuple[int, int], gain: float) -> Array:
        return gain * jax.random.normal(key, shape) / shape[0] ** 0.5

    inputs, recurrent, readout = jax.random.split(key, 3)
    return Params(
        inputs=normal(inputs, (2 * PIXELS, HIDDEN), gain=1.0),
        recurrent=normal(recurrent, (HIDDEN, HIDDEN), gain=0.5),
        bias=jnp.zeros(HIDDEN),
        readout=normal(readout, (HIDDEN, CLASSES), gain=0.5),
        readout_bias=jnp.zeros(CLASSES),
    )


def as_sequence(images: Array) -> Array:
    """Convert images (n, 8, 8) to the values of the 16 input lines, (time, n, 16): row t beside column t."""
    rows_and_columns = jnp.concatenate([images, images.mT], axis=-1)
    return jnp.repeat(rows_and_columns.swapaxes(0, 1), STEPS_PER_ROW, axis=0)


def network_step(params: Params, neurons: Neurons, inputs: Array) -> Neurons:
    current = inputs @ params.inputs + neurons.spikes @ params.recurrent + params.bias
    membrane = LEAK * neurons.membrane + current - THRESHOLD * neurons.spikes  # the last term is a soft reset
    spikes = spike(membrane - THRESHOLD)
    readout = READOUT_LEAK * neurons.readout + spikes @ params.readout + params.readout_bias
    return Neurons(membrane, spikes, readout)


def run_network(params: Params, images: Array) -> Neurons:
    """The neurons at every step: each array of shape (time, n, neurons)."""

    def scan_step(neurons: Neurons, inputs: Array) -> tuple[Neurons, Neurons]:
        neurons = network_step(params, neurons, inputs)
        return neurons, neurons

    n = len(images)
    at_rest = Neurons(jnp.zeros((n, HIDDEN)), jnp.zeros((n, HIDDEN)), jnp.zeros((n, CLASSES)))
    return jax.lax.scan(scan_step, at_rest, as_sequence(images))[1]


def loss_function(params: Params, batch: Digits) -> Array:
    """Cross-entropy of the readout at the last step, plus a cost for high spike rates."""
    neurons = run_network(params, batch.images)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(neurons.readout[-1], batch.labels)
    rates = neurons.spikes.mean(axis=(0, 1))
    return cross_entropy.mean() + RATE_COST * jnp.mean(rates**2)


def train_step(
    optimiser: optax.GradientTransformation, training: Training, batch: Digits, key: Array
) -> tuple[Training, Array]:
    noisy = batch._replace(images=batch.images + PIXEL_NOISE * jax.random.normal(key, batch.images.shape))
    loss, gradient = jax.value_and_grad(loss_function)(training.params, noisy)
    updates, optimiser_state = optimiser.update(gradient, training.optimiser_state)
    return Training(optax.apply_updates(training.params, updates), optimiser_state), loss


@functools.partial(jax.jit, static_argnames="optimiser")
def train_epoch(
    optimiser: optax.GradientTransformation, training: Training, data: Digits, key: Array
) -> tuple[Training, Array]:
    """Train on the data once, in shuffled minibatches. Returns the new state and the mean loss."""
    shuffle_key, noise_key = jax.random.split(key)
    batches = len(data.labels) // BATCH
    order = jax.random.permutation(shuffle_key, len(data.labels))[: batches * BATCH].reshape(batches, BATCH)

    def scan_step(training: Training, batch: tuple[Array, Array]) -> tuple[Training, Array]:
        indices, key = batch
        return train_step(optimiser, training, Digits(data.images[indices], data.labels[indices]), key)

    training, losses = jax.lax.scan(scan_step, training, (order, jax.random.split(noise_key, batches)))
    return training, losses.mean()


@jax.jit
def accuracy(params: Params, data: Digits) -> Array:
    prediction = run_network(params, data.images).readout[-1].argmax(axis=-1)
    return jnp.mean(prediction == data.labels)


def make_optimiser(epochs: int, data: Digits) -> optax.GradientTransformation:
    steps = epochs * (len(data.labels) // BATCH)
    return optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))


def train(
    optimiser: optax.GradientTransformation, train_data: Digits, test_data: Digits, epochs: int, seed: int
) -> tuple[Training, pictures.History]:
    params_key, epochs_key = jax.random.split(jax.random.key(seed))
    params = initial_params(params_key)
    training = Training(params, optimiser.init(params))
    history = pictures.History([], [], [])
    progress = trange(epochs, desc="training", unit="epoch")
    for epoch in progress:
        training, loss = train_epoch(optimiser, training, train_data, jax.random.fold_in(epochs_key, epoch))
        history.loss.append(float(loss))
        history.train_accuracy.append(float(accuracy(training.params, train_data)))
        history.test_accuracy.append(float(accuracy(training.params, test_data)))
        progress.set_postfix_str(
            f"loss {history.loss[-1]:.3f}, "
            f"accuracy {history.train_accuracy[-1]:.1%} train, {history.test_accuracy[-1]:.1%} test"
        )
    return training, history


def time_train_step(
    optimiser: optax.GradientTransformation, training: Training, data: Digits, repeats: int = 100
) -> dict[bool, float]:
    """The median time of a training step in seconds, with the kernels on (True) and off (False)."""
    arguments = training, Digits(data.images[:BATCH], data.labels[:BATCH]), jax.random.key(0)
    steps = {}
    for flag in (True, False):
        with spikegrad.kernels(flag):
            step = jax.jit(functools.partial(train_step, optimiser)).lower(*arguments).compile()
        steps[flag] = functools.partial(step, *arguments)
    return median_seconds(steps, repeats)


def response_to(params: Params, image: Array, label: Array) -> pictures.Response:
    neurons = run_network(params, image[None])
    return pictures.Response(
        image=np.asarray(image),
        inputs=np.asarray(as_sequence(image[None])[:, 0]),
        spikes=np.asarray(neurons.spikes[:, 0]),
        votes=np.asarray(params.readout[:, label]),
        decision=pictures.Decision(np.asarray(neurons.readout[:, 0]), int(label), range(CLASSES)),
    )


def draw_pictures(folder: Path, params: Params, history: pictures.History, test_data: Digits) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    response = response_to(params, test_data.images[0], test_data.labels[0])
    return [
        pictures.draw_surrogates(folder / "surrogate.png"),
        pictures.draw_training(folder / "training.png", history),
        pictures.draw_raster(folder / "raster.png", response),
    ]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the pictures (%(default)s)")
    parser.add_argument("--epochs", type=int, default=50, help="number of passes through the data (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights, minibatches and noise (%(default)s)")
    arguments = parser.parse_args()
    if arguments.epochs < 1:
        parser.error("--epochs must be at least 1")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    train_data, test_data = load_data()
    optimiser = make_optimiser(arguments.epochs, train_data)
    training, history = train(optimiser, train_data, test_data, arguments.epochs, arguments.seed)

    test_accuracy = history.test_accuracy[-1]
    rate = float(run_network(training.params, test_data.images).spikes.mean())
    print(f"test accuracy: {test_accuracy:.2%} of {len(test_data.labels)} held-out digits")
    print(f"spikes per neuron and step: {rate:.3f}")

    seconds = time_train_step(optimiser, training, train_data)
    print(f"training step: {1e3 * seconds[True]:.2f} ms with the kernels, {1e3 * seconds[False]:.2f} ms without")

    for path in draw_pictures(arguments.out, training.params, history, test_data):
        print(path)
    if test_accuracy < REQUIRED_ACCURACY:
        sys.exit(f"the test accuracy is below {REQUIRED_ACCURACY:.0%}")


if __name__ == "__main__":
    main()
