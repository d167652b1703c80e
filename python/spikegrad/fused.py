"""The mathematics of the kernels in plain HLO, which XLA fuses with the operations around it.

It is the lowering where there is no kernel for the platform, the dtype or the parameters, and where kernels are off.

`exp(-q)` in float32 loses q units in the last place to the rounding of q, about 90 at the end of the tail. Both ways
here keep q exact enough that this loss disappears, and docs/accuracy.md derives the errors that are left:

- exponent="float64", for CPUs: q in float64. The order that training needs takes float32's `exp` and corrects it.
- exponent="split", elsewhere: q as a sum of two float32 (float_pairs.py), since GPUs have slow float64 and TPUs none.

Inputs of dtype float64 take the second way everywhere, with pairs of float64. Float16, bfloat16 and all other real
dtypes are computed as float32 and rounded once. XLA flushes subnormal results to 0 on CPUs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import expit, ndtr

from spikegrad import float_pairs
from spikegrad.float_pairs import Pair

Exponent = Literal["float64", "split"]

# As float64 pairs.
_LOG2_E = ("0x1.71547652b82fep+0", "0x1.777d0ffda0d24p-56")
_HALF_LOG2_E = ("0x1.71547652b82fep-1", "0x1.777d0ffda0d24p-57")
_SQRT_TWO_PI = ("0x1.40d931ff62706p+1", "-0x1.a6a0d6f814637p-53")


def wide_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype in which values of `dtype` are computed, and which their parameters have."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)


def heaviside(x: Array) -> Array:
    """1 where x >= 0, else 0, in x's dtype: 1 at -0.0, 0 at NaN."""
    return (x >= 0).astype(x.dtype)


# The Gaussian mixture


def gaussian_mixture_derivative(x: Array, t: Array, *parameters: Array, order: int, exponent: Exponent) -> Array:
    """`t g^(order)(x)` for `g(x) = sum of w / (sigma sqrt(2 pi)) exp(-(x - mu)^2 / (2 sigma^2))`, in x's dtype.

    The parameters are w, mu, sigma of each term. Order -1 is the sum of `w Phi((x - mu) / sigma)`. The result is NaN
    where a sigma is not positive or a parameter not finite, since a traced value cannot raise.
    """
    wide = wide_dtype(x.dtype)
    terms = [
        (_nan_unless((sigma > 0) & jnp.isfinite(sigma) & jnp.isfinite(w) & jnp.isfinite(mu), w), mu, sigma)
        for w, mu, sigma in zip(parameters[::3], parameters[1::3], parameters[2::3], strict=True)
    ]
    x_wide, t_wide = x.astype(wide), t.astype(wide)
    if order < 0:
        total = sum(w * ndtr(_standardized(x_wide, mu, sigma)) for w, mu, sigma in terms)
        return (t_wide * total).astype(x.dtype)
    in_float64 = exponent == "float64" and wide == jnp.float32
    with jax.enable_x64(True):
        mixture = _mixture_in_float64 if in_float64 else _mixture_by_splits
        return mixture(x_wide, t_wide, terms, order).astype(x.dtype)


Terms = list[tuple[Array, Array, Array]]


def _nan_unless(valid: Array, value: Array) -> Array:
    return jnp.where(valid, value, value.dtype.type(np.nan))


def _standardized(x: Array, mu: Array, sigma: Array) -> Array:
    """(x - mu) / sigma, finite: every g is 0 where it is clipped."""
    return jnp.clip((x - mu) / sigma, -80, 80)


def _differentiated(g: Array, z: Array, sigma: Array, order: int) -> Array:
    """g^(order) from a Gaussian's g: g^(n+1) = -(z g^(n) + n g^(n-1) / sigma) / sigma.

    He_n and sigma^-n by themselves would leave the range before their product with g does.
    """
    previous = jnp.zeros_like(g)
    for n in range(order):
        previous, g = g, -(z * g + n * previous / sigma) / sigma
    return g


