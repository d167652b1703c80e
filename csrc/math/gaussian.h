// The derivatives of the Gaussian surrogate, each times a cotangent:
//
//   t * g^(n)(x),   g(x) = alpha / (sigma sqrt(2 pi)) exp(-x^2 / (2 sigma^2)),   g^(n) = (-1)^n He_n(x/sigma) / sigma^n g.
//
// How it is computed. With sigma = m 2^k, 1 <= m < 2, and z = x 2^-k (exact):
//
//   g^(n)(x) = a Q_n(z) 2^(e - q),   q = z^2 log2(e) / (2 m^2),   Q_0 = 1, Q_1 = z, Q_(j+1) = z Q_j - j m^2 Q_(j-1),
//
// where a 2^e, 1 <= |a| < 2 (or a = 0), holds all that does not depend on x. Three things make it accurate to the last bits:
//   - q is a compensated product: z^2 with its rounding error, log2(e) / (2 m^2) as a pair. In plain float32 the
//     rounding of q alone costs 200 units in the last place at the far end of the tail.
//   - a t is a compensated product as well, and a t 2^r is summed as a t + a t (2^r - 1), so that one rounding of full
//     size is left. With a rounding each for 2^r, a and t the error was 2.8 units in the last place, with this 1.2.
//   - Exponents stay integers until the end. XLA's own exp flushes to zero, or loses its bits as a subnormal, before a
//     large t or 1 / sigma can lift it again.
#ifndef SPIKEGRAD_MATH_GAUSSIAN_H_
#define SPIKEGRAD_MATH_GAUSSIAN_H_

#include "math/error_free.h"
#include "math/exp2.h"
#include "math/half.h"
#include "math/scalar.h"

