#include "cuda/layer_cotangent.h"
#include "neurons/lif.h"

namespace spikegrad::cuda {

#define SPIKEGRAD_INSTANTIATE(name, Family) template struct CotangentKernels<Float16, Lif, Family>;
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_INSTANTIATE)

}  // namespace spikegrad::cuda
