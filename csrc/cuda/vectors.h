// An elementwise loop over the whole grid, 16 bytes a thread and turn.
#ifndef SPIKEGRAD_CUDA_VECTORS_H_
#define SPIKEGRAD_CUDA_VECTORS_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "math/scalar.h"

namespace spikegrad::cuda {

constexpr int64_t kVectorBytes = 16;

template <size_t kSize>
struct UnsignedOfSize;
template <>
struct UnsignedOfSize<2> {
  using type = uint16_t;
};
template <>
struct UnsignedOfSize<4> {
  using type = uint32_t;
};
template <>
struct UnsignedOfSize<8> {
  using type = uint64_t;
};
template <size_t kSize>
using Unsigned = typename UnsignedOfSize<kSize>::type;

template <class T>
struct alignas(kVectorBytes) Vector {
  static constexpr int lanes = kVectorBytes / sizeof(T);
  T lane[lanes];
};

// One 128-bit access each. (nvcc 13.0 makes invalid code of __builtin_assume_aligned where it is given another pointer
// than one to void.)
template <class T>
__device__ __forceinline__ Vector<T> load_vector(const T* from) {
  const void* aligned = from;
  Vector<T> vector;
  memcpy(&vector, __builtin_assume_aligned(aligned, kVectorBytes), sizeof vector);
  return vector;
}
template <class T>
__device__ __forceinline__ void store_vector(T* to, const Vector<T>& vector) {
  void* aligned = to;
  memcpy(__builtin_assume_aligned(aligned, kVectorBytes), &vector, sizeof vector);
}

template <class... T>
__device__ __forceinline__ bool aligned_for_vectors(const T*... at) {
  return ((reinterpret_cast<uintptr_t>(at) | ...) % kVectorBytes) == 0;
}

// How a thread goes through the lanes of its vectors: all at once, for the more that is under way; or one after the
// other, where each is so much work that all at once would not find registers.
enum class Lanes { at_once, in_turn };

// A vector as the bits of its lanes, taken from below and added above: an index that is no constant would need local
// memory, and lanes of 16 bits a register each.
struct Queue {
  uint64_t low;
  uint64_t high;
};

template <class T>
__device__ __forceinline__ T pop_and_push(Queue& queue, T last) {
  using Bits = Unsigned<sizeof(T)>;
  constexpr int bits = 8 * sizeof(T);
  const T first = bit_cast<T>(static_cast<Bits>(queue.low));
  const uint64_t above = static_cast<uint64_t>(bit_cast<Bits>(last)) << (64 - bits);
  if constexpr (bits == 64) {
    queue = {queue.high, above};
  } else {
    queue = {queue.low >> bits | queue.high << (64 - bits), queue.high >> bits | above};
  }
  return first;
}

template <class T, class Apply, class... Queues>
__device__ __forceinline__ Vector<T> apply_in_turn(Apply apply, Queues... from) {
  Queue to = {};
#pragma unroll 1
  for (int k = 0; k < Vector<T>::lanes; k++) pop_and_push(to, apply(pop_and_push(from, T{})...));
  return bit_cast<Vector<T>>(to);
}

template <Lanes kLanes, class T, class Apply, class... Vectors>
__device__ __forceinline__ Vector<T> apply_to_lanes(Apply apply, const Vectors&... from) {
  if constexpr (kLanes == Lanes::at_once) {
    Vector<T> to;
#pragma unroll
    for (int k = 0; k < Vector<T>::lanes; k++) to.lane[k] = apply(from.lane[k]...);
    return to;
  } else {
    return apply_in_turn<T>(apply, bit_cast<Queue>(from)...);
  }
}

// to[i] = apply(from[i]...). XLA places its buffers so that vectors fit, but promises no more than an element's
// alignment; where one of the buffers is not aligned, all of it goes the way of the remainder.
template <Lanes kLanes, class T, class Apply, class... From>
__device__ __forceinline__ void for_each_element(T* to, int64_t size, Apply apply, const From*... from) {
  constexpr int lanes = Vector<T>::lanes;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t vectors = aligned_for_vectors(to, from...) ? size / lanes : 0;
  for (int64_t i = thread; i < vectors; i += threads) {
    store_vector(to + i * lanes, apply_to_lanes<kLanes, T>(apply, load_vector(from + i * lanes)...));
  }
  for (int64_t i = vectors * lanes + thread; i < size; i += threads) to[i] = apply(from[i]...);
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_VECTORS_H_
