#include "cpu/instruction_set.h"

namespace spikegrad {
namespace {

#define SPIKEGRAD_LAYER(neuron, Neuron, set) , &set::neuron##_kernels
#define SPIKEGRAD_ENTRY(set) {#set, &set::kernels SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_LAYER, set)}

std::vector<InstructionSet> detect() {
  std::vector<InstructionSet> found;
#if defined(__x86_64__)
  // __builtin_cpu_supports also checks that the operating system saves the registers. F16C is not tested, because clang
  // 14 doesn't accept it here; every processor with AVX2 has F16C.
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (has_avx2 && has_avx512) found.push_back(SPIKEGRAD_ENTRY(avx512));
  if (has_avx2) found.push_back(SPIKEGRAD_ENTRY(avx2));
#endif
  found.push_back(SPIKEGRAD_ENTRY(baseline));
  return found;
}

}  // namespace

const std::vector<InstructionSet>& available_instruction_sets() {
  static const std::vector<InstructionSet> found = detect();
  return found;
}

}  // namespace spikegrad
