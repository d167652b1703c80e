// The list of FFI targets. Both backends declare their handlers and fill their Python module from it. The macro calls
// DO(symbol, name) for each target. A target's version changes when its operands, results or attributes do.
#ifndef SPIKEGRAD_FFI_TARGETS_H_
#define SPIKEGRAD_FFI_TARGETS_H_

#include "math/families.h"
#include "neurons/neurons.h"

// clang-format off
// heaviside    (x) -> spikes, of x's shape and dtype.
// <family>     (x, t, parameters...) {order: int64} -> t g^(order)(x), of x's shape and dtype. t has x's shape or rank
//              0. Parameters are float32 scalars (float64 if x is): w_k, mu_k, sigma_k for each Gaussian of a mixture;
//              alpha for the sigmoid.
// <neuron>, <neuron>_tangent and <neuron>_cotangent: a layer over time. ffi/layer_operands.h describes them.
#define SPIKEGRAD_FOR_EACH_TARGET(DO)                       \
  DO(heaviside, "spikegrad.heaviside.v1")                   \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_TARGET_OF_FAMILY, DO) \
  SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_TARGETS_OF_NEURON, DO)

#define SPIKEGRAD_TARGET_OF_FAMILY(family, Family, DO) DO(family, "spikegrad." #family ".v1")

#define SPIKEGRAD_TARGETS_OF_NEURON(neuron, Neuron, DO) \
  DO(neuron, "spikegrad." #neuron ".v2")                \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_TARGETS_OF_LAYER, DO, neuron)

#define SPIKEGRAD_TARGETS_OF_LAYER(family, Family, DO, neuron)                  \
  DO(neuron##_tangent_##family, "spikegrad." #neuron "_tangent." #family ".v3") \
  DO(neuron##_cotangent_##family, "spikegrad." #neuron "_cotangent." #family ".v2")
// clang-format on

#endif  // SPIKEGRAD_FFI_TARGETS_H_
