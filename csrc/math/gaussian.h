// The derivatives of one Gaussian, each times a cotangent:
//
//   t * g^(n)(x)  with  g(x) = w / (sigma sqrt(2 pi)) exp(-z^2 / 2),  z = (x - mu) / sigma,
//                       g^(n)(x) = (-1)^n He_n(z) / sigma^n g(x).
//
// There are two implementations. `GaussianValue` is the fast path, the gradient of every training step: order 0 and
// mu = 0, in float or double. It uses as few operations as an error of two units in the last place allows.
// `gaussian_derivative` handles all other cases: any order and any parameters, in double. Both write g as a 2^(e - q),
// with q = z^2 log2(e) / 2 and a factor a 2^e that does not depend on x. Both owe their accuracy to four measures:
//   - q is a compensated product of x^2, with its rounding error, and of log2(e) / (2 sigma^2), kept as a pair. In
//     plain float32, the rounding of q alone costs 200 units in the last place at the far end of the tail.
//   - a 2^-s, with s the fraction of q, is summed as a + a (2^-s - 1), which leaves one rounding of full size. Rounding
//     2^-s, a and t separately gave an error of 2.8 units in the last place.
//   - Exponents stay integers until the end. XLA's exp flushes small results to zero, or loses bits as a subnormal,
//     before a large t or 1 / sigma can scale the result up again.
//   - All values that do not depend on x are computed in pairs of doubles and rounded once.
#ifndef SPIKEGRAD_MATH_GAUSSIAN_H_
#define SPIKEGRAD_MATH_GAUSSIAN_H_

#include "math/error_free.h"
#include "math/exp2.h"
#include "math/family.h"
#include "math/powers.h"
#include "math/scalar.h"

namespace spikegrad {

// The constants that follow from w, mu, sigma and the order, with sigma = m 2^k.
struct Gaussian {
  double mean;               // mu
  Pair<double> variance;     // m^2
  Pair<double> rate;         // log2(e) / (2 m^2), so that q = ((x - mu) 2^-k)^2 rate
  Pair<double> coefficient;  // a, 1 <= |a| < 2 unless it is 0 or NaN
  int64_t exponent;          // e
  int64_t scale;             // k
};

// Parameters may be traced, so Python code cannot always reject bad values. If sigma <= 0 or any parameter is infinite
// or NaN, all results are NaN.
SPIKEGRAD_SCALAR Gaussian make_gaussian(double weight, double mean, double sigma, int64_t order) {
  const double largest = 0x1.fffffffffffffp1023;
  const bool valid = sigma > 0 && sigma <= largest && weight >= -largest && weight <= largest && mean - mean == 0;
  const Split a = split(valid && weight != 0 ? weight : 1);
  const Split s = split(valid ? sigma : 1);
  // At the ends of the range k differs from sigma's own exponent, so that 2^-k stays a normal number.
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

// The fast path for order 0 and mu = 0 (see family.h).
template <class T>
struct GaussianValue {
  static constexpr int powers = 1;
  Pair<T> rate;                       // log2(e) / (2 sigma^2), so that q = x^2 rate
  Pair<T> coefficient;                // a, sqrt(2) <= |a| < 2 sqrt(2)
  T limit;                            // where |x| >= limit, g is taken as 0
  typename Format<T>::Bits exponent;  // e + 2 bias
  bool usable;                        // mu = 0, and sigma and w are in the (wide) range without overflow
};

template <class T>
SPIKEGRAD_SCALAR GaussianValue<T> make_gaussian_value(const Gaussian& g) {
  const int64_t bias = Format<T>::exponent_bias;  // float: sigma in [2^-50, 2^50], g(0) in [2^-100, 2^100]
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
  // Beyond q = e + 3072, t g rounds to zero even for the largest t.
  const double reach = static_cast<double>(g.exponent + 3072);
  const double limit = reach > 0 ? __builtin_sqrt(reach / g.rate.high) : 0;
  const bool outside = z > limit || z < -limit;  // false if x is NaN
  const double near = outside ? limit : z;

  Pair<double> square = two_product(near, near);
  // For an infinite x the low part is NaN, but then `outside` is true and the result below does not use it.
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
    // The product of t and He_n could overflow, so powers of two move into the exponent.
    const bool large = order > 3 && (next > 0x1p448 || next < -0x1p448);
    previous = large ? hermite * 0x1p-448 : hermite;
    hermite = large ? next * 0x1p-448 : next;
    exponent += large ? 448 : 0;
  }
  // Near 0 an odd order is as small as x, and `value` could leave the range of normal numbers.
  const bool small = hermite < 0x1p-448 && hermite > -0x1p-448;
  hermite = small ? hermite * 0x1p448 : hermite;
  exponent -= small ? 448 : 0;
  const double value = multiply_add(a_power.high, hermite, a_power.low * hermite);
  // With bad parameters the coefficient is NaN, and so is the result here.
  return with_exponent(outside ? 0 * g.coefficient.high : value, exponent);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_GAUSSIAN_H_