def _mixture_in_float64(x: Array, t: Array, terms: Terms, order: int) -> Array:
    x, t = x.astype(jnp.float64), t.astype(jnp.float64)
    total: Any = 0.0
    for w, mu, sigma in ([parameter.astype(jnp.float64) for parameter in term] for term in terms):
        distance = x - mu
        rate = -0.5 / (sigma * sigma)
        maximum = w / (sigma * math.sqrt(2 * math.pi))
        if order == 0 and len(terms) == 1:
            # e^88 is the largest power that float32's exp gets right: with it, results may be as small as e^-175.
            total = (maximum * math.exp(-88)) * _exp(distance * distance * rate + 88)
        else:
            g = maximum * _exp2(distance * distance * (rate * math.log2(math.e)))
            total = total + _differentiated(g, _standardized(x, mu, sigma), sigma, order)
    return (t * total).astype(jnp.float32)


def _exp(y: Array) -> Array:
    """e^y for a float64 y, with the relative error of float32's exp; 0 or infinite where it leaves float32's range.

    XLA runs a loop on several CPU threads from about 750 elements on if the loop has more floating-point operations
    than it moves bytes; `exp` counts as none. For small arrays the threads cost more than they save. So this function,
    with few operations, serves the derivatives in training steps, although `_exp2` is faster on large arrays. Measured:
    a backward pass with `_exp2` took 1.2 to 1.4 times as long at 128 neurons, batch 32, on two cores.
    """
    y = lax.clamp(np.float64(-120), y, np.float64(120))
    high = y.astype(jnp.float32)
    low = y - high.astype(jnp.float64)
    return jnp.exp(high).astype(jnp.float64) * (1 + low)


def _exp2(y: Array) -> Array:
    """2^y for a float64 y <= 0, with a relative error of 2^-28; 0 below 2^-1022."""
    y = jnp.maximum(y, -1023.0)
    n = jnp.round(y)
    return float_pairs.power_of_two(n) * (1 + float_pairs.exp2_minus_one(y - n, accuracy=jnp.float32))


def _mixture_by_splits(x: Array, t: Array, terms: Terms, order: int) -> Array:
    parts = [_gaussian_by_splits(x, *term) for term in terms]
    if order:
        total: Any = 0.0
        for (pair, exponent), (_, mu, sigma) in zip(parts, terms, strict=True):
            g = float_pairs.scaled(pair.high + pair.low, exponent, 1.0)
            total = total + _differentiated(g, _standardized(x, mu, sigma), sigma, order)
        return t * total
    if len(parts) == 1:
        ((pair, exponent),) = parts
        return float_pairs.scaled(pair.high + pair.low, exponent, t)
    largest = functools.reduce(jnp.maximum, [exponent for _, exponent in parts])
    high: Any = 0.0
    low: Any = 0.0
    for pair, exponent in parts:
        unit = float_pairs.power_of_two(jnp.maximum(exponent - largest, -float_pairs.exponent_bias(x.dtype)))
        term = float_pairs.ordered_sum(pair.high, pair.low)
        high, error = float_pairs.two_sum(high, term.high * unit)
        low = low + (error + term.low * unit)
    return float_pairs.scaled(high + low, largest, t)


