// The forward pass of a layer over time, for any neuron. Compiled per instruction set (vectorise.h).
#ifndef SPIKEGRAD_CPU_LAYER_FORWARD_H_
#define SPIKEGRAD_CPU_LAYER_FORWARD_H_

#include "cpu/layer_step.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// Replaces the states by the states after the step. `membrane` may be null.
template <class T, class Neuron, class R>
void forward_loop(const StepRows<T, Neuron>& shared, T* spike, T* membrane) {
  const StepRows<T, Neuron> rows = shared;
  if (membrane) {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < rows.count; i++) {
      const Step<T, Neuron> out = step_at<R>(rows, i);
      spike[i] = out.spike;
      membrane[i] = out.membrane;
      store(out.state, rows.state, i);
    }
  } else {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < rows.count; i++) {
      const Step<T, Neuron> out = step_at<R>(rows, i);
      spike[i] = out.spike;
      store(out.state, rows.state, i);
    }
  }
}

template <class T, class Neuron>
void forward(const LayerForward<T, Neuron>& call, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const Layer<T, Neuron>& layer = call.layer;
  const LayerShape& shape = layer.shape;
  const auto advance =
      with_rule(layer, [](auto rule) { return &forward_loop<W, Neuron, ForwardRule<decltype(rule)>>; });
  OverTime<T> current(layer.current, shape);
  const Constants<W, Neuron::parameters> parameters(layer.parameters);
  const Rows<T> spikes = over_time(call.spikes, shape), membranes = over_time(call.membrane, shape);
  const int64_t checkpoint_count = layer.every ? checkpoints_of(shape.steps, layer.every) : 0;
  for_each_block(shape, begin, end, kBlock, [&](const Block& block) {
    BlockNumbers<W, Neuron::states> state;
    alignas(kCacheLine) W spike_buffer[kStrip], membrane_buffer[kStrip];
    state.read(call.first_state, block);
    for (int64_t t = 0; t < shape.steps; t++) {
      if (layer.every && t % layer.every == 0) {
        state.write_row(call.checkpoints, checkpoint_count, shape.inner, block, t / layer.every);
      }
      const int64_t to = spike_row(layer.step_order, t);
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        W* spike = to < 0 ? spike_buffer : row_to_write(spikes, strip, to, spike_buffer);
        W* membrane = call.membrane ? row_to_write(membranes, strip, t, membrane_buffer) : nullptr;
        advance({current.at(strip, t), state.at(i), parameters.at(strip), strip.count}, spike, membrane);
        if (to >= 0) written(spikes, strip, to, spike, spike_buffer);
        if (membrane) written(membranes, strip, t, membrane, membrane_buffer);
      });
    }
    if (has_last_spike(layer)) {
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        last_distance_loop<W, Neuron>({nullptr, state.at(i), parameters.at(strip), strip.count}, spike_buffer);
        elementwise<W>().heaviside(spike_buffer, spike_buffer, strip.count);
        copy_row_out(spikes, strip, shape.steps - 1, spike_buffer);
      });
    }
    state.write(call.last_state, block);
  });
}

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_FORWARD_H_
