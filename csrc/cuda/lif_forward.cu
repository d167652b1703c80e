#include "cuda/layer_forward.h"
#include "neurons/lif.h"

namespace spikegrad::cuda {

template struct ForwardKernels<Float16, Lif>;
template struct ForwardKernels<BFloat16, Lif>;
template struct ForwardKernels<float, Lif>;
template struct ForwardKernels<double, Lif>;

}  // namespace spikegrad::cuda
