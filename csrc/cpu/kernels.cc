// Compiled once an instruction set, with SPIKEGRAD_INSTRUCTION_SET naming the namespace. Nothing here may have external
// linkage but the table itself (scalar.h tells why; the build checks it).
#include "cpu/kernels.h"

#include "math/heaviside.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

// The loops carry nothing from one element to the next, even where the output is an input. Without this word GCC guards
// every loop with an overlap test, and in place it would take the scalar way.
#if defined(__clang__)
#define SPIKEGRAD_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#define SPIKEGRAD_UNROLL
#else
#define SPIKEGRAD_VECTORISE _Pragma("GCC ivdep")
#define SPIKEGRAD_UNROLL _Pragma("GCC unroll 4")  // clang does so by itself
#endif

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

template <class T>
void heaviside_loop(const T* x, T* out, int64_t size) {
  // Two instructions an element: without the unrolling, its counter is a third of the loop.
  SPIKEGRAD_VECTORISE
  SPIKEGRAD_UNROLL
  for (int64_t i = 0; i < size; i++) out[i] = heaviside(x[i]);
}

// Elements a block: what a block keeps between the steps below stays in the first-level cache.
constexpr int64_t kBlock = 512;

// Order 0 of float and double, in three loops over a block. One loop over all three steps is a chain of 20 dependent
// operations, of which the processor cannot hold enough in flight: 0.75 ns an element, against 0.6 like this.
template <class T, bool kScalarT>
void value_loop(const T* x, const T* t, T* out, int64_t size, const GaussianValue<T>& shared) {
  // A copy, and t[0] read once: behind a reference either could be written through `out` for all the compiler knows.
  const GaussianValue<T> g = shared;
  const T scalar_t = kScalarT ? t[0] : T{};
  T change[kBlock];
  typename Format<T>::Bits exponent[kBlock];
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t count = size - begin < kBlock ? size - begin : kBlock;
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) {
      const Reduced<T> r = reduce(x[begin + i], g);
      change[i] = -r.fraction;
      exponent[i] = r.exponent;
    }
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) change[i] = exp2_minus_one(change[i]);
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) {
      out[begin + i] = scaled_value(kScalarT ? scalar_t : t[begin + i], change[i], exponent[i], g);
    }
  }
}

template <class T>
void widen_loop(const T* from, float* to, int64_t size) {
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < size; i++) to[i] = widen(from[i]);
}

template <class T>
void narrow_loop(const float* from, T* to, int64_t size) {
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < size; i++) to[i] = narrow(from[i], T{});
}

#if defined(__F16C__)
// The processor's own conversions: with the portable ones, float16 took 2.5 ns an element in place of 1.
void widen_loop(const Float16* from, float* to, int64_t size) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
  for (; i < size; i++) to[i] = widen(from[i]);
}

void narrow_loop(const float* from, Float16* to, int64_t size) {
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), half);
  }
  for (; i < size; i++) to[i] = narrow(from[i], Float16{});
}
#endif

// Order 0 of the halves, in blocks of float that stay in the first-level cache.
template <class Half, bool kScalarT>
void half_value_loop(const Half* x, const Half* t, Half* out, int64_t size, const GaussianValue<float>& g) {
  float wide_x[kBlock], wide_t[kBlock];
  if (kScalarT) wide_t[0] = widen(t[0]);
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t count = size - begin < kBlock ? size - begin : kBlock;
    widen_loop(x + begin, wide_x, count);
    if (!kScalarT) widen_loop(t + begin, wide_t, count);
    value_loop<float, kScalarT>(wide_x, wide_t, wide_x, count, g);
    narrow_loop(wide_x, out + begin, count);
  }
}

constexpr int64_t kAnyOrder = -1;

template <class T, bool kScalarT, int64_t kOrder>
void derivative_loop(const T* x, const T* t, T* out, int64_t size, const PreparedGaussian& shared) {
  const PreparedGaussian g = shared;
  const T scalar_t = kScalarT ? t[0] : T{};
  const int64_t order = kOrder == kAnyOrder ? g.any_order.order : kOrder;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < size; i++) {
    out[i] = gaussian_derivative_element(x[i], kScalarT ? scalar_t : t[i], g, order);
  }
}

// Orders 1 to 3 (the Hessian, and the gradients of order 0 and 1 with respect to sigma) have loops of their own: with
// the order a constant the Hermite recurrence unrolls and the loop vectorises, which makes it 6x faster.
template <class T, bool kScalarT>
void gaussian(const T* x, const T* t, T* out, int64_t size, const PreparedGaussian& g) {
  const auto& value = value_of(g, T{});
  switch (g.any_order.order) {
    case 0:
      if (value.usable) {
        if constexpr (sizeof(T) == 2) {
          return half_value_loop<T, kScalarT>(x, t, out, size, value);
        } else {
          return value_loop<T, kScalarT>(x, t, out, size, value);
        }
      }
      return derivative_loop<T, kScalarT, 0>(x, t, out, size, g);
    case 1:
      return derivative_loop<T, kScalarT, 1>(x, t, out, size, g);
    case 2:
      return derivative_loop<T, kScalarT, 2>(x, t, out, size, g);
    case 3:
      return derivative_loop<T, kScalarT, 3>(x, t, out, size, g);
    default:
      return derivative_loop<T, kScalarT, kAnyOrder>(x, t, out, size, g);
  }
}

template <class T>
constexpr ElementKernels<T> table() {
  return {&heaviside_loop<T>, &gaussian<T, false>, &gaussian<T, true>};
}

}  // namespace

const Kernels kernels = {table<Float16>(), table<BFloat16>(), table<float>(), table<double>()};

}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET
