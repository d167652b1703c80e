// The tangent of a layer, forward over time, for any neuron. Compiled per instruction set (vectorise.h).
#ifndef SPIKEGRAD_CPU_LAYER_TANGENT_H_
#define SPIKEGRAD_CPU_LAYER_TANGENT_H_

#include "cpu/layer_step.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// The tangents of the fields of StepRows.
template <class T, class Neuron>
struct TangentRows {
  Arrays<T, Neuron::states> state;
  const T* x;
  Arrays<const T, Neuron::parameters> parameters;
  Moves<Neuron> moves;
};

template <class T, class Neuron>
SPIKEGRAD_SCALAR StepTangent<T, Neuron> at(const TangentRows<T, Neuron>& rows, int64_t i) {
  return {load(rows.state, i), rows.x[i], load(rows.parameters, i), rows.moves};
}

// First half of a step: the distance and its tangent. States and their tangents do not change.
template <class T, class Neuron, class R>
void distance_tangent_loop(const StepRows<T, Neuron>& shared, const TangentRows<T, Neuron>& shared_dot, T* distance,
                           T* distance_dot) {
  const StepRows<T, Neuron> rows = shared;
  const TangentRows<T, Neuron> dot = shared_dot;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < rows.count; i++) {
    distance[i] = step_at<R>(rows, i).distance;
    distance_dot[i] =
        distance_tangent(Neuron{}, load(rows.state, i), rows.x[i], load(rows.parameters, i), at(dot, i), R{});
  }
}

// Second half of a step: replaces the states and their tangents by the ones after the step.
template <class T, class Neuron, class R>
void state_tangent_loop(const StepRows<T, Neuron>& shared, const TangentRows<T, Neuron>& shared_dot, const T* spike_dot,
                        T* membrane_dot) {
  const StepRows<T, Neuron> rows = shared;
  const TangentRows<T, Neuron> dot = shared_dot;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < rows.count; i++) {
    const Step<T, Neuron> out = step_at<R>(rows, i);
    const StateTangent<T, Neuron> next = state_tangent(Neuron{}, load(rows.state, i), rows.x[i],
                                                       load(rows.parameters, i), out, at(dot, i), spike_dot[i], R{});
    membrane_dot[i] = next.membrane;
    store(next.state, dot.state, i);
    store(out.state, rows.state, i);
  }
}

template <class T, class Neuron>
void last_distance_tangent_loop(const TangentRows<T, Neuron>& shared_dot, T* distance_dot, int64_t count) {
  const TangentRows<T, Neuron> dot = shared_dot;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) {
    distance_dot[i] = last_distance_tangent(Neuron{}, load(dot.state, i), load(dot.parameters, i));
  }
}

template <class T, class Neuron, class Family>
void tangent(const LayerTangent<T, Neuron>& call, int64_t begin, int64_t end, const Family& g) {
  using W = Wide<T>;
  const Layer<T, Neuron>& layer = call.layer;
  const LayerShape& shape = layer.shape;
  const auto first_half =
      with_rule(layer, [](auto rule) { return &distance_tangent_loop<W, Neuron, ForwardRule<decltype(rule)>>; });
  const auto second_half = with_rule(layer, [](auto rule) { return &state_tangent_loop<W, Neuron, decltype(rule)>; });
  const auto gradient = elementwise<W>().of(g).array_t;
  OverTime<T> current(layer.current, shape), current_dot(call.current_dot, shape);
  const Constants<W, Neuron::parameters> parameters(layer.parameters), parameters_dot(call.parameters_dot);
  const Rows<T> spikes_dot = over_time(call.spikes_dot, shape), membranes_dot = over_time(call.membrane_dot, shape);
  for_each_block(shape, begin, end, kBlock, [&](const Block& block) {
    BlockNumbers<W, Neuron::states> state, state_dot;
    alignas(kCacheLine) W distance[kStrip], distance_dot[kStrip], spike_buffer[kStrip], membrane_buffer[kStrip];
    state.read(call.first_state, block);
    state_dot.read(call.first_state_dot, block);
    for (int64_t t = 0; t < shape.steps; t++) {
      const int64_t to = spike_row(layer.step_order, t);
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        W* spike_dot = to < 0 ? spike_buffer : row_to_write(spikes_dot, strip, to, spike_buffer);
        W* membrane_dot = call.membrane_dot ? row_to_write(membranes_dot, strip, t, membrane_buffer) : membrane_buffer;
        const StepRows<W, Neuron> rows = {current.at(strip, t), state.at(i), parameters.at(strip), strip.count};
        const TangentRows<W, Neuron> dot = {state_dot.at(i), current_dot.at(strip, t), parameters_dot.at(strip),
                                            call.moves};
        first_half(rows, dot, distance, distance_dot);
        gradient(distance, distance_dot, spike_dot, strip.count, g);
        second_half(rows, dot, spike_dot, membrane_dot);
        if (to >= 0) written(spikes_dot, strip, to, spike_dot, spike_buffer);
        if (call.membrane_dot) written(membranes_dot, strip, t, membrane_dot, membrane_buffer);
      });
    }
    if (has_last_spike(layer)) {
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        last_distance_loop<W, Neuron>({nullptr, state.at(i), parameters.at(strip), strip.count}, distance);
        last_distance_tangent_loop<W, Neuron>({state_dot.at(i), nullptr, parameters_dot.at(strip), call.moves},
                                              distance_dot, strip.count);
        gradient(distance, distance_dot, spike_buffer, strip.count, g);
        copy_row_out(spikes_dot, strip, shape.steps - 1, spike_buffer);
      });
    }
    state_dot.write(call.last_state_dot, block);
  });
}

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_TANGENT_H_
