// Decodes and checks the operands, results and attributes of a layer's FFI targets, for any neuron. Both backends bind
// all arguments, all results and all attributes.
//
// The attributes of every target: axis, steps, step_order, reset, detach_reset, every (all int64).
//
//   forward    current, parameters, first state  ->  spikes, last state[, checkpoints if every > 0][, membrane]
//   tangent    current, parameters, first state, the tangents of all these, surrogate's parameters
//              {<name>_moves of a state or parameter: whether its tangent is nonzero; absent means nonzero}
//              ->  spikes_dot, last state_dot[, membrane_dot]
//   cotangent  current, parameters, checkpoints, spikes_bar, last state_bar, membrane_bar, surrogate's parameters
//              ->  current_bar, first state_bar[, parameters_bar]
#ifndef SPIKEGRAD_FFI_LAYER_OPERANDS_H_
#define SPIKEGRAD_FFI_LAYER_OPERANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "ffi/operands.h"
#include "neurons/layer_call.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad {

// Calls use(i) for i = 0 ... kCount - 1 up to the first error.
template <int kCount, class Use>
xla::ffi::Error each(Use use) {
  for (int i = 0; i < kCount; i++) {
    if (auto error = use(i); error.failure()) return error;
  }
  return xla::ffi::Error::Success();
}

// Every array has the shape of the current, except for its size along the time axis: all steps, 1 for values that are
// constant in time, or the number of checkpoints. Scalar operands have rank 0.
class LayerOperands {
 public:
  LayerOperands(xla::ffi::RemainingArgs arguments, xla::ffi::RemainingRets results, xla::ffi::Dictionary attributes)
      : arguments_(arguments), results_(results), attributes_(attributes) {}

  // Arguments and results are consumed in order: each call below takes the next one.
  template <class T, class Neuron>
  xla::ffi::Error layer(Layer<T, Neuron>& layer) {
    int64_t step_order, reset, detach_reset, steps;
    if (auto error = attribute("axis", axis_); error.failure()) return error;
    if (auto error = attribute("steps", steps); error.failure()) return error;
    if (auto error = attribute("every", layer.every); error.failure()) return error;
    if (auto error = attribute("step_order", step_order); error.failure()) return error;
    if (auto error = attribute("reset", reset); error.failure()) return error;
    if (auto error = attribute("detach_reset", detach_reset); error.failure()) return error;
    if (step_order < 0 || step_order > 2) return invalid("step_order must be 0, 1 or 2, and is ", step_order);
    if (reset < 0 || reset > 2) return invalid("reset must be 0, 1 or 2, and is ", reset);
    if (layer.every < 0) return invalid("every must not be negative, and is ", layer.every);
    layer.step_order = static_cast<StepOrder>(step_order);
    layer.reset = static_cast<Reset>(reset);
    layer.detach_reset = detach_reset != 0;

    auto current = next_argument("current");
    if (current.has_error()) return current.error();
    current_ = *current;
    const auto sizes = current->dimensions();
    if (axis_ < 0 || axis_ >= static_cast<int64_t>(sizes.size())) {
      return invalid("axis ", axis_, " is not an axis of the current, ", describe(*current));
    }
    layer.shape = {1, sizes[static_cast<size_t>(axis_)], 1};
    for (int64_t i = 0; i < static_cast<int64_t>(sizes.size()); i++) {
      if (i < axis_) layer.shape.outer *= sizes[static_cast<size_t>(i)];
      if (i > axis_) layer.shape.inner *= sizes[static_cast<size_t>(i)];
    }
    // Without this check, a call that was partitioned over time would silently give wrong results.
    if (steps >= 0 && layer.shape.steps != steps) {
      return invalid("the current ", describe(*current), " must have all ", steps, " steps of time along axis ", axis_,
                     "; was it sharded over time?");
    }
    if (layer.shape.steps == 0) return invalid("the current must have at least one step, and is ", describe(*current));
    steps_ = layer.shape.steps;
    if (layer.every > steps_) layer.every = steps_;  // still one checkpoint, and no product overflows
    layer.current = {static_cast<const T*>(current->untyped_data()), false};
    return each<Neuron::parameters>([&](int i) { return state(Neuron::parameter_names[i], layer.parameters[i]); });
  }

