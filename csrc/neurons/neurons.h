// The list of neurons. To add one, write a header like lif.h and add a line here. Kernels, FFI handlers and targets are
// generated from this list. The macro calls DO(name, Neuron, further arguments...) for each neuron.
#ifndef SPIKEGRAD_NEURONS_NEURONS_H_
#define SPIKEGRAD_NEURONS_NEURONS_H_

#include "neurons/lif.h"

// clang-format off
#define SPIKEGRAD_FOR_EACH_NEURON(DO, ...) \
  DO(lif, Lif __VA_OPT__(, ) __VA_ARGS__)
// clang-format on

#endif  // SPIKEGRAD_NEURONS_NEURONS_H_
