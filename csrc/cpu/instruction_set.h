// The instruction sets the kernels are compiled for, and which of them this processor runs.
#ifndef SPIKEGRAD_CPU_INSTRUCTION_SET_H_
#define SPIKEGRAD_CPU_INSTRUCTION_SET_H_

#include <vector>

#include "cpu/kernels.h"
#include "cpu/layer_kernels.h"

namespace spikegrad {

struct InstructionSet {
  const char* name;
  const Kernels* kernels;
#define SPIKEGRAD_DECLARE(neuron, Neuron) const LayerKernels<Neuron>* neuron;
  SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
};

// What this processor runs, the best first; never empty.
const std::vector<InstructionSet>& available_instruction_sets();

inline const InstructionSet& best_instruction_set() { return available_instruction_sets().front(); }

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_INSTRUCTION_SET_H_
