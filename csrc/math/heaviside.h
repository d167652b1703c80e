// The spike function: 1 where x >= 0, else 0. It is 1 at -0.0 and 0 at NaN.
#ifndef SPIKEGRAD_MATH_HEAVISIDE_H_
#define SPIKEGRAD_MATH_HEAVISIDE_H_

#include "math/half.h"

namespace spikegrad {

SPIKEGRAD_SCALAR float heaviside(float x) { return x >= 0 ? 1.0f : 0.0f; }
SPIKEGRAD_SCALAR double heaviside(double x) { return x >= 0 ? 1.0 : 0.0; }

// 16-bit floats are compared by their bit patterns: all numbers from 0 to infinity, and -0.0.
SPIKEGRAD_SCALAR uint16_t heaviside_bits(uint16_t x, uint16_t infinity, uint16_t one) {
  return x <= infinity || x == 0x8000u ? one : uint16_t{0};
}
SPIKEGRAD_SCALAR Float16 heaviside(Float16 x) { return {heaviside_bits(x.bits, 0x7c00u, 0x3c00u)}; }
SPIKEGRAD_SCALAR BFloat16 heaviside(BFloat16 x) { return {heaviside_bits(x.bits, 0x7f80u, 0x3f80u)}; }

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_HEAVISIDE_H_
