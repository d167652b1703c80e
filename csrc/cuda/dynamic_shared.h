// Shared memory whose size is given at launch.
#ifndef SPIKEGRAD_CUDA_DYNAMIC_SHARED_H_
#define SPIKEGRAD_CUDA_DYNAMIC_SHARED_H_

#include <cuda_runtime.h>

namespace spikegrad::cuda {

template <class T>
__device__ __forceinline__ T* dynamic_shared() {
#if defined(__CUDACC__)
  extern __shared__ double dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
#else  // the host compiler of the tests has no unsized shared arrays
  return static_cast<T*>(launch_shim::dynamic_shared_memory);
#endif
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_DYNAMIC_SHARED_H_
