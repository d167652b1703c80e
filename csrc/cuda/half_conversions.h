// Conversions of the 16-bit formats by the device's own instructions: the portable ones of math/half.h are some 35
// operations for a cotangent, an input and a result, more than there is time for at the speed of the memory.
#ifndef SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_
#define SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_

#include <cuda_runtime.h>

#include "math/half.h"

#if defined(__CUDA_ARCH__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace spikegrad::cuda {

template <class T>
__device__ __forceinline__ auto to_wide(T x) {
  return widen(x);
}

template <class T, class W>
__device__ __forceinline__ T from_wide(W x) {
  return narrow(x, T{});
}

#if defined(__CUDA_ARCH__)
template <>
__device__ __forceinline__ auto to_wide(Float16 x) {
  return __half2float(__ushort_as_half(x.bits));
}
template <>
__device__ __forceinline__ Float16 from_wide(float x) {
  return {__half_as_ushort(__float2half_rn(x))};
}
template <>
__device__ __forceinline__ BFloat16 from_wide(float x) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
}
#endif

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_
