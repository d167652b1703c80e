// Decodes and checks the operands, results and attributes of lif's FFI targets. Both backends bind all arguments, all
// results and all attributes.
#ifndef SPIKEGRAD_FFI_LIF_OPERANDS_H_
#define SPIKEGRAD_FFI_LIF_OPERANDS_H_

#include <cstdint>
#include <optional>
#include <type_traits>

#include "ffi/operands.h"
#include "neurons/lif_call.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad {

// Every array has the shape of the current, except for its size along the time axis: all steps, 1 for values that are
// constant in time, or the number of checkpoints. Scalar operands have rank 0.
class LifOperands {
 public:
  LifOperands(xla::ffi::RemainingArgs arguments, xla::ffi::RemainingRets results, xla::ffi::Dictionary attributes)
      : arguments_(arguments), results_(results), attributes_(attributes) {}

  // Arguments and results are consumed in order: each call below takes the next one.
  template <class T>
  xla::ffi::Error layer(LifLayer<T>& layer) {
    int64_t order, reset, detach_reset, steps;
    if (auto error = attribute("axis", axis_); error.failure()) return error;
    if (auto error = attribute("steps", steps); error.failure()) return error;
    if (auto error = attribute("every", layer.every); error.failure()) return error;
    if (auto error = attribute("order", order); error.failure()) return error;
    if (auto error = attribute("reset", reset); error.failure()) return error;
    if (auto error = attribute("detach_reset", detach_reset); error.failure()) return error;
    if (order < 0 || order > 2) return invalid("order must be 0, 1 or 2, and is ", order);
    if (reset < 0 || reset > 2) return invalid("reset must be 0, 1 or 2, and is ", reset);
    if (layer.every < 0) return invalid("every must not be negative, and is ", layer.every);
    layer.step_order = static_cast<StepOrder>(order);
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
    if (auto error = state("decay", layer.parameters[Lif::decay]); error.failure()) return error;
    return state("threshold", layer.parameters[Lif::threshold]);
  }

  xla::ffi::Error flag(const char* name, bool& value) {
    int64_t number;
    auto error = attribute(name, number);
    value = error.success() && number != 0;
    return error;
  }

  template <class T>
  xla::ffi::Error over_time(const char* name, Operand<T>& operand) {
    return read(name, operand, dtype_of_time(), steps_, true);
  }

  template <class W>
  xla::ffi::Error state(const char* name, Operand<W>& operand) {
    return read(name, operand, dtype_of_state(), 1, true);
  }

  template <class W>
  xla::ffi::Error checkpoints(const char* name, int64_t every, const W*& data) {
    if (every == 0) return invalid("every must be positive where there are checkpoints");
    Operand<W> operand = {};
    auto error = read(name, operand, dtype_of_state(), checkpoints_of(steps_, every), false);
    data = operand.data;
    return error;
  }

