// The derivatives of the Gaussian surrogate, each times a cotangent:
//
//   t * g^(n)(x)  with  g(x) = alpha / (sigma sqrt(2 pi)) exp(-x^2 / (2 sigma^2)),
//                       g^(n)(x) = (-1)^n He_n(x / sigma) / sigma^n g(x).
//
// There are two ways. `gaussian_value` is the gradient of every training step: order 0, in float or double, in as few
// operations as two units in the last place allow. `gaussian_derivative` is everything else: any order, any parameters,
// in double. Both write g as a 2^(e - q), where q = x^2 log2(e) / (2 sigma^2) and a 2^e is what does not depend on x,
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
#include "math/half.h"
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

// Where m^(2 n), below, leaves the range of a double there is an end; nobody differentiates this often.
constexpr int64_t kHighestOrder = 256;

// What is to be known of sigma, alpha and the order, with sigma = m 2^k and x = z 2^k.
struct Gaussian {
  Pair<double> variance;     // m^2
  Pair<double> rate;         // log2(e) / (2 m^2), so that q = z^2 rate
  Pair<double> coefficient;  // a, 1 <= |a| < 2 unless it is 0 or NaN
  int64_t exponent;          // e
  int64_t scale;             // k
  int64_t order;
};

// sigma and alpha are operands that may be traced, so nobody can refuse them before this; what is not a Gaussian
// (sigma <= 0, anything infinite or NaN) becomes NaN everywhere.
SPIKEGRAD_SCALAR Gaussian make_gaussian(double sigma, double alpha, int64_t order) {
  const double largest = 0x1.fffffffffffffp1023;
  const bool valid = sigma > 0 && sigma <= largest && alpha >= -largest && alpha <= largest;
  const Split a = split(valid && alpha != 0 ? alpha : 1);
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
  const double factor = !valid ? __builtin_nan("") : alpha == 0 ? 0 : order % 2 ? -normalise : normalise;

  Gaussian g;
  g.variance = variance;
  g.rate = quotient(half_log2_e, variance);
  g.coefficient = {factor * c.high, factor * c.low};
  g.exponent = a.exponent + e - k * (order + 1);
  g.scale = k;
  g.order = order;
  return g;
}

// Rounds a pair of doubles to a pair of T, once times a power of two.
template <class T>
SPIKEGRAD_SCALAR Pair<T> rounded(Pair<double> p, double factor) {
  const T high = static_cast<T>(p.high * factor);
  return {high, static_cast<T>((p.high * factor - high) + p.low * factor)};
}

// ---- order 0 ----

template <class T>
struct GaussianValue {
  Pair<T> rate;                       // log2(e) / (2 sigma^2), so that q = x^2 rate
  Pair<T> coefficient;                // a, sqrt(2) <= |a| < 2 sqrt(2)
  T limit;                            // |x| from which on g counts as 0
  typename Format<T>::Bits exponent;  // e
  bool usable;                        // sigma and alpha are within the wide range in which nothing here can overflow
};

template <class T>
SPIKEGRAD_SCALAR GaussianValue<T> make_gaussian_value(const Gaussian& g) {
  const int64_t bias = Format<T>::exponent_bias;  // 127: sigma from 2^-50 to 2^50, g(0) from 2^-100 to 2^100
  const int64_t e_bound = bias - 27, k_bound = (bias - 27) / 2;
  const bool small = (g.coefficient.high < 0 ? -g.coefficient.high : g.coefficient.high) < 0x1.6a09e667f3bcdp+0;

  GaussianValue<T> v;
  v.usable = g.exponent >= -e_bound && g.exponent <= e_bound && g.scale >= -k_bound && g.scale <= k_bound;
  const double unscale = power_of_two<double>(v.usable ? -2 * g.scale : 0);
  v.rate = rounded<T>(g.rate, unscale);
  v.coefficient = rounded<T>(g.coefficient, small ? 2 : 1);
  v.exponent = static_cast<typename Format<T>::Bits>(v.usable ? g.exponent - small : 0);
  v.limit = static_cast<T>(__builtin_sqrt(static_cast<double>(v.exponent + 2 * (bias - 1)) / (g.rate.high * unscale)));
  return v;
}

// 2^(e - q) as 2^(exponent - fraction), |fraction| <= 1/2. The kernels run the three steps of gaussian_value one after
// the other over a block, and hold this between them.
template <class T>
struct Reduced {
  T fraction;
  typename Format<T>::Bits exponent;
};

template <class T>
SPIKEGRAD_SCALAR Reduced<T> reduce(T x, const GaussianValue<T>& g) {
  // Written so that a NaN stays one. At the limit the exponent is -2 (bias - 1), for which `scaled_value` gives 0.
  T near = g.limit < x ? g.limit : x;
  near = -g.limit > near ? -g.limit : near;
  const Pair<T> square = two_product(near, near);
  const Pair<T> q = two_product(square.high, g.rate.high);
  const T q_low = multiply_add(square.low, g.rate.high, multiply_add(square.high, g.rate.low, q.low));
  const T shifted = Format<T>::round - q.high;
  const auto n = bit_cast<typename Format<T>::Bits>(shifted) - bit_cast<typename Format<T>::Bits>(Format<T>::round);
  return {(q.high + (shifted - Format<T>::round)) + q_low, static_cast<typename Format<T>::Bits>(g.exponent + n)};
}

