"""`lif`: a layer of leaky integrate-and-fire neurons over all time steps in one call."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Literal, SupportsIndex, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import ShapedArray
from jax.sharding import AxisType
from jax.typing import ArrayLike

from spikegrad.kernel_parameters import kernel_parameters
from spikegrad.lif_scan import lif_scan
from spikegrad.parameters import as_input, as_number_or_array, check_real
from spikegrad.primitives import lif as primitive
from spikegrad.primitives.binding import unified
from spikegrad.primitives.lif_lowering import as_arrays
from spikegrad.primitives.lif_operands import LAYER, kinds
from spikegrad.primitives.lif_shapes import state_like
from spikegrad.surrogates import GaussianGrad

Spike = Callable[[Array], Array]
Reset = Literal["subtract", "zero"]
StepOrder = Literal["charge_fire_reset", "reset_undecayed", "fire_charge"]

RESETS = ("subtract", "zero", None)
STEP_ORDERS = ("charge_fire_reset", "reset_undecayed", "fire_charge")

SYMBOLIC_CHECKPOINT_EVERY = 32
"""The default for a symbolic number of steps (`jax.export`): about the default for 1000 steps."""

LARGEST_SYMBOLIC_CHECKPOINT_EVERY = 2**30
"""jax computes the number of checkpoints in int32, and adds this value to the symbolic number of steps."""

_GAUSSIAN = GaussianGrad()


@overload
def lif(
    current: ArrayLike,
    decay: ArrayLike,
    threshold: ArrayLike,
    *,
    v0: ArrayLike | None = ...,
    reset: Reset | None = ...,
    detach_reset: bool = ...,
    step_order: StepOrder = ...,
    surrogate: Spike = ...,
    return_membrane: Literal[False] = ...,
    checkpoint_every: SupportsIndex | None = ...,
) -> tuple[Array, Array]: ...


@overload
def lif(
    current: ArrayLike,
    decay: ArrayLike,
    threshold: ArrayLike,
    *,
    v0: ArrayLike | None = ...,
    reset: Reset | None = ...,
    detach_reset: bool = ...,
    step_order: StepOrder = ...,
    surrogate: Spike = ...,
    return_membrane: Literal[True],
    checkpoint_every: SupportsIndex | None = ...,
) -> tuple[Array, Array, Array]: ...


@overload
def lif(
    current: ArrayLike,
    decay: ArrayLike,
    threshold: ArrayLike,
    *,
    v0: ArrayLike | None = ...,
    reset: Reset | None = ...,
    detach_reset: bool = ...,
    step_order: StepOrder = ...,
    surrogate: Spike = ...,
    return_membrane: bool,
    checkpoint_every: SupportsIndex | None = ...,
) -> tuple[Array, Array] | tuple[Array, Array, Array]: ...


def lif(
    current: ArrayLike,
    decay: ArrayLike,
    threshold: ArrayLike,
    *,
    v0: ArrayLike | None = None,
    reset: Reset | None = "subtract",
    detach_reset: bool = False,
    step_order: StepOrder = "charge_fire_reset",
    surrogate: Spike = _GAUSSIAN,
    return_membrane: bool = False,
    checkpoint_every: SupportsIndex | None = None,
) -> tuple[Array, Array] | tuple[Array, Array, Array]:
    """A layer of leaky integrate-and-fire neurons over all time steps.

    For float16, bfloat16, float32 and float64, and a surrogate with scalar parameters (see `surrogate`), the layer can
    run as one kernel forward and one backward. The kernel policy (`spikegrad.use_kernels`) decides. Other layers run as
    `lax.scan`.

    x is the current, v the membrane that passes from step to step, u the membrane that is compared with the threshold,
    s the spike, and H the step of `surrogate`. `step_order` chooses a time step:

    "charge_fire_reset", the order of SpikingJelly:

        u[t] = decay * v[t-1] + x[t]
        s[t] = H(u[t] - threshold)
        v[t] = u[t] - s[t] * threshold       reset="subtract"
             = u[t] * (1 - s[t])             reset="zero"
             = u[t]                          reset=None

    "reset_undecayed": the reset follows one step after the spike, and the subtracted threshold does not decay:

        u[t] = decay * u[t-1] + x[t] - s[t-1] * threshold       reset="subtract"
             = decay * u[t-1] * (1 - s[t-1]) + x[t]             reset="zero"
             = decay * u[t-1] + x[t]                            reset=None
        s[t] = H(u[t] - threshold)
        v[t] = u[t]

    with s[-1] = H(v0 - threshold). snnTorch's "subtract" is this order with `detach_reset=True`.

    "fire_charge", the order of spyx: the same membrane, and the step that resets a spike returns it:

        s[t] = H(u[t-1] - threshold)
        u[t] = decay * u[t-1] + x[t] - s[t] * threshold         reset="subtract"
             = decay * u[t-1] * (1 - s[t]) + x[t]               reset="zero"
             = decay * u[t-1] + x[t]                            reset=None
        v[t] = u[t]

    An integrate-and-fire neuron has `decay=1`. Where a library scales its input, scale the current:
    `lif((1 - decay) * x, decay, threshold)`.

    The derivatives with respect to current, decay, threshold and v0 are the derivatives of this recurrence in forward
    and reverse mode, with the surrogate as the derivative of H. Second and higher derivatives run as `lax.scan`.
    Reverse mode keeps the current and v before every `checkpoint_every`-th step, and recomputes the rest. (A layer that
    runs as `lax.scan` keeps every step, as JAX does for a scan.)

    For long recordings call the layer chunk by chunk: `v_final` of one chunk is the `v0` of the next. Spikes and
    gradients equal the results of one call.

    With the default kernel policy, a layer of at most four steps is unrolled in plain HLO where this was measured to be
    faster: on GPUs, and on CPUs from 40,000 elements on. XLA may contract products and sums there, so the spikes equal
    the kernel's except where a membrane lies within rounding of the threshold. `spikegrad.kernels(True)` gives the same
    bits on CPUs with fused multiply-add and on GPUs, where the layer has a kernel. TPUs have no kernels.

    Args:
        current: the input of each neuron at each step, `[T, ...]`, any real dtype. Integers and booleans become float32
            (float64 where x64 is on).
        decay: the factor by which the membrane decays in a step. A number or an array that broadcasts to a step,
            `[...]`.
        threshold: the threshold of the spike, finite. A number or an array, as for decay. Subtracting an infinite
            threshold makes the membrane NaN, and a NaN membrane never spikes. For a non-spiking readout, use
            `reset=None` and ignore the spikes.
        v0: the membrane before the first step, 0 by default. A number or an array, as for decay.
        reset: how a spike resets the membrane.
        detach_reset: whether derivatives treat the spike in the reset as a constant.
        step_order: the order of charge, spike and reset in a step.
        surrogate: the derivative of the spike. A kernel is possible for `GaussianGrad`, `MultiGaussianGrad` and
            `Sigmoid` with scalar parameters: the classes of spikegrad, of `spikegrad.compat.braintools`, and of
            `braintools.surrogate` 0.2 to 0.4. All of them have the true derivatives of every order in the layer, also
            in braintools before 0.4, where second derivatives are 0. A kernel is also possible for a
            `spikegrad.Surrogate` that defines `kernel_parameters`. All other surrogates run as `lax.scan`. Any
            callable is accepted: it must return 1 where its argument is >= 0 and 0 elsewhere, which is not checked.
            Outside `jit` such a layer is traced at each call, which takes some milliseconds, and compiled once for
            equal traces; with a `jax.custom_jvp`, a `jax.custom_vjp` or a callback it is compiled at each call.
        return_membrane: whether to return the membrane u of each step too.
        checkpoint_every: the number of steps between two membranes that reverse mode keeps. The default is about
            sqrt(T), which needs the least memory in total.

    Returns:
        `(spikes, v_final)`, or `(spikes, v_final, membrane)`. The spikes and the membrane u of each step have the shape
        and dtype of the current. `v_final`, the membrane after the last step, has the shape of a step. Its dtype is
        float32, or float64 where the current is float64. The membrane has this dtype in all steps, for float16 and
        bfloat16 currents too. Each sum and each product is rounded by itself, as in NumPy.

    Raises:
        TypeError: the current is complex or not a number, or another operand is not a real number.
        ValueError: the current has no time axis, or is explicitly sharded over time; an operand does not broadcast to
            a step; an option has an unknown value.

    >>> lif(jnp.full(6, 0.75), decay=0.5, threshold=1.0)
    (Array([0., 1., 0., 1., 0., 1.], dtype=float32), Array(0.1640625, dtype=float32))
    """
    current = as_input(current, name="current")
    if current.ndim == 0:
        raise ValueError("current must have a time axis, its first axis, and has rank 0")
    _check_option("reset", reset, RESETS)
    _check_option("step_order", step_order, STEP_ORDERS)
    for name, flag in (("detach_reset", detach_reset), ("return_membrane", return_membrane)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, and is {flag!r}")
    every = _checkpoint_every(checkpoint_every, current.shape[0])
    step = state_like(jax.typeof(current), axis=0)
    given = {"decay": decay, "threshold": threshold, "v0": 0.0 if v0 is None else v0}
    decay, threshold, v0 = (_as_state(name, value, step) for name, value in given.items())

    if isinstance(surrogate, type) or not callable(surrogate):
        raise TypeError(f"surrogate must be a Surrogate, such as GaussianGrad(), and is {surrogate!r}")
    kernel = kernel_parameters(surrogate, step)
    if kernel is None:
        operands = unified(current, decay, threshold, v0)
        arrays = as_arrays(operands, kinds(LAYER), current, axis=0)
        options: dict[str, Any] = {"step_order": step_order, "reset": reset, "detach_reset": detach_reset}
        spikes, v_final, membrane = lif_scan(surrogate, *arrays, **options)
        return (spikes, v_final, membrane) if return_membrane else (spikes, v_final)
    if isinstance(current.shape[0], int) and current.shape[0] == 0:
        (v_final,) = as_arrays(unified(current, v0)[1:], ("state",), current, axis=0)
        return (current, v_final, current) if return_membrane else (current, v_final)
    family, parameters = kernel
    outs = primitive.lif(
        current,
        decay,
        threshold,
        v0,
        *parameters,
        step_order=step_order,
        reset=reset,
        detach_reset=detach_reset,
        every=every,
        family=family,
        membrane=return_membrane,
    )
    return tuple(outs)


def _check_option(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, and is {value!r}")


def _checkpoint_every(every: SupportsIndex | None, steps: Any) -> int:
    if every is None:
        return max(1, math.isqrt(steps)) if isinstance(steps, int) else SYMBOLIC_CHECKPOINT_EVERY
    if isinstance(every, (bool, np.bool)) or not hasattr(every, "__index__"):
        raise TypeError(f"checkpoint_every must be an int or None, and is {every!r}")
    every = operator.index(every)
    if every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, and is {every}")
    if isinstance(steps, int):
        return min(every, max(1, steps))
    if every > LARGEST_SYMBOLIC_CHECKPOINT_EVERY:
        raise ValueError(
            f"checkpoint_every must be at most {LARGEST_SYMBOLIC_CHECKPOINT_EVERY} where the number of steps is "
            f"symbolic, and is {every}"
        )
    return every


def _as_state(name: str, value: ArrayLike, step: ShapedArray) -> Array:
    """A decay, threshold or v0 as the primitives take it: rank 0, or one value for each neuron."""
    value = as_number_or_array(name, value)
    check_real(name, value)
    state = jnp.asarray(value, step.dtype)
    if state.ndim == 0:
        return state
    fits = state.ndim <= step.ndim and all(
        size in (1, whole) for size, whole in zip(state.shape[::-1], step.shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"{name} of shape {state.shape} does not broadcast to a step of shape {step.shape}")
    if state.shape == step.shape:
        return state
    explicit = AxisType.Explicit in step.sharding.mesh.axis_types
    dimensions = tuple(range(step.ndim - state.ndim, step.ndim))
    return lax.broadcast_in_dim(state, step.shape, dimensions, out_sharding=step.sharding if explicit else None)
