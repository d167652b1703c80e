// The instruction sets that the kernels are compiled for, and the ones that this processor supports.
#ifndef SPIKEGRAD_CPU_INSTRUCTION_SET_H_
#define SPIKEGRAD_CPU_INSTRUCTION_SET_H_

#include <vector>

#include "cpu/kernels.h"
#include "cpu/layer_kernels.h"

namespace spikegrad {

struct InstructionSet {
  const char* name;
  const Kernels* kernels;
#define SPIKEGRAD_DECLARE(neuron, Neuron) \
  const LayerKernels<Neuron>* neuron;     \
  const LayerKernels<Neuron>& of(Neuron) const { return *neuron; }
  SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
};

// The instruction sets that this processor supports, best first. Never empty.
const std::vector<InstructionSet>& available_instruction_sets();

inline const InstructionSet& best_instruction_set() { return available_instruction_sets().front(); }

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_INSTRUCTION_SET_H_
