// Elementwise work over the whole grid, 16 bytes a thread.
#ifndef SPIKEGRAD_CUDA_VECTORS_H_
#define SPIKEGRAD_CUDA_VECTORS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "math/scalar.h"

namespace spikegrad::cuda {

// The 16 bytes as they are read and written: one 128-bit access, whatever they hold. (A memcpy by way of
// __builtin_assume_aligned is 16 accesses of a byte on sm_80 and sm_90, by nvcc 13.0.)
struct __attribute__((may_alias, aligned(16))) Bits {
  uint64_t low;
  uint64_t high;
};
constexpr int64_t kVectorBytes = sizeof(Bits);

template <class T>
struct Vector {
  static constexpr int lanes = kVectorBytes / sizeof(T);
  T lane[lanes];
};

template <class... T>
__device__ __forceinline__ bool aligned_for_vectors(const T*... at) {
  return ((reinterpret_cast<uintptr_t>(at) | ...) % kVectorBytes) == 0;
}

// What a thread of a grid that covers `size` elements has to do: the vector with its own number, and elements one by
// one behind the last vector. XLA places its buffers so that vectors fit, but promises no more than an element's
// alignment; where one of the buffers is not aligned, all elements go one by one.
template <class T>
struct Share {
  int64_t thread, threads, vectors;

  template <class... Array>
  explicit __device__ __forceinline__ Share(int64_t size, const Array*... arrays)
      : thread(static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x),
        threads(static_cast<int64_t>(gridDim.x) * blockDim.x),
        vectors(aligned_for_vectors(arrays...) ? size / Vector<T>::lanes : 0) {}

  __device__ __forceinline__ bool has_vector() const { return thread < vectors; }

  template <class Use>
  __device__ __forceinline__ void for_remainder(int64_t size, Use use) const {
#pragma unroll 1
    for (int64_t i = vectors * Vector<T>::lanes + thread; i < size; i += threads) use(i);
  }
};

template <class T>
__device__ __forceinline__ Bits load_bits(const T* array, int64_t i) {
  return reinterpret_cast<const Bits*>(array)[i];
}

template <class T>
__device__ __forceinline__ void store_vector(T* array, int64_t i, const Vector<T>& vector) {
  reinterpret_cast<Bits*>(array)[i] = bit_cast<Bits>(vector);
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_VECTORS_H_
