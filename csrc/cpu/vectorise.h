// Macros for vectorised loops, and the rule for headers that are compiled once for each instruction set.
//
// Several headers in this folder are included only by translation units that the build compiles once for each
// instruction set (kernels.cc and layer_kernels.cc). These headers put their functions into an unnamed namespace
// inside the namespace SPIKEGRAD_INSTRUCTION_SET, which the build defines. Otherwise the linker would merge functions
// of the same name, and a processor without AVX-512 could run an AVX-512 copy. Such headers are marked "Compiled per
// instruction set (vectorise.h)".
#ifndef SPIKEGRAD_CPU_VECTORISE_H_
#define SPIKEGRAD_CPU_VECTORISE_H_

// Each element is independent of the others, even where the output buffer is also an input. Without this pragma GCC
// guards every loop with an overlap test, and an in-place call would run the scalar version.
#if defined(__clang__)
#define SPIKEGRAD_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#define SPIKEGRAD_UNROLL
#else
#define SPIKEGRAD_VECTORISE _Pragma("GCC ivdep")
#define SPIKEGRAD_UNROLL _Pragma("GCC unroll 4")  // clang unrolls without a pragma
#endif

#endif  // SPIKEGRAD_CPU_VECTORISE_H_
