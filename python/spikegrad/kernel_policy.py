"""The kernel policy: for each operation, whether a program calls the kernel or has the fused form.

A kernel is a fusion barrier. It wins where it does much at once; XLA wins where the operation is a small part of a
larger loop. Only the operation itself is known when a program is lowered. The table below decides by its platform,
dtype and shape, and each of its lines is what was measured inside models, with the Gaussian's gradient. Family and
order are not in the table: other surrogates and higher orders have the same thresholds.

The policy is a jax user context, and so a part of every jit and trace key: a context variable alone would go stale in
functions that were traced before it changed.
"""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import jax
from jax.core import ShapedArray

from spikegrad.ffi_targets import has_kernels
from spikegrad.fused import UNROLLED_STEPS
from spikegrad.jax_versions import set_user_context

Policy = bool | Literal["auto"]
"""True: the kernel wherever there is one. False: never. "auto": where it was faster in most measured models."""

Operation = Literal["spike", "spike_derivative", "lif"]

ANY = "any other dtype"

VARIABLE = "SPIKEGRAD_KERNELS"

_OF_TEXT: dict[str, Policy] = {"auto": "auto", "1": True, "0": False}


def _policy_of_environment() -> Policy:
    text = os.environ.get(VARIABLE, "auto")
    if text not in _OF_TEXT:
        raise ValueError(f"the environment variable {VARIABLE} must be auto, 1 or 0, and is {text!r}")
    return _OF_TEXT[text]


_context = jax.make_user_context(default_value=_policy_of_environment())


def current_policy() -> Policy:
    """The policy for what is traced now."""
    return _context.value


def _checked(policy: Policy) -> Policy:
    if not isinstance(policy, bool) and not (isinstance(policy, str) and policy == "auto"):
        raise ValueError(f'policy must be "auto", True or False, and is {policy!r}')
    return policy


def use_kernels(policy: Policy) -> None:
    """Set the kernel policy of the whole process.

    Functions that are compiled already are compiled again when they are next called. The environment variable
    `SPIKEGRAD_KERNELS` sets the policy from the start: `auto`, `1` or `0`.

    Args:
        policy: `"auto"`, the default, calls a kernel where it was faster in most measured models than the fused
            form, the same mathematics in plain HLO that XLA fuses with the operations around it. True calls the kernel
            wherever there is one: for float16, bfloat16, float32 and float64 with scalar parameters. It gives the same
            bits on CPUs with fused multiply-add and on GPUs. TPUs have no kernels. False never calls one.

    Raises:
        ValueError: `policy` is none of these.
    """
    set_user_context(_context, _checked(policy))


def kernels(policy: Policy) -> AbstractContextManager[None]:
    """A `with` block with its own kernel policy, in this thread.

    >>> with spikegrad.kernels(False):
    ...     spikes = jax.jit(model)(x)

    Args:
        policy: `"auto"`, True or False, as for `use_kernels`.

    Raises:
        ValueError: `policy` is none of these.
    """
    return _context(_checked(policy))


@dataclass(frozen=True)
class Sizes:
    """The sizes for which "auto" calls a kernel. A layer's size is its neurons times its steps.

    Attributes:
        smallest: the smallest size.
        smallest_vector: the smallest size of an array with one dimension larger than 1 at most.
        unrolled_from: the size from which a layer of at most `fused.UNROLLED_STEPS` steps has the fused form.
    """

    smallest: float = 0
    smallest_vector: float = 0
    unrolled_from: float = math.inf


NEVER = Sizes(smallest=math.inf, smallest_vector=math.inf)

