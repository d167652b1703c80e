// One step of a strip of neurons, shared by all kernels of a layer. Compiled per instruction set (vectorise.h).
#ifndef SPIKEGRAD_CPU_LAYER_STEP_H_
#define SPIKEGRAD_CPU_LAYER_STEP_H_

#include <type_traits>

#include "cpu/kernels.h"
#include "cpu/layer_numbers.h"
#include "cpu/vectorise.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// Loops copy this struct first: behind a reference, the compiler must assume that stores change its pointers.
template <class T, class Neuron>
struct StepRows {
  const T* x;
  Arrays<T, Neuron::states> state;
  Arrays<const T, Neuron::parameters> parameters;
  int64_t count;
};

// The same rule without detach_reset, which affects only derivatives. Fewer loops are compiled this way.
template <class R>
using ForwardRule = StaticRule<R::charge_first, R::reset, false>;

template <class R, class T, class Neuron>
SPIKEGRAD_SCALAR Step<T, Neuron> step_at(const StepRows<T, Neuron>& rows, int64_t i) {
  return step(Neuron{}, load(rows.state, i), rows.x[i], load(rows.parameters, i), R{});
}

// The distance for the spike after the last step (reset_undecayed).
template <class T, class Neuron>
void last_distance_loop(const StepRows<T, Neuron>& shared, T* distance) {
  const StepRows<T, Neuron> rows = shared;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < rows.count; i++) {
    distance[i] = last_distance(Neuron{}, load(rows.state, i), load(rows.parameters, i));
  }
}

// Whether the layer writes a spike after the last step. A layer without steps has no row for it.
template <class T, class Neuron>
bool has_last_spike(const Layer<T, Neuron>& layer) {
  return layer.step_order == StepOrder::reset_undecayed && layer.shape.steps > 0;
}

// The elementwise kernels of this instruction set.
template <class T>
const ElementKernels<T>& elementwise() {
  if constexpr (std::is_same_v<T, float>) {
    return kernels.f32;
  } else {
    return kernels.f64;
  }
}

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_STEP_H_