  // Whether the tangent of `name` is nonzero. True without the attribute.
  xla::ffi::Error moves(const std::string& name, bool& value) const {
    const std::string flag = name + "_moves";
    int64_t number = 1;
    auto error = attributes_.contains(flag) ? attribute(flag.c_str(), number) : xla::ffi::Error::Success();
    value = number != 0;
    return error;
  }

  template <class T>
  xla::ffi::Error over_time(const std::string& name, Operand<T>& operand) {
    return read(name, operand, dtype_of_time(), steps_, true);
  }

  template <class W>
  xla::ffi::Error state(const std::string& name, Operand<W>& operand) {
    return read(name, operand, dtype_of_state(), 1, true);
  }

  template <class W>
  xla::ffi::Error checkpoints(const std::string& name, int64_t every, const W*& data) {
    if (every == 0) return invalid("every must be positive where there are checkpoints");
    Operand<W> operand = {};
    auto error = read(name, operand, dtype_of_state(), checkpoints_of(steps_, every), false);
    data = operand.data;
    return error;
  }

  template <class Family>
  xla::ffi::Error surrogate(ParameterAddresses<Family>& addresses) {
    const int64_t count = static_cast<int64_t>(arguments_.size()) - argument_;
    if (count <= 0 || count % Family::parameters != 0 || count > addresses.most) {
      return invalid("there must be ", Family::parameters, " parameters for each of 1 to ", Family::most_terms,
                     " terms, and there are ", count);
    }
    for (addresses.count = 0; addresses.count < count; addresses.count++) {
      auto parameter = next_argument("parameter");
      if (parameter.has_error()) return parameter.error();
      if (parameter->element_type() != dtype_of_state() || parameter->dimensions().size() != 0) {
        return invalid("a parameter must be a scalar, ", dtype_of_state(), "[], and is ", describe(*parameter));
      }
      addresses.at[addresses.count] = parameter->untyped_data();
    }
    return xla::ffi::Error::Success();
  }

  template <class T>
  xla::ffi::Error result_over_time(const std::string& name, T*& data) {
    return write(name, data, dtype_of_time(), steps_);
  }

  template <class W>
  xla::ffi::Error result_state(const std::string& name, W*& data) {
    return write(name, data, dtype_of_state(), 1);
  }

  template <class W>
  xla::ffi::Error result_checkpoints(const std::string& name, int64_t every, W*& data) {
    return write(name, data, dtype_of_state(), checkpoints_of(steps_, every));
  }

  bool has_more_results() const { return result_ < static_cast<int64_t>(results_.size()); }

  xla::ffi::Error all_used() const {
    if (argument_ != static_cast<int64_t>(arguments_.size()) || has_more_results()) {
      return invalid("there must be ", argument_, " arguments and ", result_, " results, and there are ",
                     arguments_.size(), " and ", results_.size());
    }
    return xla::ffi::Error::Success();
  }

 private:
  xla::ffi::Error attribute(const char* name, int64_t& value) const {
    const auto found = attributes_.get<int64_t>(name);
    if (found.has_error()) return invalid("attribute ", name, ": ", found.error().message());
    value = *found;
    return xla::ffi::Error::Success();
  }

  xla::ffi::ErrorOr<xla::ffi::AnyBuffer> next_argument(const std::string& name) {
    if (argument_ >= static_cast<int64_t>(arguments_.size())) {
      return xla::ffi::Unexpected(invalid("the argument ", name, " is missing"));
    }
    return arguments_.get<xla::ffi::AnyBuffer>(static_cast<size_t>(argument_++));
  }

  xla::ffi::DataType dtype_of_time() const { return current_->element_type(); }
  xla::ffi::DataType dtype_of_state() const {
    return current_->element_type() == xla::ffi::F64 ? xla::ffi::F64 : xla::ffi::F32;
  }

