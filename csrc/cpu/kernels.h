// The elementwise kernels as plain functions over contiguous arrays, without XLA and threads.
//
// An output may be one of the inputs. Buffers are aligned to their element type only.
#ifndef SPIKEGRAD_CPU_KERNELS_H_
#define SPIKEGRAD_CPU_KERNELS_H_

#include <cstdint>

#include "cpu/instruction_sets.h"
#include "math/dtypes.h"
#include "math/families.h"

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
#define SPIKEGRAD_DECLARE(name, T, ...) \
  ElementKernels<T> name;               \
  const ElementKernels<T>& of(T) const { return name; }
  SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
};

// One table for each instruction set, all compiled from kernels.cc.
#define SPIKEGRAD_DECLARE(set)  \
  namespace set {               \
  extern const Kernels kernels; \
  }
SPIKEGRAD_FOR_EACH_INSTRUCTION_SET(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_KERNELS_H_
