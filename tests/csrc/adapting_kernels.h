// The CPU's kernels of the neuron for tests.
#pragma once

#include "adapting.h"
#include "cpu/layer_kernels.h"

namespace spikegrad::baseline {

extern const LayerElementKernels<float, Adapting> adapting_f32;
extern const LayerElementKernels<double, Adapting> adapting_f64;

}  // namespace spikegrad::baseline
