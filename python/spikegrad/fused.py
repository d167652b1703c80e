"""The mathematics of the kernels in `jax.numpy`.

It is the lowering for every platform and dtype that has no kernel, for parameters that are arrays, and for whoever
switches the kernels off; and the tests hold the kernels against it.

Everything is computed in float32, or float64 where x is, and rounded once. Plain `exp` loses about z^2 / 2 units in the
last place at z = x / sigma, and on CPUs XLA flushes subnormals to zero; the kernels do neither.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import expit, ndtr


def wide_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype in which values of `dtype` are computed, and which their parameters have."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)


def heaviside(x: Array) -> Array:
    """1 where x >= 0, else 0, in x's dtype: 1 at -0.0, 0 at NaN."""
    return (x >= 0).astype(x.dtype)


def gaussian_mixture_derivative(x: Array, t: Array, *parameters: Array, order: int) -> Array:
    """`t g^(order)(x)` for `g(x) = sum of w / (sigma sqrt(2 pi)) exp(-(x - mu)^2 / (2 sigma^2))`, in x's dtype.

    The parameters are w, mu, sigma of each term. Order -1 is the sum of `w Phi((x - mu) / sigma)`. NaN where a sigma is
    not positive or a parameter not finite: under a trace nobody can raise.
    """
    wide = wide_dtype(x.dtype)
    total = jnp.zeros((), wide)
    for w, mu, sigma in zip(parameters[::3], parameters[1::3], parameters[2::3], strict=True):
        w = _nan_unless((sigma > 0) & jnp.isfinite(sigma) & jnp.isfinite(w) & jnp.isfinite(mu), w)
        # exp(-z^2 / 2) is 0 from |z| = 39 on, in float64 too, and then 0 at every order, but only while z is finite.
        z = jnp.clip((x.astype(wide) - mu) / sigma, -40, 40)
        if order < 0:
            total = total + w * ndtr(z)
            continue
        # What is 0 is so before 1 / sigma, which may be infinite.
        previous, g = jnp.zeros_like(z), w * jnp.exp(-z * z / 2) / (sigma * math.sqrt(2 * math.pi))
        # g^(n+1) = -(z g^(n) + n g^(n-1) / sigma) / sigma. He_n and sigma^-n by themselves would leave the range first.
        for n in range(order):
            previous, g = g, -(z * g + n * previous / sigma) / sigma
        total = total + g
    return (t.astype(wide) * total).astype(x.dtype)


def _nan_unless(valid: Array, value: Array) -> Array:
    return jnp.where(valid, value, jnp.nan)


def sigmoid_derivative(x: Array, t: Array, alpha: Array, *, order: int) -> Array:
    """`t g^(order)(x)` for `g(x) = alpha s (1 - s)`, `s = expit(alpha x)`, in x's dtype; NaN unless alpha > 0, finite.

    With `p = exp(-alpha |x|)`, g^(n) is `alpha^(n+1) (-sign x)^n p A(p) / (1 + p)^(n+2)`, where A has the Eulerian
    numbers with alternating signs as coefficients; for an odd n it has the root p = 1, which is taken out. Order -1 is
    s.
    """
    wide = wide_dtype(x.dtype)
    alpha = _nan_unless((alpha > 0) & jnp.isfinite(alpha), alpha)
    if order < 0:
        return (t.astype(wide) * expit(alpha * x.astype(wide))).astype(x.dtype)
    eulerian = [1]
    for m in range(2, order + 2):
        pairs = zip([*eulerian, 0], [0, *eulerian], strict=True)
        eulerian = [(k + 1) * same + (m - k) * before for k, (same, before) in enumerate(pairs)]
    signed = [(-1) ** k * c for k, c in enumerate(eulerian)]
    if order % 2:
        signed = list(itertools.accumulate(signed))[:-1]
    # Over (n + 1)!, since float32 ends at 34!.
    coefficients = [c / math.factorial(order + 1) for c in signed]
    y = -alpha * jnp.abs(x.astype(wide))
    p = jnp.exp(y)
    g = alpha * p / (1 + p) ** 2
    for n in range(order):
        g = g * (-(n + 2) * alpha / (1 + p))
    if order % 2:
        g = g * (jnp.sign(x.astype(wide)) * -jnp.expm1(y))
    polynomial = jnp.zeros_like(p)
    for c in reversed(coefficients):
        polynomial = polynomial * p + c
    return (t.astype(wide) * g * polynomial).astype(x.dtype)


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
    v_final, (spikes, membrane, before) = lax.scan(step, start, current)
    return spikes, v_final, membrane, before
