// Addresses of a thread's neurons in the arrays of a layer, and functions that load and store them. A thread has kLanes
// adjacent neurons and accesses them at once.
#ifndef SPIKEGRAD_CUDA_LAYER_ROWS_H_
#define SPIKEGRAD_CUDA_LAYER_ROWS_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cuda/half_conversions.h"
#include "math/heaviside.h"
#include "neurons/layer_call.h"

namespace spikegrad::cuda {

// The values of a thread's neurons at one step.
template <class T, int kLanes>
struct alignas(sizeof(T) * kLanes) Row {
  T lane[kLanes];
};

template <int kLanes, class T>
__device__ __forceinline__ Row<T, kLanes> load_row(const T* at) {
  return *reinterpret_cast<const Row<T, kLanes>*>(at);
}

template <int kLanes, class T>
__device__ __forceinline__ void store_row(T* at, const Row<T, kLanes>& row) {
  *reinterpret_cast<Row<T, kLanes>*>(at) = row;
}

// The address `rows` rows after `at`, where `rows` is a constant. With a 32-bit Stride this is one of about a dozen
// instructions that a neuron needs for a forward step. Inline assembly hides the product: otherwise the compiler forms
// a chain of sums, each of two instructions. The text differs between reads and writes so that they don't share a
// product: on sm_100, ptxas would add a shared product to each address with two more instructions.
template <class T, class Stride>
__device__ __forceinline__ T* rows_after(T* at, int rows, Stride stride) {
  int64_t bytes;
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(Stride) == 4) {
    const uint32_t row_bytes = rows * sizeof(T);
    if constexpr (std::is_const_v<T>) {
      asm("mul.wide.u32 %0, %1, %2;  // to read" : "=l"(bytes) : "r"(stride), "r"(row_bytes));
    } else {
      asm("mul.wide.u32 %0, %1, %2;  // to write" : "=l"(bytes) : "r"(stride), "r"(row_bytes));
    }
  } else
#endif
  {
    bytes = static_cast<int64_t>(rows * sizeof(T)) * static_cast<int64_t>(stride);
  }
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(at) + bytes);
}

// Loads the first `count` rows, but at most kSteps.
template <int kSteps, int kLanes, class T, class Stride, class Count>
__device__ __forceinline__ void load_rows(const T* at, Stride stride, Count count, Row<T, kLanes> (&to)[kSteps]) {
  if (count >= kSteps) {
#pragma unroll
    for (int k = 0; k < kSteps; k++) to[k] = load_row<kLanes>(rows_after(at, k, stride));
  } else {
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      if (k < count) to[k] = load_row<kLanes>(rows_after(at, k, stride));
    }
  }
}

template <int kLanes, class Stride>
struct Neurons {
  int64_t index;  // of the first neuron
  int64_t outer, offset;
  Stride stride;  // from one step to the next, in elements
  bool exist;     // the last block has more threads than neurons

  explicit __device__ __forceinline__ Neurons(const LayerShape& shape)
      : Neurons(shape, (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kLanes) {}

  __device__ __forceinline__ Neurons(const LayerShape& shape, int64_t first)
      : index(first),
        outer(0),
        offset(index),
        stride(static_cast<Stride>(shape.inner)),
        exist(index < shape.outer * shape.inner) {
    // A 64-bit division takes as many instructions as ten steps, so it is skipped if time is the first axis.
    if (shape.outer > 1) {
      outer = index / shape.inner;
      offset = index - outer * shape.inner;
    }
  }

  // The index of the neurons at step t of an array [outer, length, inner].
  __device__ __forceinline__ int64_t at(int64_t length, int64_t t) const {
    return (outer * length + t) * static_cast<int64_t>(stride) + offset;
  }
};

// Loads values that are constant in time.
template <int kCount, class T, int kLanes, class Stride>
__device__ __forceinline__ void load_states(const Operand<T> (&operands)[kCount],
                                            const Neurons<kLanes, Stride>& neurons, Numbers<T, kCount> (&to)[kLanes]) {
#pragma unroll
  for (int i = 0; i < kCount; i++) {
#pragma unroll
    for (int j = 0; j < kLanes; j++) {
      to[j].at[i] = operands[i].data[operands[i].is_scalar ? 0 : neurons.index + j];
    }
  }
}

template <int kCount, class T, int kLanes, class Stride>
__device__ __forceinline__ void store_states(T* const (&arrays)[kCount], const Neurons<kLanes, Stride>& neurons,
                                             const Numbers<T, kCount> (&from)[kLanes]) {
#pragma unroll
  for (int i = 0; i < kCount; i++) {
#pragma unroll
    for (int j = 0; j < kLanes; j++) arrays[i][neurons.index + j] = from[j].at[i];
  }
}

// Loads a row of checkpoints, in one access for each state.
template <int kCount, class T, int kLanes>
__device__ __forceinline__ void load_checkpoint(const T* const (&arrays)[kCount], int64_t at,
                                                Numbers<T, kCount> (&to)[kLanes]) {
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    const Row<T, kLanes> row = load_row<kLanes>(arrays[i] + at);
#pragma unroll
    for (int j = 0; j < kLanes; j++) to[j].at[i] = row.lane[j];
  }
}

template <int kCount, class T, int kLanes>
__device__ __forceinline__ void store_checkpoint(T* const (&arrays)[kCount], int64_t at,
                                                 const Numbers<T, kCount> (&from)[kLanes]) {
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    Row<T, kLanes> row;
#pragma unroll
    for (int j = 0; j < kLanes; j++) row.lane[j] = from[j].at[i];
    store_row<kLanes>(arrays[i] + at, row);
  }
}

// Whether step t writes its spike to row t - 1 (spike_row in neurons/layer_call.h). Step 0 then writes none, and one
// more spike is written after the last step.
template <class T, class Neuron, class R>
__device__ __forceinline__ bool is_early(const Layer<T, Neuron>& layer, R rule) {
  return !rule.charge_first && layer.step_order == StepOrder::reset_undecayed;
}

template <class T, class Neuron>
__device__ __forceinline__ Rule rule_of(const Layer<T, Neuron>& layer) {
  return {layer.step_order == StepOrder::charge_fire_reset, layer.reset, layer.detach_reset};
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_ROWS_H_
