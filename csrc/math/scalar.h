// What every scalar function stands on: how it is marked, bit patterns, and the one fused multiply-add.
#ifndef SPIKEGRAD_MATH_SCALAR_H_
#define SPIKEGRAD_MATH_SCALAR_H_

#include <cstdint>
#include <cstring>

// cmake/refuse_unsafe_flags.cmake names the flag where it can. These macros also show the flags of a compiler wrapper
// or a toolchain file, and a compiler that has fast-math on by default.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "spikegrad can't be compiled with -ffast-math or a part of it: results would be wrong"
#endif

// Internal linkage, always. The kernels are compiled once an instruction set, and a weak symbol would let the linker
// keep the AVX-512 copy of a function for everybody. For the same reason nothing here calls a template of std.
#if defined(__CUDACC__)
#define SPIKEGRAD_SCALAR static __host__ __device__ __forceinline__
#else
#define SPIKEGRAD_SCALAR static inline __attribute__((always_inline))
#endif

#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define SPIKEGRAD_HAS_FMA 1
#else
#define SPIKEGRAD_HAS_FMA 0
#endif

namespace spikegrad {

template <class To, class From>
SPIKEGRAD_SCALAR To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast needs types of one size");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// a * b + c, rounded once where the machine can. Without such an instruction std::fma would be a library call of 50 ns;
// callers that need the single rounding itself use two_product (error_free.h), which makes do without.
#if SPIKEGRAD_HAS_FMA
SPIKEGRAD_SCALAR float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SPIKEGRAD_SCALAR double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
SPIKEGRAD_SCALAR float multiply_add(float a, float b, float c) { return a * b + c; }
SPIKEGRAD_SCALAR double multiply_add(double a, double b, double c) { return a * b + c; }
#endif

// The format of T as the scalar functions need it. `round` is 1.5 * 2^mantissa_bits: adding it to a small number rounds
// that number to an integer and leaves the integer in the low bits.
template <class T>
struct Format;

template <>
struct Format<float> {
  using Bits = int32_t;
  using UnsignedBits = uint32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr Bits exponent_bias = 127;
  static constexpr float round = 0x1.8p23f;
};

template <>
struct Format<double> {
  using Bits = int64_t;
  using UnsignedBits = uint64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr Bits exponent_bias = 1023;
  static constexpr double round = 0x1.8p52;
};

// |x| as one operation: x < 0 ? -x : x is three, for the sake of -0.
template <class T>
SPIKEGRAD_SCALAR T absolute(T x) {
  using Unsigned = typename Format<T>::UnsignedBits;
  return bit_cast<T>(bit_cast<Unsigned>(x) & (~Unsigned{0} >> 1));
}

// 2^n for n within the range of T's normal numbers.
template <class T>
SPIKEGRAD_SCALAR T power_of_two(typename Format<T>::Bits n) {
  using F = Format<T>;
  return bit_cast<T>(static_cast<typename F::UnsignedBits>(n + F::exponent_bias) << F::mantissa_bits);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_SCALAR_H_
