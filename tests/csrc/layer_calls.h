// The calls of a layer over NumPy arrays, for any neuron and the kernels of either backend. Arrays over time are
// [outer, steps, inner]. Rank 0 stands for a scalar operand. Results are flat.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "buffer.h"
#include "held.h"
#include "neurons/layer_call.h"

// The number of elements by which every array is offset from malloc's alignment.
inline int64_t layer_offset = 0;

// step_order, reset, detach_reset, every
using LayerOptions = std::tuple<int64_t, int64_t, bool, int64_t>;

// Consecutive arguments, and the memory that holds them.
class LayerArguments {
 public:
  explicit LayerArguments(pybind11::args arguments) : arguments_(std::move(arguments)) {}

  template <class X>
  X take() {
    return arguments_[next_++].cast<X>();
  }
  template <class T>
  spikegrad::Operand<T> operand() {
    const auto array = take<pybind11::array_t<typename Held<T>::type>>();
    const auto buffer = std::make_shared<Buffer<T>>(array.data(), array.size(), layer_offset);
    memory_.push_back(buffer);
    return {buffer->data(), array.ndim() == 0};
  }
  template <class T, int kCount>
  void operands(spikegrad::Operand<T> (&to)[kCount]) {
    for (auto& one : to) one = operand<T>();
  }
  void expect_end() const {
    if (next_ != arguments_.size()) throw std::invalid_argument("more arguments than a call has");
  }

  // The operands that all calls start with.
  template <class T, class Neuron>
  void layer(const LayerOptions& options, spikegrad::Layer<T, Neuron>& layer) {
    const auto current = arguments_[next_].cast<pybind11::array>();
    const auto [step_order, reset, detach_reset, every] = options;
    layer.shape = {current.shape(0), current.shape(1), current.shape(2)};
    layer.step_order = static_cast<spikegrad::StepOrder>(step_order);
    layer.reset = static_cast<spikegrad::Reset>(reset);
    layer.detach_reset = detach_reset;
    layer.every = every;
    layer.current = operand<T>();
    operands(layer.parameters);
  }

 private:
  pybind11::args arguments_;
  size_t next_ = 0;
  std::vector<std::shared_ptr<void>> memory_;
};

// Results in the order in which they are added, initialised to NaN.
class LayerResults {
 public:
  template <class T>
  T* add(int64_t size) {
    const auto buffer = std::make_shared<Buffer<T>>(nullptr, size, layer_offset);
    std::memset(static_cast<void*>(buffer->data()), 0xff, static_cast<size_t>(size) * sizeof(T));
    arrays_.push_back([buffer] { return buffer->array(); });
    return buffer->data();
  }
  template <class T, int kCount>
  void add(T* (&to)[kCount], int64_t size) {
    for (T*& one : to) one = add<T>(size);
  }
  pybind11::list arrays() const {
    pybind11::list list;
    for (const auto& array : arrays_) list.append(array());
    return list;
  }

 private:
  std::vector<std::function<pybind11::array()>> arrays_;
};

inline int64_t neurons_of(const spikegrad::LayerShape& shape) { return shape.outer * shape.inner; }

// Defines (options, current, parameters..., first states..., with_membrane) -> [spikes, last states..., checkpoints...,
// membrane], which calls run(call).
template <class T, class Neuron, class Run>
void define_layer(pybind11::module_& m, const std::string& name, Run run) {
  using W = spikegrad::Wide<T>;
  m.def(name.c_str(), [run](LayerOptions options, pybind11::args operands) {
    LayerArguments arguments(operands);
    LayerResults results;
    spikegrad::LayerForward<T, Neuron> call = {};
    arguments.layer(options, call.layer);
    arguments.operands(call.first_state);
    const bool with_membrane = arguments.take<bool>();
    arguments.expect_end();
    const spikegrad::LayerShape& shape = call.layer.shape;
    const int64_t neurons = neurons_of(shape), every = call.layer.every;
    call.spikes = results.add<T>(neurons * shape.steps);
    results.add<W>(call.last_state, neurons);
    if (every) results.add<W>(call.checkpoints, neurons * spikegrad::checkpoints_of(shape.steps, every));
    if (with_membrane) call.membrane = results.add<T>(neurons * shape.steps);
    run(call);
    return results.arrays();
  });
}

// Defines (options, current, parameters..., first states..., tangents of all these, surrogate parameters, moves of the
// states and parameters..., with_membrane) -> [spikes_dot, last states' tangents..., membrane_dot], which calls
// run(call, surrogate parameters).
template <class T, class Neuron, class Run>
void define_layer_tangent(pybind11::module_& m, const std::string& name, Run run) {
  using W = spikegrad::Wide<T>;
  m.def(name.c_str(), [run](LayerOptions options, pybind11::args operands) {
    LayerArguments arguments(operands);
    LayerResults results;
    spikegrad::LayerTangent<T, Neuron> call = {};
    arguments.layer(options, call.layer);
    arguments.operands(call.first_state);
    call.current_dot = arguments.operand<T>();
    arguments.operands(call.parameters_dot);
    arguments.operands(call.first_state_dot);
    const auto parameters = arguments.take<std::vector<double>>();
    for (bool& moves : call.moves.state) moves = arguments.take<bool>();
    for (bool& moves : call.moves.parameter) moves = arguments.take<bool>();
    const bool with_membrane = arguments.take<bool>();
    arguments.expect_end();
    const spikegrad::LayerShape& shape = call.layer.shape;
    const int64_t neurons = neurons_of(shape);
    call.spikes_dot = results.add<T>(neurons * shape.steps);
    results.add<W>(call.last_state_dot, neurons);
    if (with_membrane) call.membrane_dot = results.add<T>(neurons * shape.steps);
    run(call, parameters);
    return results.arrays();
  });
}

// Defines (options, current, parameters..., checkpoints..., spikes_bar, last states' cotangents..., membrane_bar,
// surrogate parameters, with_parameters) -> [current_bar, first states' cotangents..., parameters' cotangents...],
// which calls run(call, surrogate parameters).
template <class T, class Neuron, class Run>
void define_layer_cotangent(pybind11::module_& m, const std::string& name, Run run) {
  using W = spikegrad::Wide<T>;
  m.def(name.c_str(), [run](LayerOptions options, pybind11::args operands) {
    LayerArguments arguments(operands);
    LayerResults results;
    spikegrad::LayerCotangent<T, Neuron> call = {};
    arguments.layer(options, call.layer);
    for (const W*& checkpoints : call.checkpoints) checkpoints = arguments.operand<W>().data;
    call.spikes_bar = arguments.operand<T>();
    arguments.operands(call.last_state_bar);
    call.membrane_bar = arguments.operand<T>();
    const auto parameters = arguments.take<std::vector<double>>();
    const bool with_parameters = arguments.take<bool>();
    arguments.expect_end();
    const spikegrad::LayerShape& shape = call.layer.shape;
    const int64_t neurons = neurons_of(shape);
    call.current_bar = results.add<T>(neurons * shape.steps);
    results.add<W>(call.first_state_bar, neurons);
    if (with_parameters) results.add<W>(call.parameters_bar, neurons);
    run(call, parameters);
    return results.arrays();
  });
}
