// The neurons: a new one is a header like lif.h and a line here. The list calls DO(name, Neuron) and what else it is
// given for each of them. The CPU's table of a neuron is <name>_kernels, defined in cpu/<name>_kernels.cc.
#ifndef SPIKEGRAD_NEURONS_NEURONS_H_
#define SPIKEGRAD_NEURONS_NEURONS_H_

#include "neurons/lif.h"

// clang-format off
#define SPIKEGRAD_FOR_EACH_NEURON(DO, ...) \
  DO(lif, Lif __VA_OPT__(, ) __VA_ARGS__)
// clang-format on

#endif  // SPIKEGRAD_NEURONS_NEURONS_H_
