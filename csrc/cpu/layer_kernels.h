// The kernels of a layer, its tangent and its pullback as plain functions, without XLA and threads. Each call processes
// the neurons [begin, end) over all steps.
#ifndef SPIKEGRAD_CPU_LAYER_KERNELS_H_
#define SPIKEGRAD_CPU_LAYER_KERNELS_H_

#include <cstdint>

#include "cpu/instruction_sets.h"
#include "math/dtypes.h"
#include "math/families.h"
#include "neurons/layer_call.h"
#include "neurons/neurons.h"

namespace spikegrad {

// Neurons that a kernel processes together. Larger blocks read longer contiguous rows. Measured on two cores,
// interleaved, LIF, 1000 x 8192 in float: forward is as fast in blocks of 8192, 0.9 times as fast in blocks of 2048 and
// 0.8 times in blocks of 1024. Backward, which prefetches (layer_prefetch.h), is equally fast with all of them.
constexpr int64_t kBlock = 4096;

template <class T, class Neuron, class Family>
struct LayerDerivativeKernels {
  void (*tangent)(const LayerTangent<T, Neuron>& call, int64_t begin, int64_t end, const Family& g);
  // Returns false if the memory for a segment between two checkpoints could not be allocated.
  bool (*cotangent)(const LayerCotangent<T, Neuron>& call, int64_t begin, int64_t end, const Family& g);
};

template <class T, class Neuron>
struct LayerElementKernels {
  void (*forward)(const LayerForward<T, Neuron>& call, int64_t begin, int64_t end);

#define SPIKEGRAD_DECLARE(name, Family)           \
  LayerDerivativeKernels<T, Neuron, Family> name; \
  const LayerDerivativeKernels<T, Neuron, Family>& of(const Family&) const { return name; }
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
};

template <class Neuron>
struct LayerKernels {
#define SPIKEGRAD_DECLARE(name, T, ...) \
  LayerElementKernels<T, Neuron> name;  \
  const LayerElementKernels<T, Neuron>& of(T) const { return name; }
  SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
};

// One table for each neuron and instruction set.
#define SPIKEGRAD_DECLARE_NEURON(name, Neuron) extern const LayerKernels<Neuron> name##_kernels;
#define SPIKEGRAD_DECLARE(set)                        \
  namespace set {                                     \
  SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DECLARE_NEURON) \
  }
SPIKEGRAD_FOR_EACH_INSTRUCTION_SET(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
#undef SPIKEGRAD_DECLARE_NEURON

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_LAYER_KERNELS_H_
