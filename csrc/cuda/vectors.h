// Elementwise operations over the whole grid, 16 bytes a thread.
#ifndef SPIKEGRAD_CUDA_VECTORS_H_
#define SPIKEGRAD_CUDA_VECTORS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "math/scalar.h"

namespace spikegrad::cuda {

// 16 bytes, read and written in one 128-bit access, whatever their type. (nvcc 13.0 compiles a memcpy with
// __builtin_assume_aligned to 16 single-byte accesses on sm_80 and sm_90.)
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

// The work of one thread in a grid that covers `size` elements: one vector, and single elements after the last vector.
// XLA aligns its buffers for vectors, but guarantees only the alignment of an element. If any buffer is not aligned,
// all elements are processed one by one.
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
