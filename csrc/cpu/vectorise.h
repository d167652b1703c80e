// How a loop asks to be vectorised.
#ifndef SPIKEGRAD_CPU_VECTORISE_H_
#define SPIKEGRAD_CPU_VECTORISE_H_

// The loops carry nothing from one element to the next, even where the output is an input. Without this word GCC guards
// every loop with an overlap test, and in place it would take the scalar way.
#if defined(__clang__)
#define SPIKEGRAD_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#define SPIKEGRAD_UNROLL
#else
#define SPIKEGRAD_VECTORISE _Pragma("GCC ivdep")
#define SPIKEGRAD_UNROLL _Pragma("GCC unroll 4")  // clang does so by itself
#endif

#endif  // SPIKEGRAD_CPU_VECTORISE_H_
