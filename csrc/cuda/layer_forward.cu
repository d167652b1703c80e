#include "cuda/layer_forward.h"

#include "math/dtypes.h"
#include "neurons/neurons.h"

namespace spikegrad::cuda {

#define SPIKEGRAD_INSTANTIATE_DTYPE(neuron, Neuron, T) template struct ForwardKernels<T, Neuron>;
#define SPIKEGRAD_INSTANTIATE(name, T, ...) SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_INSTANTIATE_DTYPE, T)
SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_INSTANTIATE)

}  // namespace spikegrad::cuda
