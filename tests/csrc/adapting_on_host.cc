// The CUDA kernels of the test neuron, compiled with the launch shim.
#include "adapting.h"
#include "cuda/layer_cotangent.h"
#include "cuda/layer_forward.h"
#include "cuda/layer_tangent.h"

namespace spikegrad::cuda {

template struct ForwardKernels<float, Adapting>;
template struct ForwardKernels<double, Adapting>;
template struct TangentKernels<float, Adapting, Sigmoid>;
template struct TangentKernels<double, Adapting, Sigmoid>;
template struct CotangentKernels<float, Adapting, Sigmoid>;
template struct CotangentKernels<double, Adapting, Sigmoid>;

}  // namespace spikegrad::cuda
