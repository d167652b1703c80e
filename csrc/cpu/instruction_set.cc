#include "cpu/instruction_set.h"

namespace spikegrad {
namespace {

// Whether the processor and the operating system support an instruction set.
namespace supported {

#if defined(__x86_64__)
// __builtin_cpu_supports also checks that the operating system saves the registers. F16C is not tested, because clang
// 14 doesn't accept it here; every processor with AVX2 has F16C.
bool avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool avx512() {
  return avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

bool baseline() { return true; }

}  // namespace supported

std::vector<InstructionSet> detect() {
  std::vector<InstructionSet> found;
#define SPIKEGRAD_LAYER(neuron, Neuron, set) , &set::neuron##_kernels
#define SPIKEGRAD_ADD(set) \
  if (supported::set()) found.push_back({#set, &set::kernels SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_LAYER, set)});
  SPIKEGRAD_FOR_EACH_INSTRUCTION_SET(SPIKEGRAD_ADD)
#undef SPIKEGRAD_ADD
#undef SPIKEGRAD_LAYER
  return found;
}

}  // namespace

const std::vector<InstructionSet>& available_instruction_sets() {
  static const std::vector<InstructionSet> found = detect();
  return found;
}

}  // namespace spikegrad
