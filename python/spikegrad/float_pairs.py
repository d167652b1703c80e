"""Numbers held as unevaluated sums high + low, in plain HLO, for float32 and float64.

A float has 24 (53) significant bits; a pair has about 36 (80), which is what the exponent of a power needs so that the
power is right to the last place.

Compilers may contract `a * b + c` into one fused multiply-add, at one use of the product and not at another. The usual
error term of a product, `fma(a, b, -a * b)` or Dekker's, then belongs to a product that no other operation sees. Here
every product that must be exact has factors of at most half the bits: contraction does not change its value.
Bit masks take those halves. XLA simplifies arithmetic on constants, `(x + c) - c` to `x`, and would undo other splits.

G. Dekker, "A floating-point technique for extending the available precision", Numer. Math. 18 (1971).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax


class Pair(NamedTuple):
    """The number high + low."""

    high: Any
    low: Any


class _Format(NamedTuple):
    """How a dtype is laid out.

    Attributes:
        bits: the unsigned integer of the same width.
        fraction: the number of bits behind the significand's point.
        bias: the largest exponent of a finite number, by which the exponent field is shifted.
        upper: the mask for sign, exponent and the upper half of the significand.
    """

    bits: Any
    fraction: int
    bias: int
    upper: int


_FORMATS = {
    np.dtype(np.float32): _Format(np.uint32, 23, 127, 0xFFFFF000),
    np.dtype(np.float64): _Format(np.uint64, 52, 1023, 0xFFFFFFFFF8000000),
}

# By csrc/math/exp2_coefficients.py: 2^r for |r| <= 1/2 with a relative error of 2^-28.1 and 2^-57.3.
_EXP2_COEFFICIENTS = {
    np.dtype(np.float32): ("0x1.3f906cp-13 0x1.5f0a66p-10 0x1.3b30b0p-7 0x1.c6af78p-5 0x1.ebfbd8p-3 0x1.62e430p-1"),
    np.dtype(np.float64): (
        "0x1.e9471c875b804p-32 0x1.e61c1058a1947p-28 0x1.b5253f6036401p-24 0x1.62bfc71ea7788p-20 "
        "0x1.ffcbfc595bcf6p-17 0x1.4309130f139cbp-13 0x1.5d87fe78a111cp-10 0x1.3b2ab6fb9ffb3p-7 "
        "0x1.c6b08d704a122p-5 0x1.ebfbdff82c5a5p-3 0x1.62e42fefa39efp-1"
    ),
}


def exponent_bias(dtype: Any) -> int:
    """127 for float32, 1023 for float64."""
    return _FORMATS[np.dtype(dtype)].bias


def constant(high_and_low: tuple[str, str], dtype: Any) -> Pair:
    """A constant from a float64 pair of hexadecimal numbers, as (upper half of the bits, rest)."""
    exact, rest = map(float.fromhex, high_and_low)
    layout = _FORMATS[np.dtype(dtype)]
    value = np.asarray(exact, dtype)
    high = (value.view(layout.bits) & layout.bits(layout.upper)).view(value.dtype)
    return Pair(value.dtype.type(high), value.dtype.type((exact - float(high)) + rest))


def split(x: Array) -> Pair:
    """x as the upper half of its significand's bits and the rest, exactly; x must be finite or NaN."""
    layout = _FORMATS[x.dtype]
    bits = lax.bitcast_convert_type(x, layout.bits)
    high = lax.bitcast_convert_type(bits & layout.bits(layout.upper), x.dtype)
    return Pair(high, x - high)


def two_sum(a: Array, b: Array) -> Pair:
    """a + b exactly. (D. E. Knuth, The Art of Computer Programming, vol. 2, 4.2.2.)"""
    total = a + b
    from_b = total - a
    return Pair(total, (a - (total - from_b)) + (b - from_b))


def ordered_sum(a: Array, b: Array) -> Pair:
    """a + b exactly, for |a| >= |b|."""
    total = a + b
    return Pair(total, b - (total - a))