AUTO: dict[tuple[str, Operation, str], Sizes] = {
    # CPU: two cores with AVX-512, jax 0.10.2, 2026-11-28, as multiples of the plain formula's time in the same run.
    #
    # The step is one comparison, which XLA fuses. Its kernel takes 0.2 to 0.9 alone, but 1.02 to 1.09 in recurrent
    # models of up to 16,000 spikes a step, and 1.2 to 2.7 in 4 unrolled steps of 100,000 and 2,000,000 neurons.
    ("cpu", "spike", ANY): NEVER,
    # The derivative, in the gradient of recurrent models under `lax.scan`, batch x neurons, kernel | fused form:
    #
    #   batches        8x64         8x128        32x64        32x128       128x64       32x256
    #   float32    1.09 | 1.03  1.04 | 1.02               1.02 | 1.03  1.03 | 1.06  0.82 | 1.02
    #   float64    1.03 | 1.23  1.02 | 1.31  1.03 | 1.38  0.99 | 1.14  1.05 | 1.09
    #   float16    1.05 | 1.06  1.01 | 1.06  1.04 | 1.80  1.07 | 1.70  1.06 | 1.38
    #   bfloat16   1.00 | 0.99  1.01 | 0.98  0.99 | 0.98  0.99 | 1.00  0.96 | 0.97
    #
    #   vectors        1x16         1x32         1x64         1x100        1x128        1x256
    #   float32                 1.35 | 1.02  1.15 | 1.07  1.13 | 2.71  1.12 | 3.26  0.84 | 3.27
    #   float64    1.19 | 1.64  1.27 | 3.26  1.14 | 5.62                            1.00 | 3.10
    #   float16    1.16 | 1.02  1.25 | 1.01  1.18 | 1.10                            1.03 | 6.00
    #   bfloat16   1.10 | 1.02  1.05 | 1.00  1.02 | 1.01                            0.93 | 0.92
    #
    # The gradient by the weights of a vector's layer is an outer product. XLA puts the fused form into its loop, which
    # computes each derivative once for every row.
    #
    # Elsewhere the kernel wins earlier. Alone, in float32, it takes 0.2 to 0.6 from 200 elements on, and the fused form
    # 1.2 to 3.2. In 16 unrolled steps it takes 0.1 to 0.4 from 1,000 elements on, and the fused form 1.3: XLA computes
    # all earlier steps again for each plain step. In 4 unrolled steps both lose: the kernel takes 1.3 at 100,000
    # neurons and 2.1 at 2,000,000, the fused form 1.7 and 2.0.
    ("cpu", "spike_derivative", "float32"): Sizes(smallest=5000, smallest_vector=100),
    ("cpu", "spike_derivative", "float64"): Sizes(smallest=256, smallest_vector=16),
    ("cpu", "spike_derivative", ANY): Sizes(smallest=1000, smallest_vector=100),
    # 4 steps of 100,000 neurons: the fused form takes 1.0 forward and 1.5 in the gradient, the kernel 5.7 and 3.8 with
    # the sum over time behind it. 4 steps of 1000 neurons: the kernel 0.7 and 1.0, the fused form 1.0 and 1.7.
    ("cpu", "lif", ANY): Sizes(unrolled_from=40_000),
    # GPU: an H100, jax 0.11.2, 2026-11-27.
    #
    # Kernels reach 0.87 to 0.96 of a copy's bandwidth and XLA's own loops all of it; in recurrent models kernels take
    # 1.14 to 1.38 times the formula's time, in 4 unrolled steps of 2M and 8M neurons up to 2.5 times.
    ("cuda", "spike", ANY): NEVER,
    ("cuda", "spike_derivative", ANY): NEVER,
    # 4 steps of 2M neurons: gradient 75 us unrolled, 256 us by the kernels. Longer layers were measured from 128 steps
    # on: there the kernels are 2.4 to 100 times as fast as the best scan.
    ("cuda", "lif", ANY): Sizes(unrolled_from=0),
}


def calls_kernel(policy: Policy, platform: str, operation: Operation, x: ShapedArray, steps: Any = None) -> bool:
    """Whether a program for this platform calls the kernel of an operation that has one.

    `x` is the operand of that name, or the current of a layer, and `steps` the layer's number of steps. A symbolic size
    is unknown, and takes the kernel.
    """
    return _wants_kernel(policy, platform, operation, x, steps) and has_kernels(platform)


def _wants_kernel(policy: Policy, platform: str, operation: Operation, x: ShapedArray, steps: Any) -> bool:
    if policy != "auto":
        return bool(policy)
    if not all(isinstance(size, int) for size in x.shape):
        return True
    sizes = AUTO.get((platform, operation, x.dtype.name)) or AUTO[platform, operation, ANY]
    size = math.prod(x.shape)
    if steps is not None and steps <= UNROLLED_STEPS and size >= sizes.unrolled_from:
        return False
    is_vector = size == max(x.shape, default=1)
    return size >= (sizes.smallest_vector if is_vector else sizes.smallest)
