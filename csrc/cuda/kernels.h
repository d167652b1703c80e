// Launch functions of the elementwise kernels, without XLA.
//
// All pointers are device pointers. The output may be x or an array t, but not a scalar t, which every block reads.
// Buffers are aligned to their element type only. Launches neither allocate nor synchronise. With size 0 nothing is
// launched.
#ifndef SPIKEGRAD_CUDA_KERNELS_H_
#define SPIKEGRAD_CUDA_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "math/families.h"
#include "math/half.h"

namespace spikegrad::cuda {

template <class T>
struct Heaviside {
  static cudaError_t launch(const T* x, T* out, int64_t size, cudaStream_t stream);
  // Loads the kernel onto the current device. A launch under stream capture must not load it.
  static cudaError_t load();
};

template <class T, class Family>
struct Derivative {
  // out[i] = t[i] g^(order)(x[i]), or t[0] g^(order)(x[i]) if t is a scalar.
  static cudaError_t launch(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                            const ParameterAddresses<Family>& parameters, int64_t order, cudaStream_t stream);
  static cudaError_t load(int64_t parameter_count, int64_t order);
};

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_KERNELS_H_
