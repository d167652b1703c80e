// Order 0 of the multi-Gaussian surrogate: a Gaussian in the middle and two wider ones, alike, beside it.
//
//   g(x) = w N(x; 0, sigma) + v N(x; mu, rho) + v N(x; -mu, rho)
//        = A 2^-(c x^2) + B 2^-(b (|x| - mu)^2) (1 + 2^-(4 b mu |x|)),   c = log2(e) / (2 sigma^2), b = log2(e) / (2
//        rho^2)
//
// Of the three powers of two only the first two need a compensated exponent: the last one is small where its exponent
// is large. Each Gaussian keeps the accuracy that it has alone; where they cancel, the error is that of the largest.
#ifndef SPIKEGRAD_MATH_SYMMETRIC_TRIPLE_H_
#define SPIKEGRAD_MATH_SYMMETRIC_TRIPLE_H_

#include "math/error_free.h"
#include "math/gaussian.h"
#include "math/powers.h"

namespace spikegrad {

template <class T>
struct SymmetricTriple {
  static constexpr int powers = 3;
  Pair<T> middle_rate;  // c
  Pair<T> side_rate;    // b
  T far_rate;           // 4 b mu
  T mean;               // mu > 0
  Pair<T> middle;       // A 2^-middle_exponent
  Pair<T> side;         // B 2^-side_exponent
  typename Format<T>::Bits middle_exponent;
  typename Format<T>::Bits side_exponent;
  T limit;  // |x| - mu from which on g counts as 0
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
  // Far out the sides must lead, and by so little at x = 0 that floats hold all three. Beyond, the exponent of the
  // middle reaches 4^6 times that of the sides, some 10^6, and has to stay an exact float.
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
  g.middle_exponent = static_cast<Bits>(middle.exponent);
  g.side_exponent = static_cast<Bits>(left.exponent);
  const int64_t reach = left.exponent + 2 * (Format<T>::exponent_bias - 1);
  g.limit = static_cast<T>(__builtin_sqrt(static_cast<double>(reach) / b));
  g.usable = static_cast<double>(g.mean) == mean && c >= b && b * mean * mean < 30;
  return g;
}

template <class T>
SPIKEGRAD_SCALAR void reduce(T x, const SymmetricTriple<T>& g, Reduced<T> (&r)[3]) {
  const T magnitude = clamped(x < 0 ? -x : x, g.limit + g.mean);
  const Pair<T> middle = rated(two_product(magnitude, magnitude), g.middle_rate);
  r[0] = reduced(g.middle_exponent, middle.high, middle.low);
  const Pair<T> distance = two_sum(magnitude, -g.mean);
  Pair<T> square = two_product(distance.high, distance.high);
  square.low = multiply_add(2 * distance.high, distance.low, square.low);
  const Pair<T> side = rated(square, g.side_rate);
  r[1] = reduced(g.side_exponent, side.high, side.low);
  r[2] = reduced(typename Format<T>::Bits{0}, magnitude * g.far_rate, T(0));
}

template <class T>
SPIKEGRAD_SCALAR T finish(T, T t, const T (&change)[3], const typename Format<T>::Bits (&exponent)[3],
                          const SymmetricTriple<T>& g) {
  const T far_scale = power_of_two_or_nothing<T>(exponent[2]);
  const T far = multiply_add(far_scale, change[2], far_scale);
  const Pair<T> side = ordered_sum(g.side.high, multiply_add(g.side.high, change[1], g.side.low));
  const Pair<T> sides = ordered_sum(side.high, side.high * far);
  const Pair<T> middle = ordered_sum(g.middle.high, multiply_add(g.middle.high, change[0], g.middle.low));
  // In units of 2^exponent[1], in which the middle goes down from 2^70 to nothing.
  const T lead = power_of_two_or_nothing<T>(exponent[0] - exponent[1]);
  const Pair<T> sum = two_sum(sides.high, middle.high * lead);
  return scaled(t, {sum.high, sum.low + (multiply_add(middle.low, lead, side.low) + sides.low)}, exponent[1]);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_SYMMETRIC_TRIPLE_H_
