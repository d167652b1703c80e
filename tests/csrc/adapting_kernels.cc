#include "adapting_kernels.h"

#include "cpu/layer_table.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {

const LayerElementKernels<float, Adapting> adapting_f32 = layer_element_kernels<float, Adapting>();
const LayerElementKernels<double, Adapting> adapting_f64 = layer_element_kernels<double, Adapting>();

}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET
