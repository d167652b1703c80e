// The list of instruction sets that the kernels are compiled for, best first. To add one, add a line here, its test in
// instruction_set.cc, and its compiler flags in CMakeLists.txt. The macro calls DO(name, further arguments...) for
// each.
#ifndef SPIKEGRAD_CPU_INSTRUCTION_SETS_H_
#define SPIKEGRAD_CPU_INSTRUCTION_SETS_H_

// clang-format off
#if defined(__x86_64__)
#define SPIKEGRAD_FOR_EACH_INSTRUCTION_SET(DO, ...) \
  DO(avx512 __VA_OPT__(, ) __VA_ARGS__)             \
  DO(avx2 __VA_OPT__(, ) __VA_ARGS__)               \
  DO(baseline __VA_OPT__(, ) __VA_ARGS__)
#else
#define SPIKEGRAD_FOR_EACH_INSTRUCTION_SET(DO, ...) \
  DO(baseline __VA_OPT__(, ) __VA_ARGS__)
#endif
// clang-format on

#endif  // SPIKEGRAD_CPU_INSTRUCTION_SETS_H_
