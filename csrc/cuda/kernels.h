// The elementwise kernels as plain launches: no XLA.
//
// All pointers are to device memory. An output may be x or an array t, but no scalar, which every block reads; buffers
// are aligned to their element and no more. Nothing is allocated and nothing waited for; with a size of 0 nothing is
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
  // Loads the kernel into the current device, which a launch under stream capture must not have to do.
  static cudaError_t load();
};

template <class T, class Family>
struct Derivative {
  // out[i] = t[i] g^(order)(x[i]), or t[0] g^(order)(x[i]) where t is a scalar.
  static cudaError_t launch(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                            const ParameterAddresses<Family>& parameters, int64_t order, cudaStream_t stream);
  static cudaError_t load(int64_t parameter_count, int64_t order);
};

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_KERNELS_H_