  // Whether a buffer has the current's shape, except for the size `along_time` on the time axis.
  bool fits(const xla::ffi::AnyBuffer& buffer, int64_t along_time) const {
    const auto sizes = buffer.dimensions(), of_current = current_->dimensions();
    if (sizes.size() != of_current.size()) return false;
    for (size_t i = 0; i < sizes.size(); i++) {
      if (sizes[i] != (static_cast<int64_t>(i) == axis_ ? along_time : of_current[i])) return false;
    }
    return true;
  }

  template <class T>
  xla::ffi::Error read(const std::string& name, Operand<T>& operand, xla::ffi::DataType dtype, int64_t along_time,
                       bool may_be_scalar) {
    const auto buffer = next_argument(name);
    if (buffer.has_error()) return buffer.error();
    const bool is_scalar = may_be_scalar && buffer->dimensions().size() == 0;
    if (buffer->element_type() != dtype || !(is_scalar || fits(*buffer, along_time))) {
      return mismatch(name, *buffer, dtype, along_time);
    }
    operand = {static_cast<const T*>(buffer->untyped_data()), is_scalar};
    return xla::ffi::Error::Success();
  }

  template <class T>
  xla::ffi::Error write(const std::string& name, T*& data, xla::ffi::DataType dtype, int64_t along_time) {
    if (!has_more_results()) return invalid("the result ", name, " is missing");
    auto buffer = results_.get<xla::ffi::AnyBuffer>(static_cast<size_t>(result_++));
    if (buffer.has_error()) return buffer.error();
    if ((*buffer)->element_type() != dtype || !fits(**buffer, along_time)) {
      return mismatch(name, **buffer, dtype, along_time);
    }
    data = static_cast<T*>((*buffer)->untyped_data());
    return xla::ffi::Error::Success();
  }

  xla::ffi::Error mismatch(const std::string& name, const xla::ffi::AnyBuffer& buffer, xla::ffi::DataType dtype,
                           int64_t along_time) const {
    return invalid(name, " must be ", dtype, ", with the shape of the current, ", describe(*current_), ", but size ",
                   along_time, " along axis ", axis_, ", and is ", describe(buffer));
  }

  xla::ffi::RemainingArgs arguments_;
  xla::ffi::RemainingRets results_;
  xla::ffi::Dictionary attributes_;
  std::optional<xla::ffi::AnyBuffer> current_;
  int64_t argument_ = 0;
  int64_t result_ = 0;
  int64_t axis_ = 0;
  int64_t steps_ = 0;
};

// Calls use(T{}), where T is the element type of the current (the first argument).
template <class Use>
xla::ffi::Error with_current(const xla::ffi::RemainingArgs& arguments, Use use) {
  const auto current = arguments.get<xla::ffi::AnyBuffer>(0);
  if (current.has_error()) return current.error();
  return with_element_type(*current, use);
}

template <class T, class Neuron>
xla::ffi::Error decode(LayerOperands operands, LayerForward<T, Neuron>& call) {
  constexpr int states = Neuron::states;
  const auto name = [](int i) { return std::string(Neuron::state_names[i]); };
  if (auto error = operands.layer(call.layer); error.failure()) return error;
  const auto first = [&](int i) { return operands.state(name(i) + "0", call.first_state[i]); };
  if (auto error = each<states>(first); error.failure()) return error;
  if (auto error = operands.result_over_time("spikes", call.spikes); error.failure()) return error;
  const auto last = [&](int i) { return operands.result_state(name(i) + "_final", call.last_state[i]); };
  if (auto error = each<states>(last); error.failure()) return error;
  for (auto& checkpoints : call.checkpoints) checkpoints = nullptr;
  call.membrane = nullptr;
  if (call.layer.every > 0) {
    const auto kept = [&](int i) {
      return operands.result_checkpoints("checkpoints of " + name(i), call.layer.every, call.checkpoints[i]);
    };
    if (auto error = each<states>(kept); error.failure()) return error;
  }
  if (operands.has_more_results()) {
    if (auto error = operands.result_over_time("membrane", call.membrane); error.failure()) return error;
  }
  return operands.all_used();
}

