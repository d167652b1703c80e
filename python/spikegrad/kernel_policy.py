"""The kernel policy: for each operation, whether a program calls the kernel or has the fused form.

A kernel is a fusion barrier. It wins where it does much at once; XLA wins where the operation is a small part of a
larger loop. Only the operation itself is known when a program is lowered: its platform, dtype, order and size. The
table below decides by them, and each of its lines is what was measured inside models.

The policy is a jax user context, and so a part of every jit and trace key: a context variable alone would go stale in
functions that were traced before it changed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import jax

from spikegrad.fused import UNROLLED_STEPS
from spikegrad.jax_versions import set_user_context

Policy = bool | Literal["auto"]
"""True: the kernel wherever there is one. False: never. "auto": where it was measured to be no slower."""

Operation = Literal["spike", "spike_derivative", "lif"]

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
        policy: `"auto"`, the default, calls a kernel where it was measured to be no slower than the fused form, the
            same mathematics in plain HLO that XLA fuses with the operations around it. True calls the kernel wherever
            there is one: for float16, bfloat16, float32 and float64 with scalar parameters. It gives the same bits on
            CPUs with fused multiply-add and on GPUs. TPUs have no kernels. False never calls one.

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
    """For which sizes "auto" calls a kernel. A layer's size is its neurons times its steps.

    Attributes:
        smallest, largest: the range, both ends included.
        unrolled_from: the size from which a layer of at most `fused.UNROLLED_STEPS` steps has the fused form.
    """

    smallest: float = 0
    largest: float = math.inf
    unrolled_from: float = math.inf


NEVER = Sizes(smallest=math.inf)

AUTO: dict[tuple[str, Operation], Sizes] = {
    # CPU: two cores with AVX-512, jax 0.10.2, 2026-11-28, as multiples of the plain formula's time in the same run.
    #
    # The step is one comparison, which XLA fuses. Its kernel takes 0.2 to 0.9 alone, but 1.02 to 1.09 in recurrent
    # models of up to 16,000 spikes a step, and 1.2 to 2.7 in 4 unrolled steps of 100,000 and 2,000,000 neurons.
    ("cpu", "spike"): NEVER,
    # The derivative. Recurrent models under `lax.scan` set the threshold, since they are what small arrays are for. In
    # models of 64 to 2,048 spikes a step the kernel takes 1.04 to 1.25 and the fused form 1.00 to 1.04; of 4,096, 1.02
    # to 1.05 and 1.03; of 8,192, 0.82 and 1.02. Elsewhere the kernel wins earlier. Alone it takes 0.2 to 0.6 from 300
    # elements on, and the fused form 1.2 to 3.2 from 100 on. In 16 unrolled steps it takes 0.1 to 0.4 from 1,000 on,
    # and the fused form 1.3: XLA computes all earlier steps again for each plain step. In 4 unrolled steps both lose:
    # the kernel takes 1.3 at 100,000 neurons and 2.1 at 2,000,000, the fused form 1.7 and 2.0.
    ("cpu", "spike_derivative"): Sizes(smallest=5000),
    # 4 steps of 100,000 neurons: the fused form takes 1.0 forward and 1.5 in the gradient, the kernel 5.7 and 3.8 with
    # the sum over time behind it. 4 steps of 1000 neurons: the kernel 0.7 and 1.0, the fused form 1.0 and 1.7.
    ("cpu", "lif"): Sizes(unrolled_from=40_000),
    # GPU: an H100, jax 0.11.2, 2026-11-27.
    #
    # Kernels reach 0.87 to 0.96 of a copy's bandwidth and XLA's own loops all of it; in recurrent models kernels take
    # 1.14 to 1.38 times the formula's time, in 4 unrolled steps of 2M and 8M neurons up to 2.5 times.
    ("cuda", "spike"): NEVER,
    ("cuda", "spike_derivative"): NEVER,
    # 4 steps of 2M neurons: gradient 75 us unrolled, 256 us by the kernels. Longer layers were measured from 128 steps
    # on: there the kernels are 2.4 to 100 times as fast as the best scan.
    ("cuda", "lif"): Sizes(unrolled_from=0),
}


def calls_kernel(policy: Policy, platform: str, operation: Operation, shape: Sequence[Any], steps: Any = None) -> bool:
    """Whether a program for this platform calls the kernel of an operation that has one.

    `shape` is that of x, or of the current of a layer, and `steps` the layer's number of steps. A symbolic size is
    unknown, and takes the kernel.
    """
    if policy != "auto":
        return bool(policy)
    if not all(isinstance(size, int) for size in shape):
        return True
    size, sizes = math.prod(shape), AUTO[platform, operation]
    if steps is not None and steps <= UNROLLED_STEPS and size >= sizes.unrolled_from:
        return False
    return sizes.smallest <= size <= sizes.largest
