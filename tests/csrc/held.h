// Conversions between T and the type that NumPy arrays hold: 16-bit floats are held as bit patterns.
#pragma once

#include <cstdint>

#include "math/half.h"

template <class T>
struct Held {
  using type = T;
  static T in(T x) { return x; }
  static T out(T x) { return x; }
};
template <class Half>
struct HeldAsBits {
  using type = uint16_t;
  static Half in(uint16_t x) { return {x}; }
  static uint16_t out(Half x) { return x.bits; }
};
template <>
struct Held<spikegrad::Float16> : HeldAsBits<spikegrad::Float16> {};
template <>
struct Held<spikegrad::BFloat16> : HeldAsBits<spikegrad::BFloat16> {};
