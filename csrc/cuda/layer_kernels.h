// A layer of neurons, its tangent and its pullback as plain launches: no XLA.
//
// All pointers are to device memory. Nothing is allocated and nothing waited for; without neurons nothing is launched.
// `load` brings the kernels that a call may need into the current device, which a launch under stream capture must not
// have to do.
#ifndef SPIKEGRAD_CUDA_LAYER_KERNELS_H_
#define SPIKEGRAD_CUDA_LAYER_KERNELS_H_

#include <cuda_runtime_api.h>

#include "math/families.h"
#include "neurons/layer_call.h"

namespace spikegrad::cuda {

template <class T, class Neuron>
struct ForwardKernels {
  static cudaError_t launch(const LayerForward<T, Neuron>& call, cudaStream_t stream);
  static cudaError_t load(const LayerForward<T, Neuron>& call);
};

template <class T, class Neuron, class Family>
struct TangentKernels {
  static cudaError_t launch(const LayerTangent<T, Neuron>& call, const ParameterAddresses<Family>& parameters,
                            cudaStream_t stream);
  static cudaError_t load(const LayerTangent<T, Neuron>& call, const ParameterAddresses<Family>& parameters);
};

template <class T, class Neuron, class Family>
struct CotangentKernels {
  static cudaError_t launch(const LayerCotangent<T, Neuron>& call, const ParameterAddresses<Family>& parameters,
                            cudaStream_t stream);
  static cudaError_t load(const LayerCotangent<T, Neuron>& call, const ParameterAddresses<Family>& parameters);
};

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_KERNELS_H_
