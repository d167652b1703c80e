// An elementwise loop over the whole grid, 16 bytes a thread and turn.
#ifndef SPIKEGRAD_CUDA_VECTORS_H_
#define SPIKEGRAD_CUDA_VECTORS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "math/scalar.h"

namespace spikegrad::cuda {

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

// How a thread goes through the lanes of its vectors: all at once, for the more that is under way; or one after the
// other, where each is so much work that all at once would not find registers.
enum class Lanes { at_once, in_turn };

// The lowest lane, taken out; the others move down, and `last` comes in above them. (An index that is no constant would
// need local memory, and lanes of 16 bits in an array a register each.)
template <class T>
__device__ __forceinline__ T pop_and_push(Bits& queue, T last) {
  constexpr int bits = 8 * sizeof(T);
  const T first = bit_cast<T>(static_cast<Unsigned<sizeof(T)>>(queue.low));
  const uint64_t above = static_cast<uint64_t>(bit_cast<Unsigned<sizeof(T)>>(last)) << (64 - bits);
  if constexpr (bits == 64) {
    queue = {queue.high, above};
  } else {
    queue = {queue.low >> bits | queue.high << (64 - bits), queue.high >> bits | above};
  }
  return first;
}

template <Lanes kLanes, class T, class Apply, class... From>
__device__ __forceinline__ Bits apply_to_lanes(Apply apply, From... from) {
  if constexpr (kLanes == Lanes::at_once) {
    Vector<T> to;
    const auto apply_to = [&](const auto&... vectors) {
#pragma unroll
      for (int k = 0; k < Vector<T>::lanes; k++) to.lane[k] = apply(vectors.lane[k]...);
    };
    apply_to(bit_cast<Vector<T>>(from)...);
    return bit_cast<Bits>(to);
  } else {
    Bits to = {};
#pragma unroll 1
    for (int k = 0; k < Vector<T>::lanes; k++) pop_and_push(to, apply(pop_and_push(from, T{})...));
    return to;
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
    reinterpret_cast<Bits*>(to)[i] = apply_to_lanes<kLanes, T>(apply, reinterpret_cast<const Bits*>(from)[i]...);
  }
  for (int64_t i = vectors * lanes + thread; i < size; i += threads) to[i] = apply(from[i]...);
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_VECTORS_H_
