// Operand checks that all backends share. The FFI passes buffers unchecked (typed_data<T>() checks nothing in a release
// build). So dtypes, ranks and sizes are checked here, before any buffer is read.
#ifndef SPIKEGRAD_FFI_OPERANDS_H_
#define SPIKEGRAD_FFI_OPERANDS_H_

#include <cstdint>
#include <sstream>
#include <string>

#include "math/dtypes.h"
#include "math/family.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad {

inline std::string describe(const xla::ffi::AnyBuffer& buffer) {
  std::ostringstream text;
  text << buffer.element_type() << '[';
  const char* separator = "";
  for (int64_t size : buffer.dimensions()) {
    text << separator << size;
    separator = ",";
  }
  text << ']';
  return text.str();
}

inline bool same_shape(const xla::ffi::AnyBuffer& a, const xla::ffi::AnyBuffer& b) {
  const auto x = a.dimensions(), y = b.dimensions();
  if (x.size() != y.size()) return false;
  for (size_t i = 0; i < x.size(); i++) {
    if (x[i] != y[i]) return false;
  }
  return true;
}

template <class... Parts>
xla::ffi::Error invalid(const Parts&... parts) {
  std::ostringstream message;
  message << "spikegrad: ";
  (message << ... << parts);
  return xla::ffi::Error::InvalidArgument(message.str());
}

// Calls use(T{}), where T is the element type of x.
template <class Use>
xla::ffi::Error with_element_type(const xla::ffi::AnyBuffer& x, Use use) {
  switch (x.element_type()) {
#define SPIKEGRAD_CASE(name, T, dtype_of_ffi) \
  case xla::ffi::dtype_of_ffi:                \
    return use(T{});
    SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_CASE)
#undef SPIKEGRAD_CASE
#define SPIKEGRAD_NAME(name, ...) " " #name
    default:
      return invalid("x must have one of the dtypes", SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_NAME), ", and is ",
                     describe(x));
#undef SPIKEGRAD_NAME
  }
}

inline xla::ffi::Error check_result(const xla::ffi::AnyBuffer& x, const xla::ffi::AnyBuffer& out) {
  if (out.element_type() != x.element_type() || !same_shape(out, x)) {
    return invalid("the result must have the shape and dtype of x, ", describe(x), ", and is ", describe(out));
  }
  return xla::ffi::Error::Success();
}

// t must have x's dtype, and x's shape or rank 0.
inline xla::ffi::Error check_cotangent(const xla::ffi::AnyBuffer& x, const xla::ffi::AnyBuffer& t) {
  if (t.element_type() != x.element_type() || !(t.dimensions().size() == 0 || same_shape(t, x))) {
    return invalid("t must have the dtype of x, and its shape or rank 0; x is ", describe(x), ", t is ", describe(t));
  }
  return xla::ffi::Error::Success();
}

inline xla::ffi::Error check_order(int64_t order) {
  if (order < 0 || order > kHighestOrder) {
    return invalid("order must be from 0 to ", kHighestOrder, ", and is ", order);
  }
  return xla::ffi::Error::Success();
}

template <class Family>
xla::ffi::Error find_parameters(const xla::ffi::AnyBuffer& x, const xla::ffi::RemainingArgs& operands,
                                ParameterAddresses<Family>& parameters) {
  const int64_t count = static_cast<int64_t>(operands.size());
  if (count == 0 || count % Family::parameters != 0 || count > parameters.most) {
    return invalid("there must be ", Family::parameters, " parameters for each of 1 to ", Family::most_terms,
                   " terms, and there are ", count);
  }
  const xla::ffi::DataType expected = x.element_type() == xla::ffi::F64 ? xla::ffi::F64 : xla::ffi::F32;
  for (int64_t i = 0; i < count; i++) {
    const xla::ffi::ErrorOr<xla::ffi::AnyBuffer> parameter = operands.get<xla::ffi::AnyBuffer>(static_cast<size_t>(i));
    if (parameter.has_error()) return parameter.error();
    if (parameter->element_type() != expected || parameter->dimensions().size() != 0) {
      return invalid("parameter ", i, " must be a scalar, ", expected, "[] for x of ", describe(x), ", and is ",
                     describe(*parameter));
    }
    parameters.at[i] = parameter->untyped_data();
  }
  parameters.count = count;
  return xla::ffi::Error::Success();
}

// Checks all operands of a derivative and collects the addresses of its parameters.
template <class Family>
xla::ffi::Error check_derivative(const xla::ffi::AnyBuffer& x, const xla::ffi::AnyBuffer& t,
                                 const xla::ffi::RemainingArgs& parameters, const xla::ffi::AnyBuffer& out,
                                 int64_t order, ParameterAddresses<Family>& addresses) {
  if (xla::ffi::Error error = check_result(x, out); error.failure()) return error;
  if (xla::ffi::Error error = check_cotangent(x, t); error.failure()) return error;
  if (xla::ffi::Error error = check_order(order); error.failure()) return error;
  return find_parameters(x, parameters, addresses);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_FFI_OPERANDS_H_
