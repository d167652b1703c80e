// The derivatives of one Gaussian, each times a cotangent:
//
//   t * g^(n)(x)  with  g(x) = w / (sigma sqrt(2 pi)) exp(-z^2 / 2),  z = (x - mu) / sigma,
//                       g^(n)(x) = (-1)^n He_n(z) / sigma^n g(x).
//
// There are two ways. `GaussianValue` is the gradient of every training step: order 0 and mu = 0, in float or double,
// in as few operations as two units in the last place allow. `gaussian_derivative` is everything else: any order, any
// parameters, in double. Both write g as a 2^(e - q), where q = z^2 log2(e) / 2 and a 2^e is what does not depend on x,
// and share what makes them accurate:
//   - q is a compensated product: x^2 with its rounding error, log2(e) / (2 sigma^2) as a pair. In plain float32 the
//     rounding of q alone costs 200 units in the last place at the far end of the tail.
//   - a 2^-s, with s what is left of q, is summed as a + a (2^-s - 1), so that one rounding of full size is left.
//     With a rounding each for 2^-s, a and t the error was 2.8 units in the last place.
//   - Exponents stay integers until the end. XLA's own exp flushes to zero, or loses its bits as a subnormal, before a
//     large t or 1 / sigma can lift it again.
//   - What does not depend on x is worked out in pairs of doubles and rounded once.
#ifndef SPIKEGRAD_MATH_GAUSSIAN_H_
#define SPIKEGRAD_MATH_GAUSSIAN_H_

#include "math/error_free.h"
#include "math/exp2.h"
#include "math/family.h"
#include "math/powers.h"
#include "math/scalar.h"

