// Compiled once an instruction set, with SPIKEGRAD_INSTRUCTION_SET naming the namespace. Nothing here may have external
// linkage but the table itself (scalar.h tells why; the build checks it).
#include "cpu/kernels.h"

#include "math/heaviside.h"

// The loops carry nothing from one element to the next, even where the output is an input. Without this word GCC guards
// every loop with an overlap test, and in place it would take the scalar way.
#if defined(__clang__)
#define SPIKEGRAD_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define SPIKEGRAD_VECTORISE _Pragma("GCC ivdep")
#endif

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

template <class T>
void heaviside_loop(const T* x, T* out, int64_t size) {
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < size; i++) out[i] = heaviside(x[i]);
}

constexpr int64_t kAnyOrder = -1;

template <class T, bool kScalarT, int64_t kOrder>
void gaussian_loop(const T* x, const T* t, T* out, int64_t size, const PreparedGaussian& prepared) {
  // A copy, and t[0] read once: behind a reference either could be written through `out` for all the compiler knows.
  const PreparedGaussian g = prepared;
  const T scalar_t = kScalarT ? t[0] : T{};
  const int64_t order = kOrder == kAnyOrder ? g.order : kOrder;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < size; i++) out[i] = gaussian_element(x[i], kScalarT ? scalar_t : t[i], g, order);
}

// Orders 0 to 3 (the gradient, the Hessian, and the gradient with respect to sigma of each) have loops of their own:
// with the order a constant the Hermite recurrence unrolls and the loop vectorises, which makes it 4x faster.
template <class T, bool kScalarT>
void gaussian(const T* x, const T* t, T* out, int64_t size, const PreparedGaussian& g) {
  switch (g.order) {
    case 0:
      return gaussian_loop<T, kScalarT, 0>(x, t, out, size, g);
    case 1:
      return gaussian_loop<T, kScalarT, 1>(x, t, out, size, g);
    case 2:
      return gaussian_loop<T, kScalarT, 2>(x, t, out, size, g);
    case 3:
      return gaussian_loop<T, kScalarT, 3>(x, t, out, size, g);
    default:
      return gaussian_loop<T, kScalarT, kAnyOrder>(x, t, out, size, g);
  }
}

template <class T>
constexpr ElementKernels<T> table() {
  return {&heaviside_loop<T>, &gaussian<T, false>, &gaussian<T, true>};
}

}  // namespace

const Kernels kernels = {table<Float16>(), table<BFloat16>(), table<float>(), table<double>()};

}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET
