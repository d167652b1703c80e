#include "cpu/instruction_set.h"

namespace spikegrad {
namespace {

std::vector<InstructionSet> detect() {
  std::vector<InstructionSet> found;
#if defined(__x86_64__)
  // The compiler's own test looks at the operating system's part too: registers that it does not save do not count.
  // F16C is not asked for, since clang 14 cannot: no processor has AVX2 without it.
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (has_avx2 && has_avx512) found.push_back({"avx512", &avx512::kernels, &avx512::lif_kernels});
  if (has_avx2) found.push_back({"avx2", &avx2::kernels, &avx2::lif_kernels});
#endif
  found.push_back({"baseline", &baseline::kernels, &baseline::lif_kernels});
  return found;
}

}  // namespace

const std::vector<InstructionSet>& available_instruction_sets() {
  static const std::vector<InstructionSet> found = detect();
  return found;
}

}  // namespace spikegrad
