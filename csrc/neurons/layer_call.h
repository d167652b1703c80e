// The calls of a layer, its tangent and its pullback: shapes, rules and addresses, as the kernels of both backends take
// them.
//
// Arrays have the shape [outer, time, inner]; the layer has outer x inner neurons. Arrays over time have the element
// type T, all other arrays Wide<T>. Buffers are aligned to their element type only. No buffer is both read and written.
#ifndef SPIKEGRAD_NEURONS_LAYER_CALL_H_
#define SPIKEGRAD_NEURONS_LAYER_CALL_H_

#include <cstdint>

#include "math/half.h"
#include "neurons/neuron.h"

namespace spikegrad {

struct LayerShape {
  int64_t outer;
  int64_t steps;
  int64_t inner;
};

// An operand that may be a scalar, broadcast over neurons and steps.
template <class T>
struct Operand {
  const T* data;
  bool is_scalar;
};

// The fields that all three calls share.
template <class T, class Neuron>
struct Layer {
  LayerShape shape;
  StepOrder step_order;
  Reset reset;
  bool detach_reset;
  int64_t every;  // steps from one checkpoint to the next; 0 for none
  Operand<T> current;
  Operand<Wide<T>> parameters[Neuron::parameters];
};

template <class T, class Neuron>
struct LayerForward {
  Layer<T, Neuron> layer;
  Operand<Wide<T>> first_state[Neuron::states];
  T* spikes;
  T* membrane;  // or null
  Wide<T>* last_state[Neuron::states];
  Wide<T>* checkpoints[Neuron::states];  // states before the steps 0, every, 2 every...; or null
};

template <class T, class Neuron>
struct LayerTangent {
  Layer<T, Neuron> layer;
  Operand<Wide<T>> first_state[Neuron::states];
  Operand<T> current_dot;
  Operand<Wide<T>> parameters_dot[Neuron::parameters];
  Operand<Wide<T>> first_state_dot[Neuron::states];
  Moves<Neuron> moves;
  T* spikes_dot;
  T* membrane_dot;  // or null
  Wide<T>* last_state_dot[Neuron::states];
};

template <class T, class Neuron>
struct LayerCotangent {
  Layer<T, Neuron> layer;
  const Wide<T>* checkpoints[Neuron::states];
  Operand<T> spikes_bar, membrane_bar;
  Operand<Wide<T>> last_state_bar[Neuron::states];
  T* current_bar;
  Wide<T>* first_state_bar[Neuron::states];
  Wide<T>* parameters_bar[Neuron::parameters];  // all null if not requested
};

// Calls use(rule) with the layer's rule as a compile-time constant. Without a reset, detach_reset has no effect.
template <bool kChargeFirst, class Use>
static inline auto with_reset(Reset reset, bool detach_reset, Use use) {
  switch (reset) {
    case Reset::subtract:
      return detach_reset ? use(StaticRule<kChargeFirst, Reset::subtract, true>{})
                          : use(StaticRule<kChargeFirst, Reset::subtract, false>{});
    case Reset::zero:
      return detach_reset ? use(StaticRule<kChargeFirst, Reset::zero, true>{})
                          : use(StaticRule<kChargeFirst, Reset::zero, false>{});
    default:
      return use(StaticRule<kChargeFirst, Reset::none, false>{});
  }
}

template <class T, class Neuron, class Use>
static inline auto with_rule(const Layer<T, Neuron>& layer, Use use) {
  return layer.step_order == StepOrder::charge_fire_reset ? with_reset<true>(layer.reset, layer.detach_reset, use)
                                                          : with_reset<false>(layer.reset, layer.detach_reset, use);
}

// The number of checkpoints of a call, including the one before step 0.
SPIKEGRAD_SCALAR int64_t checkpoints_of(int64_t steps, int64_t every) { return (steps + every - 1) / every; }

// The row where step t writes its spike or reads the spike's cotangent. With reset_undecayed the spike belongs to the
// previous row; a negative row means that there is none.
SPIKEGRAD_SCALAR int64_t spike_row(StepOrder order, int64_t t) {
  return order == StepOrder::reset_undecayed ? t - 1 : t;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_NEURONS_LAYER_CALL_H_