def _gaussian_by_splits(x: Array, w: Array, mu: Array, sigma: Array) -> tuple[Pair, Array]:
    """One Gaussian as (pair, exponent): g = (high + low) 2^exponent, with |low| < |high| / 2."""
    w, w_exponent = float_pairs.mantissa(w)
    sigma, sigma_exponent = float_pairs.mantissa(sigma)
    # g = maximum 2^(w_exponent - sigma_exponent - q) with q = z^2 rate
    rate = float_pairs.quotient(float_pairs.constant(_HALF_LOG2_E, x.dtype), float_pairs.square(Pair(sigma, 0.0)))
    root = float_pairs.product(Pair(sigma, 0.0), float_pairs.constant(_SQRT_TWO_PI, x.dtype))
    maximum = float_pairs.ordered_sum(*float_pairs.quotient(Pair(w, 0.0), root))

    distance = float_pairs.two_sum(x, -mu)
    unit = float_pairs.power_of_two(-sigma_exponent)
    z = distance.high * unit
    # Beyond the limit 2^-q brings every g and every t g to 0.
    limit = sigma * math.sqrt(2 * math.log(2) * _largest_exponent(x.dtype))
    # The low part of an infinite distance is NaN.
    z_low = jnp.where(jnp.abs(z) > limit, x.dtype.type(0), distance.low * unit)
    q = float_pairs.product(float_pairs.square(Pair(jnp.clip(z, -limit, limit), z_low)), rate)
    n = jnp.round(q.high + q.low)
    change = float_pairs.exp2_minus_one((n - q.high) - q.low, accuracy=x.dtype)
    return Pair(maximum.high, maximum.high * change + maximum.low), w_exponent - sigma_exponent - n


def _largest_exponent(dtype: jnp.dtype) -> int:
    """q from which on 2^-q times any two numbers of the dtype is 0 after `float_pairs.scaled`."""
    return 4 * float_pairs.exponent_bias(dtype) + 16


# The sigmoid


def sigmoid_derivative(x: Array, t: Array, alpha: Array, *, order: int, exponent: Exponent) -> Array:
    """`t g^(order)(x)` for `g(x) = alpha s (1 - s)`, `s = expit(alpha x)`, in x's dtype; NaN unless alpha > 0, finite.

    With `p = exp(-alpha |x|)`, g is `alpha p / (1 + p)^2`. Order -1 is s.
    """
    wide = wide_dtype(x.dtype)
    alpha = _nan_unless((alpha > 0) & jnp.isfinite(alpha), alpha)
    x_wide, t_wide = x.astype(wide), t.astype(wide)
    if order < 0:
        return (t_wide * expit(alpha * x_wide)).astype(x.dtype)
    in_float64 = exponent == "float64" and wide == jnp.float32
    with jax.enable_x64(True):
        derivative = _sigmoid_in_float64 if in_float64 else _sigmoid_by_splits
        return derivative(x_wide, t_wide, alpha, order).astype(x.dtype)


def _sigmoid_in_float64(x: Array, t: Array, alpha: Array, order: int) -> Array:
    x, t, alpha = (value.astype(jnp.float64) for value in (x, t, alpha))
    if order == 0:
        # g = alpha / (1 / r + r)^2 with r = e^(alpha x / 2), which float32's exp has for |alpha x| < 174.
        r = _exp(x * (0.5 * alpha))
        total = 1 / r + r
        return (t * alpha / (total * total)).astype(jnp.float32)
    p = _exp2(jnp.abs(x) * (-math.log2(math.e) * alpha))
    g = alpha * p / ((1 + p) * (1 + p))
    return (t * _sigmoid_differentiated(g, p, x, alpha, order)).astype(jnp.float32)


def _sigmoid_by_splits(x: Array, t: Array, alpha: Array, order: int) -> Array:
    mantissa, exponent = float_pairs.mantissa(alpha)
    rate = float_pairs.halved(float_pairs.product(Pair(mantissa, 0.0), float_pairs.constant(_LOG2_E, x.dtype)))
    z = jnp.minimum(jnp.abs(x) * float_pairs.power_of_two(exponent), _largest_exponent(x.dtype))
    q = float_pairs.product(Pair(z, 0.0), rate)
    n = jnp.round(q.high + q.low)
    change = float_pairs.exp2_minus_one((n - q.high) - q.low, accuracy=x.dtype)
    # p = unit (1 + change)
    unit = float_pairs.power_of_two(jnp.maximum(-n, -float_pairs.exponent_bias(x.dtype)))
    upper = float_pairs.split(1 + (unit + unit * change)).high
    lower = ((1 - upper) + unit) + unit * change
    # (1 + p)^2 = (upper + lower)^2, whose first term is exact
    squared = float_pairs.ordered_sum(upper * upper, (2 * upper + lower) * lower)
    g = float_pairs.quotient(float_pairs.ordered_sum(mantissa, mantissa * change), squared)
    if order == 0:
        return float_pairs.scaled(g.high + g.low, exponent - n, t)
    g = float_pairs.scaled(g.high + g.low, exponent - n, 1.0)
    return t * _sigmoid_differentiated(g, unit + unit * change, x, alpha, order)