template <class T, class Neuron, class Family>
xla::ffi::Error decode(LayerOperands operands, LayerTangent<T, Neuron>& call, ParameterAddresses<Family>& surrogate) {
  constexpr int states = Neuron::states, parameters = Neuron::parameters;
  const auto name = [](int i) { return std::string(Neuron::state_names[i]); };
  const auto parameter_name = [](int i) { return std::string(Neuron::parameter_names[i]); };
  if (auto error = operands.layer(call.layer); error.failure()) return error;
  const auto state_moves = [&](int i) { return operands.moves(name(i), call.moves.state[i]); };
  if (auto error = each<states>(state_moves); error.failure()) return error;
  const auto parameter_moves = [&](int i) { return operands.moves(parameter_name(i), call.moves.parameter[i]); };
  if (auto error = each<parameters>(parameter_moves); error.failure()) return error;
  const auto first = [&](int i) { return operands.state(name(i) + "0", call.first_state[i]); };
  if (auto error = each<states>(first); error.failure()) return error;
  if (auto error = operands.over_time("current_dot", call.current_dot); error.failure()) return error;
  const auto parameter_dot = [&](int i) { return operands.state(parameter_name(i) + "_dot", call.parameters_dot[i]); };
  if (auto error = each<parameters>(parameter_dot); error.failure()) return error;
  const auto first_dot = [&](int i) { return operands.state(name(i) + "0_dot", call.first_state_dot[i]); };
  if (auto error = each<states>(first_dot); error.failure()) return error;
  if (auto error = operands.surrogate(surrogate); error.failure()) return error;
  if (auto error = operands.result_over_time("spikes_dot", call.spikes_dot); error.failure()) return error;
  const auto last_dot = [&](int i) { return operands.result_state(name(i) + "_final_dot", call.last_state_dot[i]); };
  if (auto error = each<states>(last_dot); error.failure()) return error;
  call.membrane_dot = nullptr;
  if (operands.has_more_results()) {
    if (auto error = operands.result_over_time("membrane_dot", call.membrane_dot); error.failure()) return error;
  }
  return operands.all_used();
}

template <class T, class Neuron, class Family>
xla::ffi::Error decode(LayerOperands operands, LayerCotangent<T, Neuron>& call, ParameterAddresses<Family>& surrogate) {
  constexpr int states = Neuron::states, parameters = Neuron::parameters;
  const auto name = [](int i) { return std::string(Neuron::state_names[i]); };
  if (auto error = operands.layer(call.layer); error.failure()) return error;
  const auto kept = [&](int i) {
    return operands.checkpoints("checkpoints of " + name(i), call.layer.every, call.checkpoints[i]);
  };
  if (auto error = each<states>(kept); error.failure()) return error;
  if (auto error = operands.over_time("spikes_bar", call.spikes_bar); error.failure()) return error;
  const auto last_bar = [&](int i) { return operands.state(name(i) + "_final_bar", call.last_state_bar[i]); };
  if (auto error = each<states>(last_bar); error.failure()) return error;
  if (auto error = operands.over_time("membrane_bar", call.membrane_bar); error.failure()) return error;
  if (auto error = operands.surrogate(surrogate); error.failure()) return error;
  if (auto error = operands.result_over_time("current_bar", call.current_bar); error.failure()) return error;
  const auto first_bar = [&](int i) { return operands.result_state(name(i) + "0_bar", call.first_state_bar[i]); };
  if (auto error = each<states>(first_bar); error.failure()) return error;
  for (auto& bar : call.parameters_bar) bar = nullptr;
  if (operands.has_more_results()) {
    const auto parameter_bar = [&](int i) {
      return operands.result_state(std::string(Neuron::parameter_names[i]) + "_bar", call.parameters_bar[i]);
    };
    if (auto error = each<parameters>(parameter_bar); error.failure()) return error;
  }
  return operands.all_used();
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_FFI_LAYER_OPERANDS_H_
