// Numbers split into a mantissa and a power of two, so that no intermediate exponent overflows.
#ifndef SPIKEGRAD_MATH_POWERS_H_
#define SPIKEGRAD_MATH_POWERS_H_

#include "math/error_free.h"
#include "math/scalar.h"

namespace spikegrad {

struct Split {
  double mantissa;  // 1 <= |mantissa| < 2
  int64_t exponent;
};

// x = mantissa 2^exponent, for x finite and not 0.
SPIKEGRAD_SCALAR Split split(double x) {
  const double scaled = (x < 0 ? -x : x) < 0x1p-1022 ? x * 0x1p64 : x;
  const int64_t bits = bit_cast<int64_t>(scaled);
  const int64_t exponent = ((bits >> 52) & 0x7ff) - 1023;
  return {scaled * power_of_two<double>(-exponent), scaled == x ? exponent : exponent - 64};
}

// p * factor rounded to a pair of T. `factor` is a power of two.
template <class T>
SPIKEGRAD_SCALAR Pair<T> rounded(Pair<double> p, double factor) {
  const T high = static_cast<T>(p.high * factor);
  return {high, static_cast<T>((p.high * factor - high) + p.low * factor)};
}

// min(|x|, limit). A NaN stays NaN.
template <class T>
SPIKEGRAD_SCALAR T clamped_magnitude(T x, T limit) {
  const T magnitude = absolute(x);
  return limit < magnitude ? limit : magnitude;
}

// 2^(e - q) as 2^(exponent + fraction), |fraction| <= 1/2.
template <class T>
struct Reduced {
  T fraction;
  typename Format<T>::Bits exponent;
};

// 2^(exponent - q) for q = high + low, where low is at most a few rounding errors of high.
template <class T>
SPIKEGRAD_SCALAR Reduced<T> reduced(typename Format<T>::Bits exponent, T high, T low) {
  using Bits = typename Format<T>::Bits;
  const T shifted = Format<T>::round - high;
  // All terms that do not depend on x, in one number.
  const Bits offset = static_cast<Bits>(exponent - bit_cast<Bits>(Format<T>::round));
  return {((Format<T>::round - shifted) - high) - low, static_cast<Bits>(bit_cast<Bits>(shifted) + offset)};
}

// x * rate, as a product and its rounding error.
template <class T>
SPIKEGRAD_SCALAR Pair<T> rated(Pair<T> x, Pair<T> rate) {
  const Pair<T> q = two_product(x.high, rate.high);
  return {q.high, multiply_add(x.low, rate.high, multiply_add(x.high, rate.low, q.low))};
}

// 2^(n - bias). Below n = 32 it returns 2^(32 - bias), which is negligible beside 1 and leaves room above the
// subnormals for one more product.
template <class T>
SPIKEGRAD_SCALAR T power_of_two_or_nothing(typename Format<T>::Bits n) {
  const typename Format<T>::Bits lowest = 32;
  return power_of_two<T>((n > lowest ? n : lowest) - Format<T>::exponent_bias);
}

// t value 2^(exponent - 2 bias). Requires |value| 2^(exponent - 2 bias) below the largest number and exponent >= 0. The
// result is 0 at exponent 0.
template <class T>
SPIKEGRAD_SCALAR T scaled(T t, Pair<T> value, typename Format<T>::Bits exponent) {
  using Bits = typename Format<T>::Bits;
  // The product is value 2^first t 2^last, with biased exponents. `first` takes all of a positive exponent, which
  // scales a small t up before anything is rounded. It takes half of a negative exponent: so the product neither
  // overflows nor loses bits that 2^last needs. For exponent <= 1 the half is no normal exponent any more, and 2^first
  // is 0. This changes a result only for t above 2^102 (float), since no smaller t can bring such a product back into
  // range.
  const Bits bias = Format<T>::exponent_bias;
  const Bits whole = exponent - bias, half = exponent >> 1;
  const Bits first = whole > half ? whole : half;
  const T scale = power_of_two<T>(first - bias);
  // Where the product is infinite, the low part may be NaN or an infinity of the other sign, so it is dropped.
  // (Clamping between constants instead costs seven operations with GCC 12.)
  const T low = value.low * scale * t;
  return multiply_add(value.high * scale, t, low - low == 0 ? low : 0) * power_of_two<T>(exponent - first - bias);
}

// t = mantissa 2^exponent, with the mantissa between 2^-562 and 2^512 for every finite t != 0.
SPIKEGRAD_SCALAR Split balanced(double t) {
  const bool large = t > 1 || t < -1;
  return {t * (large ? 0x1p-512 : 0x1p512), large ? 512 : -512};
}

// value 2^exponent, multiplied in two factors that are normal numbers. For |value| between 2^-960 and 2^960 only the
// last product rounds, and clamping the exponent changes no result.
SPIKEGRAD_SCALAR double with_exponent(double value, int64_t exponent) {
  exponent = exponent > -2044 ? exponent : -2044;
  exponent = exponent < 2044 ? exponent : 2044;
  const int64_t half = exponent >> 1;
  return value * power_of_two<double>(half) * power_of_two<double>(exponent - half);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_POWERS_H_
