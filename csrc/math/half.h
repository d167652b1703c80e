// The 16-bit formats as bit patterns, and their conversions to and from float.
//
// Written with selects instead of branches, so that they vectorise, and without ever making a subnormal float out of a
// normal half, so that they do not depend on how the processor treats subnormals.
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
  // A subnormal is a count of 2^-24: written behind 2^-14 it is a normal float, from which 2^-14 is taken off again.
  const float subnormal = bit_cast<float>(magnitude + (113u << 23)) - 0x1p-14f;
  const uint32_t normal = magnitude + ((127u - 15u) << 23);
  const uint32_t special = magnitude | 0x7f800000u;  // infinity, or a NaN with its payload
  uint32_t bits = magnitude < (1u << 23) ? bit_cast<uint32_t>(subnormal) : normal;
  bits = magnitude >= (31u << 23) ? special : bits;
  return bit_cast<float>(bits | sign);
}

// The type in which order 0 of T is computed, and which its parameters have.
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
  // Below 2^-14 the addition of 1/2 lines the float's last bits up with those of a subnormal half, and rounds.
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - (126u << 23);
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - ((127u - 15u) << 23)) >> 13;
  uint32_t half = magnitude < (113u << 23) ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // from 65520 on, the nearest half is infinity
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  return {static_cast<uint16_t>(half | sign)};
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_HALF_H_
