"""The surrogates that both braintools and spikegrad have, and grids of their parameters."""

import jax
import jax.numpy as jnp

FUNCTIONS = {"GaussianGrad": "gaussian_grad", "MultiGaussianGrad": "multi_gaussian_grad", "Sigmoid": "sigmoid"}
GRIDS = {
    "GaussianGrad": {"sigma": (0.3, 0.5, 1.0, 2.0), "alpha": (0.25, 0.5, 1.0, 2.0)},
    "MultiGaussianGrad": {"h": (0.0, 0.15, 0.5), "s": (2.0, 6.0), "sigma": (0.3, 0.5, 2.0), "scale": (0.5, 1.5)},
    "Sigmoid": {"alpha": (0.5, 1.0, 4.0, 10.0)},
}


def exact(gradient):
    """A step with this gradient at every order: the derivative rule is differentiable again."""

    @jax.custom_jvp
    def step(x):
        return jnp.asarray(x >= 0, jnp.result_type(x))

    step.defjvp(lambda primals, tangents: (step(*primals), gradient(*primals) * tangents[0]))
    return step
