// The elementwise kernels as plain functions over contiguous arrays, without XLA and threads.
//
// An output may be one of the inputs. Buffers are aligned to their element type only.
#ifndef SPIKEGRAD_CPU_KERNELS_H_
#define SPIKEGRAD_CPU_KERNELS_H_

#include <cstdint>

#include "math/families.h"
#include "math/half.h"

namespace spikegrad {

template <class T, class Family>
struct DerivativeKernels {
  // out[i] = t[i] g^(order)(x[i])
  void (*array_t)(const T* x, const T* t, T* out, int64_t size, const Family& g);
  // out[i] = t[0] g^(order)(x[i])
  void (*scalar_t)(const T* x, const T* t, T* out, int64_t size, const Family& g);
};

template <class T>
struct ElementKernels {
  void (*heaviside)(const T* x, T* out, int64_t size);

  // Always inlined: code that is compiled per instruction set must not call a weak symbol (vectorise.h).
#define SPIKEGRAD_DECLARE(name, Family) \
  DerivativeKernels<T, Family> name;    \
  __attribute__((always_inline)) const DerivativeKernels<T, Family>& of(const Family&) const { return name; }
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
};

struct Kernels {
  ElementKernels<Float16> f16;
  ElementKernels<BFloat16> bf16;
  ElementKernels<float> f32;
  ElementKernels<double> f64;
};

// One table for each instruction set, all compiled from kernels.cc.
namespace baseline {
extern const Kernels kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
#endif

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_KERNELS_H_
