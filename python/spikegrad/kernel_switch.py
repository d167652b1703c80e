"""Whether the kernels are used, or the same mathematics in `jax.numpy`.

The value is a jax user context, and so a part of every jit and trace key: a context variable alone would go stale in
functions that were traced before it changed.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import jax

from spikegrad.jax_versions import set_user_context

VARIABLE = "SPIKEGRAD_KERNELS"


def _flag_of_environment() -> bool:
    text = os.environ.get(VARIABLE, "1")
    if text not in ("0", "1"):
        raise ValueError(f"the environment variable {VARIABLE} must be 0 or 1, and is {text!r}")
    return text == "1"


_context = jax.make_user_context(default_value=_flag_of_environment())


def kernels_enabled() -> bool:
    """Whether what is traced now uses the kernels."""
    return _context.value


def _checked(flag: bool) -> bool:
    if not isinstance(flag, bool):
        raise TypeError(f"flag must be True or False, and is {flag!r}")
    return flag


def use_kernels(flag: bool) -> None:
    """Turns the kernels on or off for the whole process.

    Off, the spike and its derivatives are computed in `jax.numpy`, which XLA fuses with what stands around them: slower
    alone, the same speed or faster between other elementwise operations, and less accurate (see README). Functions that
    are compiled already are compiled anew when they are next called. The environment variable `SPIKEGRAD_KERNELS=0`
    does the same from the start.

    Args:
        flag: whether to use the kernels.

    Raises:
        TypeError: `flag` is not a bool.
    """
    set_user_context(_context, _checked(flag))


def kernels(flag: bool) -> AbstractContextManager[None]:
    """A `with` block, in this thread, in which the kernels are on or off.

    >>> with spikegrad.kernels(False):
    ...     spikes = jax.jit(model)(x)

    Args:
        flag: whether to use the kernels inside the block.

    Raises:
        TypeError: `flag` is not a bool.
    """
    return _context(_checked(flag))
