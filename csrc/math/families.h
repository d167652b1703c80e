// The families: a new one is a header like the two below and a line here. Kernels, FFI handlers, the Python module and
// the tests' module follow from this list, which calls DO(name, Family) and what else it is given for each of them; the
// name is part of its FFI targets' names, such as spikegrad.<name>.v1.
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
