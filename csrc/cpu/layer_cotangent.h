// The pullback of a layer, for any neuron. It goes through the segments between checkpoints from last to first: each
// segment is recomputed forward and then pulled back. Compiled per instruction set (vectorise.h).
#ifndef SPIKEGRAD_CPU_LAYER_COTANGENT_H_
#define SPIKEGRAD_CPU_LAYER_COTANGENT_H_

#include <cstdlib>

#include "cpu/layer_pull_back.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// Upper limit for the kept bytes of a segment; if a block would need more, it gets fewer neurons. Measured for LIF: a
// limit that fits into the second-level cache was slower (0.8 times as fast with 256 KiB, 0.7 times with 128 KiB).
constexpr int64_t kSegmentBytes = 1 << 20;
constexpr int64_t kSmallestBlock = 64;  // block sizes are multiples of it, so that rows start at a cache line

// The values that the steps of a segment keep for their pullbacks. Memory is freed by release(): a destructor would
// emit exception tables and a weak symbol, which code compiled per instruction set must not have.
template <class T, class Neuron>
class Segment {
 public:
  Segment(int64_t stored, int64_t steps) : stored_(stored) {
    const int64_t widest = kSegmentBytes / (stored * steps * static_cast<int64_t>(sizeof(T)));
    neurons_ = widest < kSmallestBlock ? kSmallestBlock
               : widest > kBlock       ? kBlock
                                       : widest / kSmallestBlock * kSmallestBlock;
    stride_ = steps * neurons_;
    memory_ = static_cast<T*>(aligned_alloc(kCacheLine, static_cast<size_t>(stored * stride_) * sizeof(T)));
  }
  void release() { free(memory_); }

  bool has_memory() const { return memory_ != nullptr; }
  int64_t neurons() const { return neurons_; }
  // The arrays of step t of the segment, for the strip that starts at position i of the block. Numbers that are not
  // stored have null pointers.
  template <class Element>
  Arrays<Element, Neuron::kept> at(int64_t t, int64_t i) const {
    Arrays<Element, Neuron::kept> arrays;
    for (int k = 0; k < Neuron::kept; k++) {
      arrays.at[k] = k < stored_ ? memory_ + k * stride_ + t * neurons_ + i : nullptr;
    }
    return arrays;
  }

 private:
  int64_t stored_;
  int64_t neurons_;
  int64_t stride_;
  T* memory_;
};

template <class T, class Neuron, class Family>
bool cotangent(const LayerCotangent<T, Neuron>& call, int64_t begin, int64_t end, const Family& g) {
  using W = Wide<T>;
  const Layer<T, Neuron>& layer = call.layer;
  const LayerShape& shape = layer.shape;
  const bool with_parameters = call.parameters_bar[0] != nullptr;
  const auto keep_step = with_rule(layer, [&](auto rule) {
    using R = ForwardRule<decltype(rule)>;
    return with_parameters ? &keep_loop<W, Neuron, R, true> : &keep_loop<W, Neuron, R, false>;
  });
  const auto back = with_rule(layer, [](auto rule) { return &pull_back<W, Neuron, decltype(rule), Family>; });
  const auto gradient = elementwise<W>().of(g).array_t;
  const int64_t every = layer.every, checkpoint_count = checkpoints_of(shape.steps, every);
  const Rows<T> current_bar = over_time(call.current_bar, shape);
  OverTime<T> current(layer.current, shape), spikes_bar(call.spikes_bar, shape);
  OverTime<T> membrane_bar(call.membrane_bar, shape);
  const Constants<W, Neuron::parameters> parameters(layer.parameters);

  Segment<W, Neuron> segment(
      with_rule(layer, [&](auto rule) { return stored_numbers<Neuron, decltype(rule)>(with_parameters); }), every);
  if (!segment.has_memory()) return false;

  for_each_block(shape, begin, end, segment.neurons(), [&](const Block& block) {
    BlockNumbers<W, Neuron::states> state, state_bar;
    BlockNumbers<W, Neuron::parameters> parameters_bar;
    alignas(kCacheLine) W distance[kStrip], spike_bar[kStrip], zero[kStrip], x_bar_buffer[kStrip];
    state_bar.read(call.last_state_bar, block);
    parameters_bar.clear(block);
    fill(zero, kStrip, W(0));
    for (int64_t c = checkpoint_count - 1; c >= 0; c--) {
      const int64_t first = c * every, past = first + every < shape.steps ? first + every : shape.steps;
      state.read_row(call.checkpoints, checkpoint_count, shape.inner, block, c);
      for (int64_t t = first; t < past; t++) {
        for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
          keep_step({current.at(strip, t), state.at(i), parameters.at(strip), strip.count},
                    segment.template at<W>(t - first, i));
        });
      }
      if (past == shape.steps && has_last_spike(layer)) {
        for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
          last_distance_loop<W, Neuron>({nullptr, state.at(i), parameters.at(strip), strip.count}, distance);
          gradient(distance, spikes_bar.at(strip, shape.steps - 1), spike_bar, strip.count, g);
          pull_back_last_spike<W, Neuron>(spike_bar, state_bar.at(i), parameters_bar.at(i), strip.count);
        });
      }
      for (int64_t t = past - 1; t >= first; t--) {
        const int64_t from = spike_row(layer.step_order, t);
        for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
          W* x_bar = row_to_write(current_bar, strip, t, x_bar_buffer);
          // Prefetch the next strip. For the current, prefetch the same strip of the previous segment, which is the
          // next to run.
          const int64_t place = i + kStrip, next = t - place / block.count, shift = place % block.count - i;
          const Prefetch next_rows = {
              {prefetch_address(spikes_bar.rows, strip, next, shift), prefetch_address(current_bar, strip, next, shift),
               prefetch_address(current.rows, strip, t - every, 0)},
              sizeof(T)};
          back({segment.template at<const W>(t - first, i), parameters.at(strip), state_bar.at(i),
                membrane_bar.at(strip, t), from < 0 ? zero : spikes_bar.at(strip, from), x_bar, with_parameters,
                parameters_bar.at(i), strip.count, next_rows},
               g);
          written(current_bar, strip, t, x_bar, x_bar_buffer);
        });
      }
    }
    state_bar.write(call.first_state_bar, block);
    if (with_parameters) parameters_bar.write(call.parameters_bar, block);
  });
  segment.release();
  return true;
}

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_COTANGENT_H_
