// Sums and products that keep their rounding error, and arithmetic on such pairs.
// T. J. Dekker, "A floating-point technique for extending the available precision", Numer. Math. 18 (1971).
#ifndef SPIKEGRAD_MATH_ERROR_FREE_H_
#define SPIKEGRAD_MATH_ERROR_FREE_H_

#include "math/scalar.h"

namespace spikegrad {

// The unevaluated sum high + low, with low below half a unit in the last place of high.
template <class T>
struct Pair {
  T high;
  T low;
};

// a + b exactly, for |a| >= |b|.
template <class T>
SPIKEGRAD_SCALAR Pair<T> ordered_sum(T a, T b) {
  const T sum = a + b;
  return {sum, b - (sum - a)};
}

// a + b exactly. (D. E. Knuth, The Art of Computer Programming, vol. 2, 4.2.2.)
template <class T>
SPIKEGRAD_SCALAR Pair<T> two_sum(T a, T b) {
  const T sum = a + b;
  const T from_b = sum - a;
  return {sum, (a - (sum - from_b)) + (b - from_b)};
}

// a * b exactly, if the product and its rounding error stay in the range of normal numbers.
#if SPIKEGRAD_HAS_FMA
template <class T>
SPIKEGRAD_SCALAR Pair<T> two_product(T a, T b) {
  const T product = a * b;
  return {product, multiply_add(a, b, -product)};
}

// a - q * b exactly, for q close to a / b.
template <class T>
SPIKEGRAD_SCALAR T remainder_of(T a, T q, T b) {
  return multiply_add(-q, b, a);
}
#else
SPIKEGRAD_SCALAR Pair<float> two_product(float a, float b) {
  const double product = static_cast<double>(a) * b;
  const float high = static_cast<float>(product);
  return {high, static_cast<float>(product - high)};
}

SPIKEGRAD_SCALAR Pair<double> two_product(double a, double b) {
  const double splitter = 0x1p27 + 1;
  const double a_scaled = splitter * a, b_scaled = splitter * b;
  const double a_high = a_scaled - (a_scaled - a), b_high = b_scaled - (b_scaled - b);
  const double a_low = a - a_high, b_low = b - b_high;
  const double product = a * b;
  return {product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
}

template <class T>
SPIKEGRAD_SCALAR T remainder_of(T a, T q, T b) {
  const Pair<T> back = two_product(q, b);
  return (a - back.high) - back.low;
}
#endif

// The product of two pairs. Relative error below 2^-100 in double.
template <class T>
SPIKEGRAD_SCALAR Pair<T> product(Pair<T> a, Pair<T> b) {
  const Pair<T> p = two_product(a.high, b.high);
  return ordered_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

// The quotient of two pairs, corrected once by its remainder. Relative error below 2^-100 in double.
template <class T>
SPIKEGRAD_SCALAR Pair<T> quotient(Pair<T> a, Pair<T> b) {
  const T q = a.high / b.high;
  const Pair<T> back = product(Pair<T>{q, T(0)}, b);
  const T remainder = ((a.high - back.high) - back.low) + a.low;
  return ordered_sum(q, remainder / b.high);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_ERROR_FREE_H_
