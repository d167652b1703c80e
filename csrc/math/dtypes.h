// The list of dtypes. To add one, add a line here. Kernels, FFI handlers and test modules are generated from this list,
// and CMake compiles the slowest CUDA source once for each name. The macro calls DO(name, T, dtype of XLA's FFI,
// further arguments...) for each dtype.
#ifndef SPIKEGRAD_MATH_DTYPES_H_
#define SPIKEGRAD_MATH_DTYPES_H_

#include "math/half.h"

// clang-format off
#define SPIKEGRAD_FOR_EACH_DTYPE(DO, ...)             \
  DO(f16, Float16, F16 __VA_OPT__(, ) __VA_ARGS__)    \
  DO(bf16, BFloat16, BF16 __VA_OPT__(, ) __VA_ARGS__) \
  DO(f32, float, F32 __VA_OPT__(, ) __VA_ARGS__)      \
  DO(f64, double, F64 __VA_OPT__(, ) __VA_ARGS__)
// clang-format on

// The types by their names in the list.
namespace spikegrad::dtype {
#define SPIKEGRAD_NAME(name, T, ...) using name = T;
SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_NAME)
#undef SPIKEGRAD_NAME
}  // namespace spikegrad::dtype

#endif  // SPIKEGRAD_MATH_DTYPES_H_
