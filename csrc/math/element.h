// One element of a family's derivative. GPU threads compute this; tests compare the CPU loops with it. (The CPU loops
// take the same steps a block at a time, so that they vectorise.)
#ifndef SPIKEGRAD_MATH_ELEMENT_H_
#define SPIKEGRAD_MATH_ELEMENT_H_

#include "math/exp2.h"
#include "math/family.h"
#include "math/powers.h"

namespace spikegrad {

// t g(x), order 0, by the fast path.
template <class T, class Value>
SPIKEGRAD_SCALAR T value_of(T x, T t, const Value& g) {
  Reduced<T> r[Value::powers];
  T change[Value::powers];
  typename Format<T>::Bits exponent[Value::powers];
  reduce(x, g, r);
  for (int k = 0; k < Value::powers; k++) {
    change[k] = exp2_minus_one(r[k].fraction);
    exponent[k] = r[k].exponent;
  }
  return finish(x, t, change, exponent, g);
}

// t = finite * rest. A very large or infinite t is multiplied in (partly) after the sum over the terms. Otherwise terms
// could overflow to infinities of both signs, and the sum would be NaN.
struct Cotangent {
  double finite;
  double rest;
};

SPIKEGRAD_SCALAR Cotangent parted(double t) {
  const bool is_finite = t - t == 0;
  const double large = t > 0x1p960 || t < -0x1p960 ? 0x1p100 : 1.0;
  return {is_finite ? t / large : 1, is_finite ? large : t};
}

// t g^(order)(x). `order` equals g.order, but may be a compile-time constant.
template <class Family>
SPIKEGRAD_SCALAR double sum_of_terms(double x, double t, const Family& g, int64_t order) {
  const Cotangent parts = parted(t);
  double sum = term(x, parts.finite, 0, g, order);
  for (int64_t k = 1; k < g.terms; k++) sum += term(x, parts.finite, k, g, order);
  return sum * parts.rest;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_ELEMENT_H_
