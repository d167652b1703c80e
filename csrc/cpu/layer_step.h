// A step of the neurons of a strip, as all kernels of a layer take it. For the sources that are compiled once an
// instruction set: the names are those of whoever includes this.
#ifndef SPIKEGRAD_CPU_LAYER_STEP_H_
#define SPIKEGRAD_CPU_LAYER_STEP_H_

#include <type_traits>

#include "cpu/kernels.h"
#include "cpu/layer_numbers.h"
#include "cpu/vectorise.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// Loops copy it first: behind a reference its pointers could be written through a result for all the compiler knows.
template <class T, class Neuron>
struct StepRows {
  const T* x;
  Arrays<T, Neuron::states> state;
  Arrays<const T, Neuron::parameters> parameters;
  int64_t count;
};

// A rule without detachment, which changes nothing but derivatives: fewer loops to compile.
template <class R>
using ForwardRule = StaticRule<R::charge_first, R::reset, false>;

template <class R, class T, class Neuron>
SPIKEGRAD_SCALAR Step<T, Neuron> step_at(const StepRows<T, Neuron>& rows, int64_t i) {
  return step(Neuron{}, load(rows.state, i), rows.x[i], load(rows.parameters, i), R{});
}

// For the spike after the last step.
template <class T, class Neuron>
void last_distance_loop(const StepRows<T, Neuron>& shared, T* distance) {
  const StepRows<T, Neuron> rows = shared;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < rows.count; i++) {
    distance[i] = last_distance(Neuron{}, load(rows.state, i), load(rows.parameters, i));
  }
}

// Whether a layer puts out that spike. A layer without steps has no row for it.
template <class T, class Neuron>
bool has_last_spike(const Layer<T, Neuron>& layer) {
  return layer.order == Order::reset_undecayed && layer.shape.steps > 0;
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
