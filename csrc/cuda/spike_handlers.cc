#include <cstdint>

#include "cuda/checked.h"
#include "cuda/handlers.h"
#include "cuda/kernels.h"
#include "ffi/operands.h"
#include "ffi/profiler_range.h"

namespace ffi = xla::ffi;

namespace spikegrad::cuda {
namespace {

ffi::Error initialize_heaviside(ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> out) {
  if (ffi::Error error = check_result(x, *out); error.failure()) return error;
  return with_element_type(
      x, [](auto element) { return checked("loading the spike's kernel", Heaviside<decltype(element)>::load()); });
}

ffi::Error heaviside(cudaStream_t stream, ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> out) {
  const ProfilerRange range("heaviside");
  if (ffi::Error error = check_result(x, *out); error.failure()) return error;
  return with_element_type(x, [&](auto element) {
    using T = decltype(element);
    return checked("launching the spike's kernel",
                   Heaviside<T>::launch(static_cast<const T*>(x.untyped_data()), static_cast<T*>(out->untyped_data()),
                                        static_cast<int64_t>(x.element_count()), stream));
  });
}

// Operands are checked here too: under stream capture, the user might see a failed capture instead of the error.
template <class Family>
ffi::Error initialize_derivative(ffi::AnyBuffer x, ffi::AnyBuffer t, ffi::RemainingArgs parameters,
                                 ffi::Result<ffi::AnyBuffer> out, int64_t order) {
  ParameterAddresses<Family> addresses = {};
  if (ffi::Error error = check_derivative(x, t, parameters, *out, order, addresses); error.failure()) return error;
  return with_element_type(x, [&](auto element) {
    return checked("loading a derivative's kernel",
                   Derivative<decltype(element), Family>::load(addresses.count, order));
  });
}

template <class Family>
ffi::Error derivative(cudaStream_t stream, ffi::AnyBuffer x, ffi::AnyBuffer t, ffi::RemainingArgs parameters,
                      ffi::Result<ffi::AnyBuffer> out, int64_t order) {
  const ProfilerRange range(kFamilyName<Family>);
  ParameterAddresses<Family> addresses = {};
  if (ffi::Error error = check_derivative(x, t, parameters, *out, order, addresses); error.failure()) return error;
  return with_element_type(x, [&](auto element) {
    using T = decltype(element);
    return checked(
        "launching a derivative's kernel",
        Derivative<T, Family>::launch(static_cast<const T*>(x.untyped_data()), static_cast<const T*>(t.untyped_data()),
                                      t.dimensions().size() == 0, static_cast<T*>(out->untyped_data()),
                                      static_cast<int64_t>(x.element_count()), addresses, order, stream));
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_initialize_heaviside, initialize_heaviside,
                              ffi::Ffi::Bind<ffi::ExecutionStage::kInitialize>()
                                  .Arg<ffi::AnyBuffer>()    // x
                                  .Ret<ffi::AnyBuffer>());  // spikes

XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_heaviside, heaviside,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::PlatformStream<cudaStream_t>>()
                                  .Arg<ffi::AnyBuffer>()   // x
                                  .Ret<ffi::AnyBuffer>(),  // spikes
                              {ffi::Traits::kCmdBufferCompatible});

#define SPIKEGRAD_DEFINE(name, Family)                                                           \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_initialize_##name, initialize_derivative<Family>, \
                                ffi::Ffi::Bind<ffi::ExecutionStage::kInitialize>()               \
                                    .Arg<ffi::AnyBuffer>() /* x */                               \
                                    .Arg<ffi::AnyBuffer>() /* t */                               \
                                    .RemainingArgs()       /* parameters */                      \
                                    .Ret<ffi::AnyBuffer>()                                       \
                                    .Attr<int64_t>("order"));                                    \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_##name, derivative<Family>,                       \
                                ffi::Ffi::Bind()                                                 \
                                    .Ctx<ffi::PlatformStream<cudaStream_t>>()                    \
                                    .Arg<ffi::AnyBuffer>() /* x */                               \
                                    .Arg<ffi::AnyBuffer>() /* t */                               \
                                    .RemainingArgs()       /* parameters */                      \
                                    .Ret<ffi::AnyBuffer>()                                       \
                                    .Attr<int64_t>("order"),                                     \
                                {ffi::Traits::kCmdBufferCompatible});
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE

}  // namespace spikegrad::cuda