def halved(a: Pair) -> Pair:
    """The same number with half the bits in the high part."""
    upper, lower = split(a.high)
    return Pair(upper, lower + a.low)


def square(a: Pair) -> Pair:
    """a^2, whose high part is exact."""
    upper, lower = split(a.high)
    return Pair(upper * upper, (upper + a.high) * lower + 2 * a.high * a.low)


def product(a: Pair, b: Pair) -> Pair:
    """a b, whose high part is exact; b.high must have half the bits."""
    upper, lower = split(a.high)
    return Pair(upper * b.high, lower * b.high + (a.high * b.low + a.low * (b.high + b.low)))


def quotient(a: Pair, b: Pair) -> Pair:
    """a / b, whose high part has half the bits."""
    denominator = b.high + b.low
    high = split(a.high / denominator).high
    upper, lower = split(b.high)
    # Each product is exact, and so is the first difference, whose terms are nearly equal.
    remainder = ((a.high - high * upper) - high * lower) + (a.low - high * b.low)
    return Pair(high, remainder / denominator)


def exp2_minus_one(r: Array, accuracy: Any) -> Array:
    """2^r - 1 for |r| <= 1/2, by the polynomial for results of dtype `accuracy`."""
    first, *rest = map(float.fromhex, _EXP2_COEFFICIENTS[np.dtype(accuracy)].split())
    polynomial: Any = first
    for coefficient in rest:
        polynomial = polynomial * r + coefficient
    return polynomial * r


def power_of_two(n: Array) -> Array:
    """2^n for an integer n of a floating dtype, from -bias to bias; 0 for n = -bias, which has no normal float."""
    layout = _FORMATS[n.dtype]
    # The sum's low bits are n + bias, since its own last place is 1; the shift takes them to the exponent field.
    shifted = n + (1.5 * 2.0**layout.fraction + layout.bias)
    bits = lax.bitcast_convert_type(shifted, layout.bits) << layout.bits(layout.fraction)
    return lax.bitcast_convert_type(bits, n.dtype)


def mantissa(x: Array) -> tuple[Array, Array]:
    """(m, k) with x = m 2^k exactly, k an integer of x's dtype: 1 <= |m| < 2, except at the ends of the range."""
    layout = _FORMATS[x.dtype]
    field = (lax.bitcast_convert_type(x, layout.bits) >> layout.bits(layout.fraction)) & layout.bits(
        2 * layout.bias + 1
    )
    # 2^-k must be normal, so k stops short of the exponents of subnormals and of the largest numbers.
    k = jnp.clip(field.astype(x.dtype) - layout.bias, 1 - layout.bias, layout.bias - 1)
    return x * power_of_two(-k), k


def scaled(value: Array, exponent: Array, t: Array | float) -> Array:
    """value t 2^exponent, for 1/4 <= |value| < 8 and an integer exponent of a floating dtype; 0 far below the range.

    A positive exponent is applied before t, half of a negative one before and half after it. So no intermediate result
    leaves the range unless the result does.
    """
    bias = exponent_bias(value.dtype)
    exponent = jnp.clip(exponent, -2 * bias, 2 * bias - 8)
    before = jnp.minimum(jnp.maximum(exponent, jnp.floor(exponent / 2)), bias - 7)
    return (value * power_of_two(before)) * t * power_of_two(exponent - before)


def normalized_product(value: Array, exponent: Array | float, t: Array) -> Array:
    """value t 2^exponent, for any value and t and an integer exponent of a floating dtype; 0 far below the range.

    Both factors lose their exponents first, so no intermediate result leaves the range unless the result does.
    """
    value, value_exponent = mantissa(value)
    t, t_exponent = mantissa(t)
    bias = exponent_bias(value.dtype)
    exponent = jnp.clip(exponent + value_exponent + t_exponent, -2 * bias, 2 * bias)
    half = jnp.floor(exponent / 2)
    return value * t * power_of_two(half) * power_of_two(exponent - half)
