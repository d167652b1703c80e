#include "cpu/instruction_set.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdint>

namespace spikegrad {
namespace {

// Whether the processor and the operating system support an instruction set.
namespace supported {

#if defined(__x86_64__)
// By CPUID rather than __builtin_cpu_supports: the variable that compiler-rt has for the latter can't be linked into a
// shared library.
struct Processor {
  uint32_t leaf_1_ecx = 0;
  uint32_t leaf_7_ebx = 0;
  uint32_t saved_registers = 0;  // by the operating system; the low half of XCR0
};

Processor read_processor() {
  Processor processor;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d)) processor.leaf_1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) processor.leaf_7_ebx = b;
  if (processor.leaf_1_ecx & bit_OSXSAVE) {
    // The intrinsic _xgetbv needs a compiler flag.
    __asm__("xgetbv" : "=a"(processor.saved_registers), "=d"(d) : "c"(0));
  }
  return processor;
}

constexpr bool has_all(uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; }

bool avx2() {
  constexpr uint32_t kSseAndAvx = 0x6;
  const Processor processor = read_processor();
  return has_all(processor.saved_registers, kSseAndAvx) &&
         has_all(processor.leaf_1_ecx, bit_AVX | bit_FMA | bit_F16C) && has_all(processor.leaf_7_ebx, bit_AVX2);
}

bool avx512() {
  constexpr uint32_t kMasksAndUpperHalves = 0xe0;
  const Processor processor = read_processor();
  return avx2() && has_all(processor.saved_registers, kMasksAndUpperHalves) &&
         has_all(processor.leaf_7_ebx, bit_AVX512F | bit_AVX512VL | bit_AVX512BW | bit_AVX512DQ);
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
