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
    # exp(-z^2 / 2) is 0 from |z| = 39 on, in float64 too; so are its products with He_n, but only while z is finite.
    z = jnp.clip(x.astype(wide) / sigma, -40, 40)
    previous, hermite = jnp.ones_like(z), z
    for n in range(1, order):
        previous, hermite = hermite, z * hermite - n * previous
    polynomial = hermite if order else previous
    valid = (sigma > 0) & jnp.isfinite(sigma) & jnp.isfinite(alpha)
    amplitude = jnp.where(valid, alpha * (-1) ** order / (sigma ** (order + 1) * math.sqrt(2 * math.pi)), jnp.nan)
    return (t.astype(wide) * (amplitude * polynomial * jnp.exp(-z * z / 2))).astype(x.dtype)
