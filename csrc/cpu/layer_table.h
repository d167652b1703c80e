// The table of a neuron's kernels. Compiled per instruction set (vectorise.h). Only the table may have external
// linkage, which the build checks.
#ifndef SPIKEGRAD_CPU_LAYER_TABLE_H_
#define SPIKEGRAD_CPU_LAYER_TABLE_H_

#include "cpu/layer_cotangent.h"
#include "cpu/layer_forward.h"
#include "cpu/layer_kernels.h"
#include "cpu/layer_tangent.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

template <class T, class Neuron>
constexpr LayerElementKernels<T, Neuron> layer_element_kernels() {
#define SPIKEGRAD_ENTRY(name, Family) {&tangent<T, Neuron, Family>, &cotangent<T, Neuron, Family>},
  return {&forward<T, Neuron>, SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_ENTRY)};
#undef SPIKEGRAD_ENTRY
}

template <class Neuron>
constexpr LayerKernels<Neuron> layer_kernels() {
#define SPIKEGRAD_ENTRY(name, T, ...) layer_element_kernels<T, Neuron>(),
  return {SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_ENTRY)};
#undef SPIKEGRAD_ENTRY
}

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_TABLE_H_