namespace spikegrad {

template <class T>
struct Gaussian {
  T scale;        // 2^-k
  T limit;        // |z| above which even the largest finite t gives zero
  T rate_high;    // log2(e) / (2 m^2)
  T rate_low;
  T variance;     // m^2
  T coefficient_high;  // a
  T coefficient_low;
  typename Format<T>::Bits exponent;  // e
};

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

// sigma and alpha are operands that may be traced, so nobody can refuse them before this; what is not a Gaussian
// (sigma <= 0, anything infinite or NaN) becomes NaN everywhere.
template <class T>
SPIKEGRAD_SCALAR Gaussian<T> make_gaussian(double sigma, double alpha, int64_t order) {
  const double largest = 0x1.fffffffffffffp1023;
  const bool valid = sigma > 0 && sigma <= largest && alpha >= -largest && alpha <= largest;
  const Split a = split(valid && alpha != 0 ? alpha : 1);
  const Split s = split(valid ? sigma : 1);
  // At the ends of T's range k stops short of sigma's own exponent, so that 2^-k stays a normal T.
  const int64_t bound = Format<T>::exponent_bias - 1;
  const int64_t k = s.exponent < -bound ? -bound : s.exponent > bound ? bound : s.exponent;
  const double m = s.mantissa * power_of_two<double>(s.exponent - k);
  const Pair<double> variance = two_product(m, m);
  const Pair<double> half_log2_e = {0x1.71547652b82fep-1, 0x1.777d0ffda0d24p-57};
  const Pair<double> sqrt_two_pi = {0x1.40d931ff62706p+1, -0x1.a6a0d6f814637p-53};

  const Pair<double> rate = quotient(half_log2_e, variance);
  Pair<double> denominator = product(sqrt_two_pi, Pair<double>{m, 0});
  for (int64_t n = 0; n < order; n++) denominator = product(denominator, variance);
  const Pair<double> coefficient = quotient(Pair<double>{a.mantissa, 0}, denominator);
  const Split c = split(coefficient.high);
  const double sign = order % 2 ? -1 : 1;

  // Beyond q = exponent + tail, t g is zero for the largest of t.
  const int64_t exponent = a.exponent + c.exponent - k * (order + 1);
  const int64_t tail = 3 * (Format<T>::exponent_bias + 1);

  Gaussian<T> g;
  g.scale = power_of_two<T>(static_cast<typename Format<T>::Bits>(-k));
  g.rate_high = static_cast<T>(rate.high);
  g.rate_low = static_cast<T>((rate.high - g.rate_high) + rate.low);
  g.variance = static_cast<T>(variance.high);
  g.exponent = static_cast<typename Format<T>::Bits>(exponent);
  g.limit = static_cast<T>(exponent < -tail ? 0 : __builtin_sqrt(static_cast<double>(exponent + tail) / rate.high));
  const double factor = !valid ? __builtin_nan("") : alpha == 0 ? 0 : sign;
  const double low = coefficient.low * power_of_two<double>(-c.exponent);
  g.coefficient_high = static_cast<T>(factor * c.mantissa);
  g.coefficient_low = static_cast<T>((factor * c.mantissa - g.coefficient_high) + factor * low);
  return g;
}

template <class T>
struct Scaled {
  T value;
  typename Format<T>::Bits exponent;
};

// x = value 2^exponent, with value far from both ends of T's range.
template <class T>
SPIKEGRAD_SCALAR Scaled<T> scaled_toward_one(T x) {
  using Bits = typename Format<T>::Bits;
  const Bits shift = (Format<T>::exponent_bias + 1) / 2;
  const bool large = x > 1 || x < -1;
  return {x * (large ? power_of_two<T>(-shift) : power_of_two<T>(shift)), large ? shift : -shift};
}

template <class T>
SPIKEGRAD_SCALAR T gaussian_derivative(T x, T t, const Gaussian<T>& g, int64_t order) {
  using Bits = typename Format<T>::Bits;
  const T z = x * g.scale;
  const T magnitude = z < 0 ? -z : z;
  const bool outside = magnitude > g.limit;  // never a NaN, which has to come through
  const T near = outside ? g.limit : magnitude;

  const Pair<T> square = two_product(near, near);
  const Pair<T> q = two_product(square.high, g.rate_high);
  const T q_low = multiply_add(square.low, g.rate_high, multiply_add(square.high, g.rate_low, q.low));
  const T shifted = Format<T>::round - q.high;
  const Bits n = bit_cast<Bits>(shifted) - bit_cast<Bits>(Format<T>::round);
  const T r = (-q.high - (shifted - Format<T>::round)) - q_low;

  const Scaled<T> s = scaled_toward_one(t);
  const Pair<T> at = two_product(g.coefficient_high, s.value);
  const bool finite = at.high - at.high == 0;  // else the rounding error is NaN even where at.high is infinite
  const T at_low = finite ? multiply_add(g.coefficient_low, s.value, at.low) : T(0);
  T value = at.high + multiply_add(at.high, exp2_minus_one(r), at_low);
  Bits exponent = g.exponent + n + s.exponent;

  if (order > 0) {
    const T signed_near = z < 0 ? -near : near;
    T previous = 1, hermite = signed_near;
    for (int64_t j = 1; j < order; j++) {
      const T next = multiply_add(signed_near, hermite, -static_cast<T>(j) * g.variance * previous);
      previous = hermite;
      hermite = next;
    }
    // Near 0 an odd order is as small as x is, and could take a value that was scaled down out of range. (Only double
    // comes here: gaussian_element.)
    const Bits shift = Format<T>::exponent_bias / 2 - 64;
    const bool small = hermite < power_of_two<T>(-shift) && hermite > -power_of_two<T>(-shift);
    value *= small ? hermite * power_of_two<T>(shift) : hermite;
    exponent -= small ? shift : 0;
  }
  value = outside ? T(0) : value;

  // In two factors, each a normal number. `value` is so far from the ends that only the last product rounds, and that
  // cutting the exponent off at either end changes no result.
  const Bits bound = 2 * (Format<T>::exponent_bias - 1);
  exponent = exponent > -bound ? exponent : -bound;
  exponent = exponent < bound ? exponent : bound;
  const Bits half = exponent >> 1;
  return value * power_of_two<T>(half) * power_of_two<T>(exponent - half);
}

// g in both of the formats that compute it.
struct PreparedGaussian {
  Gaussian<float> in_float;
  Gaussian<double> in_double;
  int64_t order;
};

SPIKEGRAD_SCALAR PreparedGaussian prepare_gaussian(double sigma, double alpha, int64_t order) {
  return {make_gaussian<float>(sigma, alpha, order), make_gaussian<double>(sigma, alpha, order), order};
}

// One element of any dtype, rounded once at the end. Order 0 of float and the halves is computed in float, at twice the
// speed of double; the higher orders, which only second derivatives ask for, in double, where the cancellation within
// He_n does no harm to a float. `order` is g.order; callers pass it as a constant where they have it as one.
template <class T>
SPIKEGRAD_SCALAR T gaussian_element(T x, T t, const PreparedGaussian& g, int64_t order) {
  if (order == 0) return narrow(gaussian_derivative<float>(widen(x), widen(t), g.in_float, 0), T{});
  return narrow(static_cast<float>(gaussian_derivative<double>(widen(x), widen(t), g.in_double, order)), T{});
}

SPIKEGRAD_SCALAR double gaussian_element(double x, double t, const PreparedGaussian& g, int64_t order) {
  return gaussian_derivative<double>(x, t, g.in_double, order);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_GAUSSIAN_H_
