#include "cuda/checked.h"
#include "cuda/handlers.h"
#include "cuda/layer_kernels.h"
#include "ffi/lif_operands.h"
#include "ffi/profiler_range.h"

namespace ffi = xla::ffi;

namespace spikegrad::cuda {
namespace {

// Both stages check the operands; handlers.cc gives the reason.
ffi::Error initialize_lif(ffi::RemainingArgs arguments, ffi::RemainingRets results, ffi::Dictionary attributes) {
  return with_current(arguments, [&](auto element) {
    LifForward<decltype(element)> call;
    if (auto error = decode({arguments, results, attributes}, call); error.failure()) return error;
    return checked("loading lif's kernel", ForwardKernels<decltype(element), Lif>::load(call));
  });
}

ffi::Error lif(cudaStream_t stream, ffi::RemainingArgs arguments, ffi::RemainingRets results,
               ffi::Dictionary attributes) {
  const ProfilerRange range("lif");
  return with_current(arguments, [&](auto element) {
    LifForward<decltype(element)> call;
    if (auto error = decode({arguments, results, attributes}, call); error.failure()) return error;
    return checked("launching lif's kernel", ForwardKernels<decltype(element), Lif>::launch(call, stream));
  });
}

// For LifTangent with TangentKernels, and for LifCotangent with CotangentKernels.
template <class Family, template <class> class Call, template <class, class, class> class Kernels>
ffi::Error initialize_lif_derivative(ffi::RemainingArgs arguments, ffi::RemainingRets results,
                                     ffi::Dictionary attributes) {
  return with_current(arguments, [&](auto element) {
    using T = decltype(element);
    Call<T> call;
    ParameterAddresses<Family> parameters = {};
    if (auto error = decode({arguments, results, attributes}, call, parameters); error.failure()) return error;
    return checked("loading the kernel of a derivative of lif", Kernels<T, Lif, Family>::load(call, parameters));
  });
}

template <class Family, template <class> class Call, template <class, class, class> class Kernels>
ffi::Error lif_derivative(const char* name, cudaStream_t stream, ffi::RemainingArgs arguments,
                          ffi::RemainingRets results, ffi::Dictionary attributes) {
  const ProfilerRange range(name);
  return with_current(arguments, [&](auto element) {
    using T = decltype(element);
    Call<T> call;
    ParameterAddresses<Family> parameters = {};
    if (auto error = decode({arguments, results, attributes}, call, parameters); error.failure()) return error;
    return checked("launching the kernel of a derivative of lif",
                   Kernels<T, Lif, Family>::launch(call, parameters, stream));
  });
}

template <class Family>
ffi::Error lif_tangent(cudaStream_t stream, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                       ffi::Dictionary attributes) {
  return lif_derivative<Family, LifTangent, TangentKernels>("lif_tangent", stream, arguments, results, attributes);
}

template <class Family>
ffi::Error lif_cotangent(cudaStream_t stream, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                         ffi::Dictionary attributes) {
  return lif_derivative<Family, LifCotangent, CotangentKernels>("lif_cotangent", stream, arguments, results,
                                                                attributes);
}

}  // namespace

#define SPIKEGRAD_BIND_INITIALIZE() \
  ffi::Ffi::Bind<ffi::ExecutionStage::kInitialize>().RemainingArgs().RemainingRets().Attrs()
#define SPIKEGRAD_BIND_EXECUTE() \
  ffi::Ffi::Bind().Ctx<ffi::PlatformStream<cudaStream_t>>().RemainingArgs().RemainingRets().Attrs()

XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_initialize_lif, initialize_lif, SPIKEGRAD_BIND_INITIALIZE());
XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_lif, lif, SPIKEGRAD_BIND_EXECUTE(), {ffi::Traits::kCmdBufferCompatible});

#define SPIKEGRAD_DEFINE(name, Family)                                                                                \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_initialize_lif_tangent_##name,                                         \
                                (initialize_lif_derivative<Family, LifTangent, TangentKernels>),                      \
                                SPIKEGRAD_BIND_INITIALIZE());                                                         \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_lif_tangent_##name, lif_tangent<Family>, SPIKEGRAD_BIND_EXECUTE(),     \
                                {ffi::Traits::kCmdBufferCompatible});                                                 \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_initialize_lif_cotangent_##name,                                       \
                                (initialize_lif_derivative<Family, LifCotangent, CotangentKernels>),                  \
                                SPIKEGRAD_BIND_INITIALIZE());                                                         \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_cuda_lif_cotangent_##name, lif_cotangent<Family>, SPIKEGRAD_BIND_EXECUTE(), \
                                {ffi::Traits::kCmdBufferCompatible});
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
#undef SPIKEGRAD_BIND_EXECUTE
#undef SPIKEGRAD_BIND_INITIALIZE

}  // namespace spikegrad::cuda
