"""What a partitioned program must not hold, and the mesh on which the tests partition."""

import re

import jax
import numpy as np
from spikegrad.kernel_policy import current_policy

COLLECTIVE = re.compile(r"\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|dynamic-slice)\b")


def mesh(kind):
    return jax.make_mesh((4, 2), ("i", "j"), axis_types=(kind,) * 2, devices=jax.devices("cpu"))


def all_kernels():
    """Whether the policy in force calls every kernel. Then a program's calls can be counted and its bits compared."""
    return current_policy() is True


def assert_same(actual, expected):
    """The same bits by kernels. XLA contracts sums and products differently in a partitioned program."""
    if all_kernels():
        np.testing.assert_array_equal(actual, expected)
    else:
        rtol = 1e-2 if actual.dtype.itemsize == 2 else 1e-5
        np.testing.assert_allclose(np.float64(actual), np.float64(expected), rtol=rtol, atol=1e-6)
