// 2^r - 1 for r in [-1/2, 1/2].
//
// exp2_coefficients.py in this folder derives the coefficients. Their approximation error in 2^r, before the rounding
// of the evaluation, is 2^-28.1 (float) and 2^-57.3 (double), relative.
#ifndef SPIKEGRAD_MATH_EXP2_H_
#define SPIKEGRAD_MATH_EXP2_H_

#include "math/scalar.h"

namespace spikegrad {

SPIKEGRAD_SCALAR float exp2_minus_one(float r) {
  float p = 0x1.3f906cp-13f;
  p = multiply_add(p, r, 0x1.5f0a66p-10f);
  p = multiply_add(p, r, 0x1.3b30b0p-7f);
  p = multiply_add(p, r, 0x1.c6af78p-5f);
  p = multiply_add(p, r, 0x1.ebfbd8p-3f);
  p = multiply_add(p, r, 0x1.62e430p-1f);
  return p * r;
}

SPIKEGRAD_SCALAR double exp2_minus_one(double r) {
  double p = 0x1.e9471c875b804p-32;
  p = multiply_add(p, r, 0x1.e61c1058a1947p-28);
  p = multiply_add(p, r, 0x1.b5253f6036401p-24);
  p = multiply_add(p, r, 0x1.62bfc71ea7788p-20);
  p = multiply_add(p, r, 0x1.ffcbfc595bcf6p-17);
  p = multiply_add(p, r, 0x1.4309130f139cbp-13);
  p = multiply_add(p, r, 0x1.5d87fe78a111cp-10);
  p = multiply_add(p, r, 0x1.3b2ab6fb9ffb3p-7);
  p = multiply_add(p, r, 0x1.c6b08d704a122p-5);
  p = multiply_add(p, r, 0x1.ebfbdff82c5a5p-3);
  p = multiply_add(p, r, 0x1.62e42fefa39efp-1);
  return p * r;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_EXP2_H_
