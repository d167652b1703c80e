// widen and narrow of math/half.h by the device's own instructions: the portable ones are some 35 operations for a
// cotangent, an input and a result in 16 bits, more than there is time for at the speed of the memory.
#ifndef SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_
#define SPIKEGRAD_CUDA_HALF_CONVERSIONS_H_

#include <cuda_runtime.h>

#include "math/half.h"

#if defined(__CUDACC__)  // and not the tests' host compiler
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