namespace spikegrad {

// What is to be known of w, mu, sigma and the order, with sigma = m 2^k.
struct Gaussian {
  double mean;               // mu
  Pair<double> variance;     // m^2
  Pair<double> rate;         // log2(e) / (2 m^2), so that q = ((x - mu) 2^-k)^2 rate
  Pair<double> coefficient;  // a, 1 <= |a| < 2 unless it is 0 or NaN
  int64_t exponent;          // e
  int64_t scale;             // k
};

// The parameters are operands that may be traced, so nobody can refuse them before this; what is not a Gaussian
// (sigma <= 0, anything infinite or NaN) becomes NaN everywhere.
SPIKEGRAD_SCALAR Gaussian make_gaussian(double weight, double mean, double sigma, int64_t order) {
  const double largest = 0x1.fffffffffffffp1023;
  const bool valid = sigma > 0 && sigma <= largest && weight >= -largest && weight <= largest && mean - mean == 0;
  const Split a = split(valid && weight != 0 ? weight : 1);
  const Split s = split(valid ? sigma : 1);
  // At the ends of the range k stops short of sigma's own exponent, so that 2^-k stays a normal number.
  const int64_t k = s.exponent < -1022 ? -1022 : s.exponent > 1022 ? 1022 : s.exponent;
  const double m = s.mantissa * power_of_two<double>(s.exponent - k);

  const Pair<double> half_log2_e = {0x1.71547652b82fep-1, 0x1.777d0ffda0d24p-57};
  const Pair<double> sqrt_two_pi = {0x1.40d931ff62706p+1, -0x1.a6a0d6f814637p-53};
  const Pair<double> variance = two_product(m, m);
  Pair<double> denominator = product(sqrt_two_pi, Pair<double>{m, 0});
  for (int64_t n = 0; n < order; n++) denominator = product(denominator, variance);
  const Pair<double> c = quotient(Pair<double>{a.mantissa, 0}, denominator);
  const int64_t e = split(c.high).exponent;
  const double normalise = power_of_two<double>(-e);
  const double factor = !valid ? __builtin_nan("") : weight == 0 ? 0 : order % 2 ? -normalise : normalise;

  Gaussian g;
  g.mean = valid ? mean : 0;
  g.variance = variance;
  g.rate = quotient(half_log2_e, variance);
  g.coefficient = {factor * c.high, factor * c.low};
  g.exponent = a.exponent + e - k * (order + 1);
  g.scale = k;
  return g;
}

// Order 0 where mu = 0, as family.h has it.
template <class T>
struct GaussianValue {
  static constexpr int powers = 1;
  Pair<T> rate;                       // log2(e) / (2 sigma^2), so that q = x^2 rate
  Pair<T> coefficient;                // a, sqrt(2) <= |a| < 2 sqrt(2)
  T limit;                            // |x| from which on g counts as 0
  typename Format<T>::Bits exponent;  // e + 2 bias
  bool usable;  // mu = 0, and sigma and w are within the wide range in which nothing here can overflow
};

template <class T>
SPIKEGRAD_SCALAR GaussianValue<T> make_gaussian_value(const Gaussian& g) {
  const int64_t bias = Format<T>::exponent_bias;  // 127: sigma from 2^-50 to 2^50, g(0) from 2^-100 to 2^100
  const int64_t e_bound = bias - 27, k_bound = (bias - 27) / 2;
  const bool small = (g.coefficient.high < 0 ? -g.coefficient.high : g.coefficient.high) < 0x1.6a09e667f3bcdp+0;

  GaussianValue<T> v;
  v.usable =
      g.mean == 0 && g.exponent >= -e_bound && g.exponent <= e_bound && g.scale >= -k_bound && g.scale <= k_bound;
  const double unscale = power_of_two<double>(v.usable ? -2 * g.scale : 0);
  v.rate = rounded<T>(g.rate, unscale);
  v.coefficient = rounded<T>(g.coefficient, small ? 2 : 1);
  v.exponent = static_cast<typename Format<T>::Bits>((v.usable ? g.exponent - small : 0) + 2 * bias);
  v.limit = static_cast<T>(__builtin_sqrt(static_cast<double>(v.exponent) / (g.rate.high * unscale)));
  return v;
}

template <class T>
SPIKEGRAD_SCALAR void reduce(T x, const GaussianValue<T>& g, Reduced<T> (&r)[1]) {
  // At the limit the exponent is 0, for which `scaled` gives 0.
  const T near = clamped_magnitude(x, g.limit);
  const Pair<T> q = rated(two_product(near, near), g.rate);
  r[0] = reduced(g.exponent, q.high, q.low);
}

template <class T>
SPIKEGRAD_SCALAR T finish(T, T t, const T (&change)[1], const typename Format<T>::Bits (&exponent)[1],
                          const GaussianValue<T>& g) {
  const Pair<T> a = g.coefficient;
  return scaled(t, ordered_sum(a.high, multiply_add(a.high, change[0], a.low)), exponent[0]);
}

// t g^(order)(x) for a finite t.
SPIKEGRAD_SCALAR double gaussian_derivative(double x, double t, const Gaussian& g, int64_t order) {
  const Pair<double> distance = two_sum(x, -g.mean);
  const double z = distance.high * power_of_two<double>(-g.scale);
  // Beyond q = e + 3072, t g is zero for the largest of t.
  const double reach = static_cast<double>(g.exponent + 3072);
  const double limit = reach > 0 ? __builtin_sqrt(reach / g.rate.high) : 0;
  const bool outside = z > limit || z < -limit;  // never where x is NaN
  const double near = outside ? limit : z;

  Pair<double> square = two_product(near, near);
  // Of an infinite x the low part is NaN, and not looked at.
  square.low = multiply_add(2 * near, distance.low * power_of_two<double>(-g.scale), square.low);
  const Pair<double> q = rated(square, g.rate);
  const Reduced<double> power = reduced(g.exponent, q.high, q.low);
  int64_t exponent = power.exponent;

  const Split tangent = balanced(t);
  exponent += tangent.exponent;
  const Pair<double> at = two_product(g.coefficient.high, tangent.mantissa);
  const double at_low = multiply_add(g.coefficient.low, tangent.mantissa, at.low);
  const Pair<double> a_power = ordered_sum(at.high, multiply_add(at.high, exp2_minus_one(power.fraction), at_low));

  // m^n He_n(z), by Q_(j+1) = z Q_j - j m^2 Q_(j-1): no division, and Q_1 is exact.
  double previous = 0, hermite = 1;
  for (int64_t j = 0; j < order; j++) {
    const double next = multiply_add(near, hermite, -static_cast<double>(j) * g.variance.high * previous);
    // What t and He_n are together could leave the range.
    const bool large = order > 3 && (next > 0x1p448 || next < -0x1p448);
    previous = large ? hermite * 0x1p-448 : hermite;
    hermite = large ? next * 0x1p-448 : next;
    exponent += large ? 448 : 0;
  }
  // Near 0 an odd order is as small as x is, and could take a value that was scaled down out of range.
  const bool small = hermite < 0x1p-448 && hermite > -0x1p-448;
  hermite = small ? hermite * 0x1p448 : hermite;
  exponent -= small ? 448 : 0;
  const double value = multiply_add(a_power.high, hermite, a_power.low * hermite);
  // Bad parameters are NaN here too.
  return with_exponent(outside ? 0 * g.coefficient.high : value, exponent);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_GAUSSIAN_H_