def _sigmoid_differentiated(g: Array, p: Array, x: Array, alpha: Array, order: int) -> Array:
    """g^(order) from g.

    g^(n) is `alpha^(n+1) (-sign x)^n p A(p) / (1 + p)^(n+2)`, where A has the Eulerian numbers with alternating signs
    as coefficients; for an odd n it has the root p = 1, which is taken out.
    """
    eulerian = [1]
    for m in range(2, order + 2):
        pairs = zip([*eulerian, 0], [0, *eulerian], strict=True)
        eulerian = [(k + 1) * same + (m - k) * before for k, (same, before) in enumerate(pairs)]
    signed = [(-1) ** k * c for k, c in enumerate(eulerian)]
    if order % 2:
        signed = list(itertools.accumulate(signed))[:-1]
    # Over (n + 1)!, since float32 ends at 34!.
    coefficients = [c / math.factorial(order + 1) for c in signed]
    for n in range(order):
        g = g * (-(n + 2) * alpha / (1 + p))
    if order % 2:
        g = g * (jnp.sign(x) * -jnp.expm1(-alpha * jnp.abs(x)))
    polynomial = jnp.zeros_like(p)
    for c in reversed(coefficients):
        polynomial = polynomial * p + c
    return g * polynomial


# The layer

UNROLLED_STEPS = 4
"""Up to this many steps a layer is unrolled, so that XLA fuses all of them with the operations around the layer.

Measured on an H100 with 2M neurons, forward and backward: 72 us unrolled, 217 us as a loop.
"""


def lif(
    spike: Callable[[Array], Array],
    current: Array,
    decay: Array,
    threshold: Array,
    v0: Array,
    *,
    order: str,
    reset: str | None,
    detach_reset: bool,
) -> tuple[Array, Array, Array, Array]:
    """A layer of leaky integrate-and-fire neurons as `lax.scan`: what `spikegrad.lif` documents.

    `spike` takes membrane minus threshold in the wide dtype of the current, in which the membrane is held; decay,
    threshold and v0 have that dtype, and rank 0 or the shape of a step.

    Returns:
        The spikes, in the current's dtype; the final membrane v; the membranes u after the charge of each step, in the
        current's dtype; and v before each step, in the wide dtype.
    """
    wide = wide_dtype(current.dtype)

    def reset_undecayed(u: Array, s: Array) -> Array:
        s = lax.stop_gradient(s) if detach_reset else s
        if reset == "subtract":
            return u - s * threshold
        return u * (1 - s) if reset == "zero" else u

    def charge(v: Array, x: Array, s: Array) -> Array:
        """u of a v that has not been reset for the spike s yet."""
        if reset == "zero":
            return decay * reset_undecayed(v, s) + x
        return reset_undecayed(decay * v + x, s)

    def step(v: Array, x: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        x = x.astype(wide)
        if order == "charge_fire_reset":
            u = decay * v + x
            s = spike(u - threshold)
            after = reset_undecayed(u, s)
        else:
            s = spike(v - threshold)
            after = u = charge(v, x, s)
            s = spike(u - threshold) if order == "reset_undecayed" else s
        return after, (s.astype(current.dtype), u.astype(current.dtype), v)

    start = jnp.broadcast_to(v0, current.shape[1:])
    steps = current.shape[0]
    # At least 2: with 1, `lax.scan` makes a loop of a single step too.
    unroll = max(2, steps) if isinstance(steps, int) and steps <= UNROLLED_STEPS else 1
    v_final, (spikes, membrane, before) = lax.scan(step, start, current, unroll=unroll)
    return spikes, v_final, membrane, before
