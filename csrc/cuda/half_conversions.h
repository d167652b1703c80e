// widen and narrow (math/half.h) with the device's conversion instructions. The portable versions take about 35
// operations for a 16-bit cotangent, input and result, which is too slow to keep up with memory.
#ifndef SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_
#define SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_

#include <cuda_runtime.h>

#include "math/half.h"

#if defined(__CUDACC__)  // not for the host compiler of the tests
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace spikegrad::cuda {

template <class T>
__device__ __forceinline__ Wide<T> to_wide(T x) {
  return widen(x);
}

template <class T>
__device__ __forceinline__ T from_wide(Wide<T> x, T type) {
  return narrow(x, type);
}

#if defined(__CUDACC__)
__device__ __forceinline__ float to_wide(Float16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ __forceinline__ Float16 from_wide(float x, Float16) { return {__half_as_ushort(__float2half_rn(x))}; }
__device__ __forceinline__ BFloat16 from_wide(float x, BFloat16) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
}
#endif

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_
