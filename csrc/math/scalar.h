// The base of all scalar functions: the SPIKEGRAD_SCALAR macro, bit patterns, and the fused multiply-add.
#ifndef SPIKEGRAD_MATH_SCALAR_H_
#define SPIKEGRAD_MATH_SCALAR_H_

#include <cstdint>
#include <cstring>

// cmake/refuse_unsafe_flags.cmake rejects these flags by name where CMake can see them. The macros also catch flags
// from a compiler wrapper or a toolchain file, and a compiler with fast-math on by default.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "spikegrad can't be compiled with -ffast-math or a part of it: results would be wrong"
#endif

// Always internal linkage. The kernels are compiled once for each instruction set. With weak symbols the linker could
// keep the AVX-512 copy of a function and call it on every processor. For the same reason these headers call no std
// templates.
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

// a * b + c, with a single rounding if the instruction set has FMA. Without FMA, std::fma would be a library call of 50
// ns. Callers that depend on the single rounding use two_product (error_free.h), which also works without FMA.
#if SPIKEGRAD_HAS_FMA
SPIKEGRAD_SCALAR float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SPIKEGRAD_SCALAR double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
SPIKEGRAD_SCALAR float multiply_add(float a, float b, float c) { return a * b + c; }
SPIKEGRAD_SCALAR double multiply_add(double a, double b, double c) { return a * b + c; }
#endif

// Constants of the format of T. `round` is 1.5 * 2^mantissa_bits: adding it to a small number rounds the number to an
// integer and leaves this integer in the low bits.
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

// |x| in one operation. `x < 0 ? -x : x` takes three operations, because of -0.
template <class T>
SPIKEGRAD_SCALAR T absolute(T x) {
  using Unsigned = typename Format<T>::UnsignedBits;
  return bit_cast<T>(bit_cast<Unsigned>(x) & (~Unsigned{0} >> 1));
}

// 2^n for n in the range of T's normal exponents.
template <class T>
SPIKEGRAD_SCALAR T power_of_two(typename Format<T>::Bits n) {
  using F = Format<T>;
  return bit_cast<T>(static_cast<typename F::UnsignedBits>(n + F::exponent_bias) << F::mantissa_bits);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_SCALAR_H_
