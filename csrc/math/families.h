// The list of families. To add one, write a header like the two below and add a line here. Kernels, FFI handlers, the
// Python module and the test module are generated from this list. It calls DO(name, Family, further arguments...) for
// each family. FFI target names contain the name, such as spikegrad.<name>.v1.
#ifndef SPIKEGRAD_MATH_FAMILIES_H_
#define SPIKEGRAD_MATH_FAMILIES_H_

#include "math/gaussian_mixture.h"
#include "math/sigmoid.h"

// clang-format off
#define SPIKEGRAD_FOR_EACH_FAMILY(DO, ...)                                 \
  DO(gaussian_mixture, GaussianMixture __VA_OPT__(, ) __VA_ARGS__)        \
  DO(sigmoid, Sigmoid __VA_OPT__(, ) __VA_ARGS__)
// clang-format on

#endif  // SPIKEGRAD_MATH_FAMILIES_H_
