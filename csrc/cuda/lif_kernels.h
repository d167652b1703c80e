// lif, its tangent and its pullback as plain launches: no XLA.
//
// All pointers are to device memory. Nothing is allocated and nothing waited for; without neurons nothing is launched.
// `load` brings a kernel into the current device, which a launch under stream capture must not have to do.
#ifndef SPIKEGRAD_CUDA_LIF_KERNELS_H_
#define SPIKEGRAD_CUDA_LIF_KERNELS_H_

#include <cuda_runtime_api.h>

#include "math/families.h"
#include "math/lif_call.h"

namespace spikegrad::cuda {

template <class T>
struct Lif {
  static cudaError_t launch(const LifForward<T>& call, cudaStream_t stream);
  static cudaError_t load();
};

template <class T, class Family>
struct LifDerivative {
  static cudaError_t launch(const LifTangent<T>& call, const ParameterAddresses<Family>& parameters,
                            cudaStream_t stream);
  static cudaError_t launch(const LifCotangent<T>& call, const ParameterAddresses<Family>& parameters,
                            cudaStream_t stream);
  static cudaError_t load(const LifTangent<T>&);
  static cudaError_t load(const LifCotangent<T>&);
};

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LIF_KERNELS_H_
