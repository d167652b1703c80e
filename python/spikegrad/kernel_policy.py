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
            there is one, with the same bits on every platform. False never calls one.

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
class Range:
    """Sizes for which a kernel is called under "auto".

    Attributes:
        smallest: elements, at least. For `lif` they are neurons times steps.
        fewest_steps: for `lif`, steps at least.
    """

    smallest: float
    fewest_steps: int = 1


NEVER = Range(math.inf)
ALWAYS = Range(0)

AUTO: dict[tuple[str, Operation], Range] = {
    ("cpu", "spike"): Range(1000),
    ("cpu", "spike_derivative"): Range(1000),
    ("cpu", "lif"): ALWAYS,
    ("cuda", "spike"): NEVER,
    ("cuda", "spike_derivative"): NEVER,
    ("cuda", "lif"): Range(0, fewest_steps=16),
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
    allowed = AUTO[platform, operation]
    return math.prod(shape) >= allowed.smallest and (steps is None or steps >= allowed.fewest_steps)
