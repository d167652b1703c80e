// Launch functions of a layer, its tangent and its pullback, without XLA.
//
// All pointers are device pointers. Launches neither allocate nor synchronise. Without neurons nothing is launched.
// `load` loads all kernels that a call may need onto the current device, because a launch under stream capture must not
// load them.
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
