"""The mathematics of the kernels in `jax.numpy`.

It is the lowering for every platform and dtype that has no kernel, for parameters that are arrays, and for whoever
switches the kernels off; and the tests hold the kernels against it.

Everything is computed in float32, or float64 where x is, and rounded once. Plain `exp` loses about z^2 / 2 units in the
last place at z = x / sigma, and XLA flushes subnormals to zero; the kernels do neither.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array


def wide_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype in which values of `dtype` are computed, and which their parameters have."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)


def heaviside(x: Array) -> Array:
    """1 where x >= 0, else 0, in x's dtype: 1 at -0.0, 0 at NaN."""
    return (x >= 0).astype(x.dtype)


def gaussian_derivative(x: Array, t: Array, sigma: Array, alpha: Array, *, order: int) -> Array:
    """`t g^(order)(x)` for `g(x) = alpha / (sigma sqrt(2 pi)) exp(-x^2 / (2 sigma^2))`, in x's dtype.

    NaN where sigma is not positive and finite or alpha not finite: under a trace nobody can raise.
    """
    wide = wide_dtype(x.dtype)
    # exp(-z^2 / 2) is 0 from |z| = 39 on, in float64 too, and then 0 at every order, but only while z is finite.
    z = jnp.clip(x.astype(wide) / sigma, -40, 40)
    valid = (sigma > 0) & jnp.isfinite(sigma) & jnp.isfinite(alpha)
    amplitude = jnp.where(valid, alpha / (sigma * math.sqrt(2 * math.pi)), jnp.nan)
    previous, g = jnp.zeros_like(z), amplitude * jnp.exp(-z * z / 2)
    # g^(n+1) = -(x g^(n) + n g^(n-1)) / sigma^2. He_n and sigma^-n by themselves would leave the range first.
    for n in range(order):
        previous, g = g, -(z * g + n * previous / sigma) / sigma
    return (t.astype(wide) * g).astype(x.dtype)
