#include "cuda/layer_tangent.h"

#include "math/dtypes.h"
#include "math/families.h"
#include "neurons/neurons.h"

namespace spikegrad::cuda {

#define SPIKEGRAD_INSTANTIATE_FAMILY(family, Family, T, Neuron) template struct TangentKernels<T, Neuron, Family>;
#define SPIKEGRAD_INSTANTIATE_NEURON(neuron, Neuron, T) \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_INSTANTIATE_FAMILY, T, Neuron)
#define SPIKEGRAD_INSTANTIATE(name, T, ...) SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_INSTANTIATE_NEURON, T)
SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_INSTANTIATE)

}  // namespace spikegrad::cuda
