// Order 0 of the multi-Gaussian surrogate: one Gaussian in the middle and two wider, equal ones at +mu and -mu.
//
//   g(x) = w N(x; 0, sigma) + v N(x; mu, rho) + v N(x; -mu, rho)
//        = A 2^-(c x^2) + B 2^-(b (|x| - mu)^2) (1 + 2^-(4 b mu |x|)),   c = log2(e) / (2 sigma^2), b = log2(e) / (2
//        rho^2)
//
// Only the first two of the three powers of two need a compensated exponent: the last power is small where its exponent
// is large. The sum is taken in units of 2^(B's exponent). First B and A are added, then the smaller corrections by 2^r
// and by the far side, which are not kept as pairs. Where the Gaussians cancel, the largest Gaussian determines the
// error. Measured in float: 2.4 ulp of the sum of magnitudes (with pairs throughout 2.2 ulp, but 1.50 ns an element
// instead of 1.40).
#ifndef SPIKEGRAD_MATH_SYMMETRIC_TRIPLE_H_
#define SPIKEGRAD_MATH_SYMMETRIC_TRIPLE_H_

#include "math/error_free.h"
#include "math/gaussian.h"
#include "math/powers.h"

namespace spikegrad {

template <class T>
struct SymmetricTriple {
  static constexpr int powers = 3;
  Pair<T> middle_rate;                       // c
  Pair<T> side_rate;                         // b
  T far_rate;                                // 4 b mu
  T mean;                                    // mu > 0
  Pair<T> middle;                            // A 2^-middle_exponent
  Pair<T> side;                              // B 2^-side_exponent
  typename Format<T>::Bits middle_exponent;  // + 3 bias
  typename Format<T>::Bits side_exponent;    // + 2 bias
  T limit;                                   // where |x| >= limit, g is taken as 0
  bool usable;
};

SPIKEGRAD_SCALAR bool equal(Pair<double> a, Pair<double> b) { return a.high == b.high && a.low == b.low; }

template <class T>
SPIKEGRAD_SCALAR SymmetricTriple<T> make_symmetric_triple(const Gaussian& middle, const Gaussian& left,
                                                          const Gaussian& right) {
  using Bits = typename Format<T>::Bits;
  SymmetricTriple<T> g = {};
  const double mean = left.mean < 0 ? -left.mean : left.mean;
  const bool symmetric = middle.mean == 0 && left.mean == -right.mean && left.scale == right.scale &&
                         left.exponent == right.exponent && equal(left.rate, right.rate) &&
                         equal(left.coefficient, right.coefficient);
  // Far from 0 the sides must dominate. At x = 0 the three terms must be close enough in size to be summed in float.
  // Outside these bounds the middle's exponent, up to 4^6 times the sides' exponent or about 10^6, might not be exact
  // in float.
  const bool near = middle.scale >= -30 && middle.scale <= 30 && left.scale >= middle.scale &&
                    left.scale <= middle.scale + 5 && left.exponent >= -60 && left.exponent <= 60 &&
                    middle.exponent - left.exponent >= -40 && middle.exponent - left.exponent <= 40;
  if (!symmetric || !near) return g;

  const double middle_factor = power_of_two<double>(-2 * middle.scale);
  const double side_factor = power_of_two<double>(-2 * left.scale);
  const double c = middle.rate.high * middle_factor, b = left.rate.high * side_factor;
  g.middle_rate = rounded<T>(middle.rate, middle_factor);
  g.side_rate = rounded<T>(left.rate, side_factor);
  g.far_rate = static_cast<T>(4 * b * mean);
  g.mean = static_cast<T>(mean);
  g.middle = rounded<T>(middle.coefficient, 1);
  g.side = rounded<T>(left.coefficient, 1);
  const int64_t bias = Format<T>::exponent_bias;
  g.middle_exponent = static_cast<Bits>(middle.exponent + 3 * bias);
  g.side_exponent = static_cast<Bits>(left.exponent + 2 * bias);
  const double reach = __builtin_sqrt(static_cast<double>(g.side_exponent) / b) + mean;
  g.limit = static_cast<T>(reach);
  // The far side's power must stay a normal number. This holds for mu up to 1.9 rho.
  g.usable = static_cast<double>(g.mean) == mean && c >= b && 4 * b * mean * reach < static_cast<double>(bias - 2);
  return g;
}

template <class T>
SPIKEGRAD_SCALAR void reduce(T x, const SymmetricTriple<T>& g, Reduced<T> (&r)[3]) {
  const T magnitude = clamped_magnitude(x, g.limit);
  const Pair<T> middle = rated(two_product(magnitude, magnitude), g.middle_rate);
  r[0] = reduced(g.middle_exponent, middle.high, middle.low);
  // Exact for |x| >= mu / 2. Below, q is small, and rounding x - mu costs less than a unit. (Measured: no larger error
  // than with two_sum, which takes three more operations.)
  const Pair<T> distance = ordered_sum(magnitude, -g.mean);
  Pair<T> square = two_product(distance.high, distance.high);
  square.low = multiply_add(2 * distance.high, distance.low, square.low);
  const Pair<T> side = rated(square, g.side_rate);
  r[1] = reduced(g.side_exponent, side.high, side.low);
  r[2] = reduced(Format<T>::exponent_bias, magnitude * g.far_rate, T(0));
}

template <class T>
SPIKEGRAD_SCALAR T finish(T, T t, const T (&change)[3], const typename Format<T>::Bits (&exponent)[3],
                          const SymmetricTriple<T>& g) {
  const T far_scale = power_of_two<T>(exponent[2] - Format<T>::exponent_bias);
  const T far = multiply_add(far_scale, change[2], far_scale);
  // In units of 2^exponent[1]. In these units the middle decreases from 2^43 to a negligible value.
  const T lead = power_of_two_or_nothing<T>(exponent[0] - exponent[1]);
  const T side_change = multiply_add(g.side.high, change[1], g.side.low);
  const T middle_change = multiply_add(g.middle.high, change[0], g.middle.low);
  const T sides_change = multiply_add(g.side.high + side_change, far, side_change);
  const T changes = multiply_add(middle_change, lead, sides_change);
  // The sum of the two coefficients, with its rounding error where the sides dominate. Without it the error was 2.9
  // ulp.
  const T coefficients = multiply_add(g.middle.high, lead, g.side.high);
  const T coefficients_low = multiply_add(g.middle.high, lead, g.side.high - coefficients);
  const Pair<T> sum = ordered_sum(coefficients, changes);
  return scaled(t, Pair<T>{sum.high, sum.low + coefficients_low}, exponent[1]);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_SYMMETRIC_TRIPLE_H_
