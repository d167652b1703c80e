#include "cuda/layer_tangent.h"
#include "neurons/lif.h"

namespace spikegrad::cuda {

#define SPIKEGRAD_INSTANTIATE_FAMILY(name, Family, T) template struct TangentKernels<T, Lif, Family>;
#define SPIKEGRAD_INSTANTIATE(T) SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_INSTANTIATE_FAMILY, T)
SPIKEGRAD_INSTANTIATE(Float16)
SPIKEGRAD_INSTANTIATE(BFloat16)
SPIKEGRAD_INSTANTIATE(float)
SPIKEGRAD_INSTANTIATE(double)

}  // namespace spikegrad::cuda
