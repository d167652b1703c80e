#include "cpu/layer_table.h"
#include "neurons/lif.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {

const LayerKernels<Lif> lif_kernels = layer_kernels<Lif>();

}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET
