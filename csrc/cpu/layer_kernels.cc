#include "cpu/layer_kernels.h"

#include "cpu/layer_table.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {

#define SPIKEGRAD_DEFINE(name, Neuron) const LayerKernels<Neuron> name##_kernels = layer_kernels<Neuron>();
SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE

}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET
