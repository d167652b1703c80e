// The CPU kernels of the test neuron.
#pragma once

#include "adapting.h"
#include "cpu/layer_kernels.h"

namespace spikegrad::baseline {

extern const LayerElementKernels<float, Adapting> adapting_f32;
extern const LayerElementKernels<double, Adapting> adapting_f64;

}  // namespace spikegrad::baseline