// t a 2^(exponent - fraction), where change = 2^-fraction - 1.
template <class T>
SPIKEGRAD_SCALAR T scaled_value(T t, T change, typename Format<T>::Bits exponent, const GaussianValue<T>& g) {
  const Pair<T> value =
      ordered_sum(g.coefficient.high, multiply_add(g.coefficient.high, change, g.coefficient.low));  // 1 <= |value| < 4
  // value 2^first t 2^last. `first` takes all of a positive exponent, so that it lifts a small t before anything is
  // rounded, and half of a negative one, so that the product neither overflows nor loses bits that 2^last could need.
  // From -251 (float) on down it is no exponent of a normal number any more, and 2^first is 0: what is cut off there
  // only a t above 2^101 would have lifted back to a float at all.
  const auto half = (exponent >> 1) - 1;
  const auto first = exponent > half ? exponent : half;
  const T scale = power_of_two<T>(first);
  const T high = value.high * scale;
  const T product = multiply_add(high, t, value.low * scale * t);
  // Where t is infinite the low part is NaN, or an infinity of the other sign.
  return (product == product ? product : high * t) * power_of_two<T>(exponent - first);
}

template <class T>
SPIKEGRAD_SCALAR T gaussian_value(T x, T t, const GaussianValue<T>& g) {
  const Reduced<T> r = reduce(x, g);
  return scaled_value(t, exp2_minus_one(-r.fraction), r.exponent, g);
}

// ---- every order ----

SPIKEGRAD_SCALAR double gaussian_derivative(double x, double t, const Gaussian& g, int64_t order) {
  const double z = x * power_of_two<double>(-g.scale);
  // Beyond q = e + 3072, t g is zero for the largest of t.
  const double reach = static_cast<double>(g.exponent + 3072);
  const double limit = reach > 0 ? __builtin_sqrt(reach / g.rate.high) : 0;
  const bool outside = z > limit || z < -limit;  // never where x is NaN
  const double near = outside ? limit : z;

  const Pair<double> square = two_product(near, near);
  const Pair<double> q = two_product(square.high, g.rate.high);
  const double q_low = multiply_add(square.low, g.rate.high, multiply_add(square.high, g.rate.low, q.low));
  const double shifted = Format<double>::round - q.high;
  const double s = (q.high + (shifted - Format<double>::round)) + q_low;
  const int64_t n = bit_cast<int64_t>(shifted) - bit_cast<int64_t>(Format<double>::round);
  int64_t exponent = g.exponent + n;

  // t, which may have any exponent, is brought towards 1, and its exponent with those of g.
  const bool large = t > 1 || t < -1;
  const double tangent = t * (large ? 0x1p-512 : 0x1p512);
  exponent += large ? 512 : -512;
  const Pair<double> at = two_product(g.coefficient.high, tangent);
  const double at_low = multiply_add(g.coefficient.low, tangent, at.low);
  const Pair<double> a_power = ordered_sum(at.high, multiply_add(at.high, exp2_minus_one(-s), at_low));

  // m^n He_n(x / sigma), by Q_(j+1) = z Q_j - j m^2 Q_(j-1): no division, and Q_1 is exact.
  double previous = 0, hermite = 1;
  for (int64_t j = 0; j < order; j++) {
    const double next = multiply_add(near, hermite, -static_cast<double>(j) * g.variance.high * previous);
    // From order 70 on, what t and He_n are together could leave the range.
    const bool large = order > 3 && (next > 0x1p448 || next < -0x1p448);
    previous = large ? hermite * 0x1p-448 : hermite;
    hermite = large ? next * 0x1p-448 : next;
    exponent += large ? 448 : 0;
  }
  // Near 0 an odd order is as small as x is, and could take a value that was scaled down out of range.
  const bool small = hermite < 0x1p-448 && hermite > -0x1p-448;
  hermite = small ? hermite * 0x1p448 : hermite;
  exponent -= small ? 448 : 0;
  double value = multiply_add(a_power.high, hermite, a_power.low * hermite);
  value = t - t == 0 ? value : t * hermite * g.coefficient.high;  // the low parts of an infinite t are NaN
  value = outside ? 0 * t : value;  // where NaN and infinity of t come through as they do in t * 0

  // In two factors, each a normal number. `value` is so far from the ends that only the last product rounds, and that
  // cutting the exponent off at either end changes no result.
  exponent = exponent > -2044 ? exponent : -2044;
  exponent = exponent < 2044 ? exponent : 2044;
  const int64_t half = exponent >> 1;
  return value * power_of_two<double>(half) * power_of_two<double>(exponent - half);
}

// ---- an element of any dtype ----

struct PreparedGaussian {
  Gaussian any_order;
  GaussianValue<float> value_in_float;  // for the halves too
  GaussianValue<double> value_in_double;
};

SPIKEGRAD_SCALAR PreparedGaussian prepare_gaussian(double sigma, double alpha, int64_t order) {
  const Gaussian g = make_gaussian(sigma, alpha, order);
  return {g, make_gaussian_value<float>(g), make_gaussian_value<double>(g)};
}

// What gaussian_value needs to know to serve elements of type T.
template <class T>
SPIKEGRAD_SCALAR const GaussianValue<float>& value_of(const PreparedGaussian& g, T) {
  return g.value_in_float;
}
SPIKEGRAD_SCALAR const GaussianValue<double>& value_of(const PreparedGaussian& g, double) { return g.value_in_double; }

// gaussian_derivative for elements of type T: in double, where the cancellation within He_n does no harm to a float.
template <class T>
SPIKEGRAD_SCALAR T gaussian_derivative_element(T x, T t, const PreparedGaussian& g, int64_t order) {
  return narrow(static_cast<float>(gaussian_derivative(widen(x), widen(t), g.any_order, order)), T{});
}
SPIKEGRAD_SCALAR double gaussian_derivative_element(double x, double t, const PreparedGaussian& g, int64_t order) {
  return gaussian_derivative(x, t, g.any_order, order);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_GAUSSIAN_H_
