// The 16-bit formats as bit patterns, and their conversions to and from float.
//
// The conversions use selects instead of branches, so that they vectorise. They never turn a normal half into a
// subnormal float, so they do not depend on the processor's subnormal mode.
#ifndef SPIKEGRAD_MATH_HALF_H_
#define SPIKEGRAD_MATH_HALF_H_

#include "math/scalar.h"

namespace spikegrad {

struct Float16 {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

SPIKEGRAD_SCALAR float widen(float x) { return x; }
SPIKEGRAD_SCALAR double widen(double x) { return x; }

SPIKEGRAD_SCALAR float widen(BFloat16 x) { return bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

SPIKEGRAD_SCALAR float widen(Float16 x) {
  const uint32_t magnitude = (x.bits & 0x7fffu) << 13;
  const uint32_t sign = (x.bits & 0x8000u) << 16;
  // A subnormal half is a multiple of 2^-24. With 2^-14 added it is a normal float; the subtraction is exact.
  const float subnormal = bit_cast<float>(magnitude + (113u << 23)) - 0x1p-14f;
  const uint32_t normal = magnitude + ((127u - 15u) << 23);
  const uint32_t special = magnitude | 0x7f800000u;  // infinity, or a NaN with its payload
  uint32_t bits = magnitude < (1u << 23) ? bit_cast<uint32_t>(subnormal) : normal;
  bits = magnitude >= (31u << 23) ? special : bits;
  return bit_cast<float>(bits | sign);
}

// The type of T's parameters, in which order 0 is computed.
template <class T>
using Wide = decltype(widen(T{}));

// x in the type of the second argument, rounded to nearest, ties to even.
SPIKEGRAD_SCALAR float narrow(float x, float) { return x; }
SPIKEGRAD_SCALAR double narrow(double x, double) { return x; }

SPIKEGRAD_SCALAR BFloat16 narrow(float x, BFloat16) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;  // rounding up could carry a NaN into infinity
  return {static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40u : rounded)};
}

SPIKEGRAD_SCALAR Float16 narrow(float x, Float16) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  // Below 2^-14, adding 1/2 aligns the float's last bits with a subnormal half's last bits, and rounds.
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - (126u << 23);
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - ((127u - 15u) << 23)) >> 13;
  uint32_t half = magnitude < (113u << 23) ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // from 65520 on, the nearest half is infinity
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  return {static_cast<uint16_t>(half | sign)};
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_HALF_H_
