// The calls of lif over NumPy arrays, for the kernels of either backend. An array over time is [outer, steps, inner];
// one of rank 0 is one number for all. What comes back is flat.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "buffer.h"
#include "held.h"
#include "neurons/lif_call.h"

template <class T>
using HeldArray = pybind11::array_t<typename Held<T>::type>;

// Elements by which every array begins behind what malloc aligns.
inline int64_t lif_offset = 0;

// An operand, and the memory that it lies in.
template <class T>
struct LifInput {
  Buffer<T> buffer;
  bool is_scalar;

  LifInput(const HeldArray<T>& array) : buffer(array.data(), array.size(), lif_offset), is_scalar(array.ndim() == 0) {}
  spikegrad::Operand<T> operand() { return {buffer.data(), is_scalar}; }
};

// A result, NaN until it is written; or null.
template <class T>
struct LifOutput {
  Buffer<T> buffer;
  bool wanted;

  LifOutput(int64_t size, bool wanted) : buffer(nullptr, wanted ? size : 0, lif_offset), wanted(wanted) {
    if (wanted) std::memset(static_cast<void*>(buffer.data()), 0xff, static_cast<size_t>(size) * sizeof(T));
  }
  T* data() { return wanted ? buffer.data() : nullptr; }
};

template <class... T>
pybind11::list arrays_of(LifOutput<T>&... outputs) {
  pybind11::list arrays;
  const auto add = [&](auto& output) {
    if (output.wanted) arrays.append(output.buffer.array());
  };
  (add(outputs), ...);
  return arrays;
}

// order, reset, detach_reset, every
using LifOptions = std::tuple<int64_t, int64_t, bool, int64_t>;

// The operands that all calls begin with.
template <class T>
struct LifInputs {
  spikegrad::LayerShape shape;
  LifInput<T> current;
  LifInput<spikegrad::Wide<T>> decay, threshold;

  LifInputs(const HeldArray<T>& current, const HeldArray<spikegrad::Wide<T>>& decay,
            const HeldArray<spikegrad::Wide<T>>& threshold)
      : shape{current.shape(0), current.shape(1), current.shape(2)},
        current(current),
        decay(decay),
        threshold(threshold) {}

  int64_t neurons() const { return shape.outer * shape.inner; }
  int64_t over_time() const { return neurons() * shape.steps; }
  spikegrad::LifLayer<T> layer(const LifOptions& options) {
    const auto [order, reset, detach_reset, every] = options;
    return {shape,
            static_cast<spikegrad::Order>(order),
            static_cast<spikegrad::Reset>(reset),
            detach_reset,
            every,
            current.operand(),
            {decay.operand(), threshold.operand()}};
  }
};

// run(call)
template <class T, class Run>
void define_lif(pybind11::module_& m, const std::string& name, Run run) {
  using W = spikegrad::Wide<T>;
  m.def(name.c_str(), [run](LifOptions options, HeldArray<T> current, HeldArray<W> decay, HeldArray<W> threshold,
                            HeldArray<W> v0, bool with_membrane) {
    LifInputs<T> inputs(current, decay, threshold);
    LifInput<W> v0_input(v0);
    const int64_t every = std::get<3>(options);
    const int64_t checkpoint_count = every ? spikegrad::checkpoints_of(inputs.shape.steps, every) : 0;
    LifOutput<T> spikes(inputs.over_time(), true), membrane(inputs.over_time(), with_membrane);
    LifOutput<W> v_final(inputs.neurons(), true), checkpoints(inputs.neurons() * checkpoint_count, every != 0);
    run(spikegrad::LifForward<T>{inputs.layer(options),
                                 {v0_input.operand()},
                                 spikes.data(),
                                 membrane.data(),
                                 {v_final.data()},
                                 {checkpoints.data()}});
    return arrays_of(spikes, v_final, checkpoints, membrane);
  });
}

// run(call, parameters)
template <class T, class Run>
void define_lif_tangent(pybind11::module_& m, const std::string& name, Run run) {
  using W = spikegrad::Wide<T>;
  m.def(name.c_str(),
        [run](LifOptions options, HeldArray<T> current, HeldArray<W> decay, HeldArray<W> threshold, HeldArray<W> v0,
              HeldArray<T> current_dot, HeldArray<W> decay_dot, HeldArray<W> threshold_dot, HeldArray<W> v0_dot,
              const std::vector<double>& parameters, bool v_moves, bool decay_moves, bool with_membrane) {
          LifInputs<T> inputs(current, decay, threshold);
          LifInput<W> v0_input(v0), decay_input(decay_dot), threshold_input(threshold_dot), v0_dot_input(v0_dot);
          LifInput<T> current_input(current_dot);
          LifOutput<T> spikes(inputs.over_time(), true), membrane(inputs.over_time(), with_membrane);
          LifOutput<W> v_final(inputs.neurons(), true);
          run(spikegrad::LifTangent<T>{inputs.layer(options),
                                       {v0_input.operand()},
                                       current_input.operand(),
                                       {decay_input.operand(), threshold_input.operand()},
                                       {v0_dot_input.operand()},
                                       {{v_moves}, {decay_moves, true}},
                                       spikes.data(),
                                       membrane.data(),
                                       {v_final.data()}},
              parameters);
          return arrays_of(spikes, v_final, membrane);
        });
}

template <class T, class Run>
void define_lif_cotangent(pybind11::module_& m, const std::string& name, Run run) {
  using W = spikegrad::Wide<T>;
  m.def(name.c_str(), [run](LifOptions options, HeldArray<T> current, HeldArray<W> decay, HeldArray<W> threshold,
                            HeldArray<W> checkpoints, HeldArray<T> spikes_bar, HeldArray<W> v_final_bar,
                            HeldArray<T> membrane_bar, const std::vector<double>& parameters, bool scales) {
    LifInputs<T> inputs(current, decay, threshold);
    LifInput<W> checkpoints_input(checkpoints), v_final_input(v_final_bar);
    LifInput<T> spikes_input(spikes_bar), membrane_input(membrane_bar);
    LifOutput<T> current_bar(inputs.over_time(), true);
    LifOutput<W> v0_bar(inputs.neurons(), true);
    LifOutput<W> decay_bar(inputs.neurons(), scales), threshold_bar(inputs.neurons(), scales);
    run(spikegrad::LifCotangent<T>{inputs.layer(options),
                                   {checkpoints_input.buffer.data()},
                                   spikes_input.operand(),
                                   membrane_input.operand(),
                                   {v_final_input.operand()},
                                   current_bar.data(),
                                   {v0_bar.data()},
                                   {decay_bar.data(), threshold_bar.data()}},
        parameters);
    return arrays_of(current_bar, v0_bar, decay_bar, threshold_bar);
  });
}