  template <class Family>
  xla::ffi::Error parameters(ParameterAddresses<Family>& addresses) {
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
  xla::ffi::Error result_over_time(const char* name, T*& data) {
    return write(name, data, dtype_of_time(), steps_);
  }

  template <class W>
  xla::ffi::Error result_state(const char* name, W*& data) {
    return write(name, data, dtype_of_state(), 1);
  }

  template <class W>
  xla::ffi::Error result_checkpoints(const char* name, int64_t every, W*& data) {
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
  xla::ffi::Error attribute(const char* name, int64_t& value) {
    const auto found = attributes_.get<int64_t>(name);
    if (found.has_error()) return invalid("attribute ", name, ": ", found.error().message());
    value = *found;
    return xla::ffi::Error::Success();
  }

  xla::ffi::ErrorOr<xla::ffi::AnyBuffer> next_argument(const char* name) {
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
  xla::ffi::Error read(const char* name, Operand<T>& operand, xla::ffi::DataType dtype, int64_t along_time,
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
  xla::ffi::Error write(const char* name, T*& data, xla::ffi::DataType dtype, int64_t along_time) {
    if (!has_more_results()) return invalid("the result ", name, " is missing");
    auto buffer = results_.get<xla::ffi::AnyBuffer>(static_cast<size_t>(result_++));
    if (buffer.has_error()) return buffer.error();
    if ((*buffer)->element_type() != dtype || !fits(**buffer, along_time)) {
      return mismatch(name, **buffer, dtype, along_time);
    }
    data = static_cast<T*>((*buffer)->untyped_data());
    return xla::ffi::Error::Success();
  }

  xla::ffi::Error mismatch(const char* name, const xla::ffi::AnyBuffer& buffer, xla::ffi::DataType dtype,
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

// (current, decay, threshold, v0) -> (spikes, v_final[, checkpoints if every > 0][, membrane])
template <class T>
xla::ffi::Error decode(LifOperands operands, LifForward<T>& call) {
  if (auto error = operands.layer(call.layer); error.failure()) return error;
  if (auto error = operands.state("v0", call.first_state[Lif::v]); error.failure()) return error;
  if (auto error = operands.result_over_time("spikes", call.spikes); error.failure()) return error;
  if (auto error = operands.result_state("v_final", call.last_state[Lif::v]); error.failure()) return error;
  call.checkpoints[Lif::v] = nullptr;
  call.membrane = nullptr;
  if (call.layer.every > 0) {
    if (auto error = operands.result_checkpoints("checkpoints", call.layer.every, call.checkpoints[Lif::v]);
        error.failure()) {
      return error;
    }
  }
  if (operands.has_more_results()) {
    if (auto error = operands.result_over_time("membrane", call.membrane); error.failure()) return error;
  }
  return operands.all_used();
}

// (current, decay, threshold, v0, the tangents of these four, parameters...) -> (spikes_dot, v_final_dot[,
// membrane_dot])
template <class T, class Family>
xla::ffi::Error decode(LifOperands operands, LifTangent<T>& call, ParameterAddresses<Family>& parameters) {
  if (auto error = operands.layer(call.layer); error.failure()) return error;
  if (auto error = operands.flag("v_moves", call.moves.state[Lif::v]); error.failure()) return error;
  if (auto error = operands.flag("decay_moves", call.moves.parameter[Lif::decay]); error.failure()) return error;
  call.moves.parameter[Lif::threshold] = true;
  if (auto error = operands.state("v0", call.first_state[Lif::v]); error.failure()) return error;
  if (auto error = operands.over_time("current_dot", call.current_dot); error.failure()) return error;
  if (auto error = operands.state("decay_dot", call.parameters_dot[Lif::decay]); error.failure()) return error;
  if (auto error = operands.state("threshold_dot", call.parameters_dot[Lif::threshold]); error.failure()) return error;
  if (auto error = operands.state("v0_dot", call.first_state_dot[Lif::v]); error.failure()) return error;
  if (auto error = operands.parameters(parameters); error.failure()) return error;
  if (auto error = operands.result_over_time("spikes_dot", call.spikes_dot); error.failure()) return error;
  if (auto error = operands.result_state("v_final_dot", call.last_state_dot[Lif::v]); error.failure()) return error;
  call.membrane_dot = nullptr;
  if (operands.has_more_results()) {
    if (auto error = operands.result_over_time("membrane_dot", call.membrane_dot); error.failure()) return error;
  }
  return operands.all_used();
}

// (current, decay, threshold, checkpoints, spikes_bar, v_final_bar, membrane_bar, parameters...) -> (current_bar,
// v0_bar[, decay_bar, threshold_bar])
template <class T, class Family>
xla::ffi::Error decode(LifOperands operands, LifCotangent<T>& call, ParameterAddresses<Family>& parameters) {
  if (auto error = operands.layer(call.layer); error.failure()) return error;
  if (auto error = operands.checkpoints("checkpoints", call.layer.every, call.checkpoints[Lif::v]); error.failure()) {
    return error;
  }
  if (auto error = operands.over_time("spikes_bar", call.spikes_bar); error.failure()) return error;
  if (auto error = operands.state("v_final_bar", call.last_state_bar[Lif::v]); error.failure()) return error;
  if (auto error = operands.over_time("membrane_bar", call.membrane_bar); error.failure()) return error;
  if (auto error = operands.parameters(parameters); error.failure()) return error;
  if (auto error = operands.result_over_time("current_bar", call.current_bar); error.failure()) return error;
  if (auto error = operands.result_state("v0_bar", call.first_state_bar[Lif::v]); error.failure()) return error;
  call.parameters_bar[Lif::decay] = call.parameters_bar[Lif::threshold] = nullptr;
  if (operands.has_more_results()) {
    if (auto error = operands.result_state("decay_bar", call.parameters_bar[Lif::decay]); error.failure()) return error;
    if (auto error = operands.result_state("threshold_bar", call.parameters_bar[Lif::threshold]); error.failure())
      return error;
  }
  return operands.all_used();
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_FFI_LIF_OPERANDS_H_
