// The sigmoid family. With s = 1 / (1 + e^(-alpha x)) and p = e^(-alpha |x|),
//
//   g(x) = alpha s (1 - s) = alpha p / (1 + p)^2,
//   g^(n)(x) = alpha^(n+1) (-sign x)^n p A(p) / (1 + p)^(n+2),
//
// where A has the coefficients (-1)^k <n+1, k>, Eulerian numbers. (Differentiate p / (1 + p)^2 = sum of j (-1)^(j+1)
// p^j term by term.) For odd n, A has the root p = 1, at x = 0. This root is factored out, and 1 - p is computed
// separately.
//
// p = 2^-q with q = alpha |x| log2(e), a compensated product as in gaussian.h.
#ifndef SPIKEGRAD_MATH_SIGMOID_H_
#define SPIKEGRAD_MATH_SIGMOID_H_

#include "math/error_free.h"
#include "math/exp2.h"
#include "math/family.h"
#include "math/powers.h"
#include "math/scalar.h"

namespace spikegrad {

template <class T>
struct SigmoidValue {
  static constexpr int powers = 1;
  Pair<T> rate;                       // alpha log2(e)
  T coefficient;                      // m, where alpha = m 2^e
  T limit;                            // where |x| >= limit, g is taken as 0
  typename Format<T>::Bits exponent;  // e + 2 bias
  bool usable;
};

struct Sigmoid {
  static constexpr int64_t parameters = 1;  // alpha
  static constexpr int64_t most_terms = 1;
  int64_t order;
  int64_t terms;
  Pair<double> rate;         // m log2(e), where alpha = m 2^scale
  Pair<double> coefficient;  // (-1)^n alpha^(n+1) = coefficient 2^exponent
  int64_t exponent;
  int64_t scale;
  double polynomial[kHighestOrder + 1];  // A(p); for odd n, A(p) / (1 - p)
  InEither<SigmoidValue> value;
};

template <class T>
SPIKEGRAD_SCALAR SigmoidValue<T> make_sigmoid_value(const Sigmoid& g, double mantissa) {
  const int64_t bias = Format<T>::exponent_bias;
  SigmoidValue<T> v;
  v.usable = g.scale >= 27 - bias && g.scale <= bias - 27;
  const int64_t scale = v.usable ? g.scale : 0;
  v.rate = rounded<T>(g.rate, power_of_two<double>(scale));
  v.coefficient = static_cast<T>(mantissa);
  v.exponent = static_cast<typename Format<T>::Bits>(scale + 2 * bias);
  v.limit = static_cast<T>(static_cast<double>(v.exponent) / (g.rate.high * power_of_two<double>(scale)));
  return v;
}

template <class T>
SPIKEGRAD_SCALAR void prepare(Sigmoid& g, const double* parameters, int64_t terms, int64_t order, T type) {
  const double alpha = parameters[0];
  const bool valid = alpha > 0 && alpha <= 0x1.fffffffffffffp1023;
  const Split a = split(valid ? alpha : 1);
  const Pair<double> log2_e = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
  g.order = order;
  g.terms = terms;
  // At the ends of the range the scale differs from alpha's own exponent, so that 2^scale stays a normal number.
  g.scale = a.exponent < -1022 ? -1022 : a.exponent;
  const double mantissa = a.mantissa * power_of_two<double>(a.exponent - g.scale);
  g.rate = product(log2_e, Pair<double>{mantissa, 0});
  Pair<double> power = {mantissa, 0};
  for (int64_t n = 0; n < order; n++) power = product(power, Pair<double>{mantissa, 0});
  const double sign = !valid ? __builtin_nan("") : order % 2 ? -1 : 1;
  g.coefficient = {sign * power.high, sign * power.low};
  g.exponent = g.scale * (order + 1);

  // <m, k> = (k + 1) <m - 1, k> + (m - k) <m - 1, k - 1>, here with the sign (-1)^k.
  g.polynomial[0] = 1;
  for (int64_t k = 1; k <= order; k++) g.polynomial[k] = 0;
  for (int64_t m = 2; m <= order + 1; m++) {
    for (int64_t k = m - 1; k > 0; k--) {
      g.polynomial[k] = static_cast<double>(k + 1) * g.polynomial[k] - static_cast<double>(m - k) * g.polynomial[k - 1];
    }
  }
  for (int64_t k = 1; order % 2 && k <= order; k++) g.polynomial[k] += g.polynomial[k - 1];

  const double nan_or_mantissa = valid ? mantissa : __builtin_nan("");
  in_type(g.value, type) = make_sigmoid_value<T>(g, nan_or_mantissa);
}

template <class T>
SPIKEGRAD_SCALAR const SigmoidValue<T>& value_for(const Sigmoid& g, Terms<1>, T type) {
  return in_type(g.value, type);
}

template <class T, class Use>
SPIKEGRAD_SCALAR bool with_value(const Sigmoid& g, T type, Use use) {
  if (in_type(g.value, type).usable) return use(in_type(g.value, type)), true;
  return false;
}

template <class T>
SPIKEGRAD_SCALAR void reduce(T x, const SigmoidValue<T>& g, Reduced<T> (&r)[1]) {
  const T near = clamped_magnitude(x, g.limit);
  const Pair<T> q = two_product(near, g.rate.high);
  r[0] = reduced(g.exponent, q.high, multiply_add(near, g.rate.low, q.low));
}

template <class T>
SPIKEGRAD_SCALAR T finish(T, T t, const T (&change)[1], const typename Format<T>::Bits (&exponent)[1],
                          const SigmoidValue<T>& g) {
  // p = scale (1 + change), and 1 + p as a pair. None of the differences rounds.
  const T scale = power_of_two_or_nothing<T>(exponent[0] - (g.exponent - Format<T>::exponent_bias));
  const T one_plus = 1 + multiply_add(scale, change[0], scale);
  const T one_plus_low = multiply_add(scale, change[0], scale - (one_plus - 1));
  Pair<T> square = two_product(one_plus, one_plus);
  square.low = multiply_add(2 * one_plus, one_plus_low, square.low);
  const T numerator = multiply_add(g.coefficient, change[0], g.coefficient);
  const T numerator_low = multiply_add(g.coefficient, change[0], g.coefficient - numerator);
  // The quotient of the two pairs, corrected once. This costs a single division.
  const T inverse = 1 / square.high;
  const T quotient = numerator * inverse;
  const T remainder =
      remainder_of(numerator, quotient, square.high) + multiply_add(-quotient, square.low, numerator_low);
  return scaled(t, Pair<T>{quotient, remainder * inverse}, exponent[0]);
}

SPIKEGRAD_SCALAR double term(double x, double t, int64_t, const Sigmoid& g, int64_t order) {
  const double y = (x < 0 ? -x : x) * power_of_two<double>(g.scale);
  // Beyond q = e + 3072, t g rounds to zero even for the largest t.
  const double reach = static_cast<double>(g.exponent + 3072) / g.rate.high;
  const double limit = reach > 0 ? reach : 0;
  const bool outside = y > limit;  // false if x is NaN
  const Pair<double> q = rated(Pair<double>{outside ? limit : y, 0}, g.rate);
  const Reduced<double> power = reduced(int64_t{0}, q.high, q.low);
  const double change = exp2_minus_one(power.fraction);

  const int64_t n = power.exponent;
  const double scale = power_of_two_or_nothing<double>((n < 0 ? n : 0) + Format<double>::exponent_bias);
  const Pair<double> mantissa = ordered_sum(1.0, change);
  const Pair<double> p = {mantissa.high * scale, mantissa.low * scale};
  Pair<double> one_plus = ordered_sum(1.0, p.high);
  one_plus.low += p.low;
  Pair<double> denominator = one_plus;
  for (int64_t j = 0; j <= order; j++) denominator = product(denominator, one_plus);

  const Split tangent = balanced(t);
  Pair<double> numerator = product(g.coefficient, Pair<double>{tangent.mantissa, 0});
  numerator = product(numerator, mantissa);
  if (order % 2) {
    const double one_minus = 1 - p.high;
    const Pair<double> root =
        n == 0 ? Pair<double>{-change, 0} : ordered_sum(one_minus, (1 - one_minus - p.high) - p.low);
    numerator = product(numerator, root);
  }
  const int64_t degree = order - order % 2;
  double polynomial = g.polynomial[degree];
  for (int64_t k = degree - 1; k >= 0; k--) polynomial = multiply_add(polynomial, p.high, g.polynomial[k]);

  const Pair<double> ratio = quotient(numerator, denominator);
  double value = multiply_add(ratio.high, polynomial, ratio.low * polynomial);
  value = outside ? 0 * g.coefficient.high : value;
  value = order % 2 && x < 0 ? -value : value;
  return with_exponent(value, g.exponent + n + tangent.exponent);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_SIGMOID_H_
