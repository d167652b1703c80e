// A call of a layer, its tangent or its pullback, as the kernels of either backend take it: where its arrays lie.
//
// The arrays are [outer, time, inner], and outer x inner are the neurons. Every array over time has the element type T,
// all others Wide<T>. Buffers are aligned to their element and no more, and none is both read and written.
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

// An operand that may be one number for all neurons and steps.
template <class T>
struct Operand {
  const T* data;
  bool is_scalar;
};

// What all three have in common.
template <class T, class Neuron>
struct Layer {
  LayerShape shape;
  Order order;
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
  Wide<T>* checkpoints[Neuron::states];  // the state before step 0, every, 2 every...; or null
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
  Wide<T>* parameters_bar[Neuron::parameters];  // or null, all of them
};

// use(rule) with the layer's rule, known to the compiler. Without a reset nothing is there to detach.
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
  return layer.order == Order::charge_fire_reset ? with_reset<true>(layer.reset, layer.detach_reset, use)
                                                 : with_reset<false>(layer.reset, layer.detach_reset, use);
}

// Those of a call, the one before step 0 included.
SPIKEGRAD_SCALAR int64_t checkpoints_of(int64_t steps, int64_t every) { return (steps + every - 1) / every; }

// Where the spike of a step is written, or its cotangent read: one row earlier where the step before put it out. Below
// 0 it is nowhere.
SPIKEGRAD_SCALAR int64_t spike_row(Order order, int64_t t) { return order == Order::reset_undecayed ? t - 1 : t; }

}  // namespace spikegrad

#endif  // SPIKEGRAD_NEURONS_LAYER_CALL_H_
