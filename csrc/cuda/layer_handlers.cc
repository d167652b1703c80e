#include "cuda/checked.h"
#include "cuda/handlers.h"
#include "cuda/layer_kernels.h"
#include "ffi/layer_operands.h"
#include "ffi/profiler_range.h"

namespace ffi = xla::ffi;

namespace spikegrad::cuda {
namespace {

// Both stages check the operands; spike_handlers.cc gives the reason.
template <class Neuron>
ffi::Error initialize_forward(ffi::RemainingArgs arguments, ffi::RemainingRets results, ffi::Dictionary attributes) {
  return with_current(arguments, [&](auto element) {
    LayerForward<decltype(element), Neuron> call;
    if (auto error = decode({arguments, results, attributes}, call); error.failure()) return error;
    return checked("loading a layer's kernel", ForwardKernels<decltype(element), Neuron>::load(call));
  });
}

template <class Neuron>
ffi::Error forward(cudaStream_t stream, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                   ffi::Dictionary attributes) {
  const ProfilerRange range(kLayerNames<Neuron>.forward);
  return with_current(arguments, [&](auto element) {
    LayerForward<decltype(element), Neuron> call;
    if (auto error = decode({arguments, results, attributes}, call); error.failure()) return error;
    return checked("launching a layer's kernel", ForwardKernels<decltype(element), Neuron>::launch(call, stream));
  });
}

// For LayerTangent with TangentKernels, and for LayerCotangent with CotangentKernels.
template <class Neuron, class Family, template <class, class> class Call, template <class, class, class> class Kernels>
ffi::Error initialize_derivative(ffi::RemainingArgs arguments, ffi::RemainingRets results, ffi::Dictionary attributes) {
  return with_current(arguments, [&](auto element) {
    using T = decltype(element);
    Call<T, Neuron> call;
    ParameterAddresses<Family> surrogate = {};
    if (auto error = decode({arguments, results, attributes}, call, surrogate); error.failure()) return error;
    return checked("loading the kernel of a layer's derivative", Kernels<T, Neuron, Family>::load(call, surrogate));
  });
}

template <class Neuron, class Family, template <class, class> class Call, template <class, class, class> class Kernels>
ffi::Error derivative(const char* name, cudaStream_t stream, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                      ffi::Dictionary attributes) {
  const ProfilerRange range(name);
  return with_current(arguments, [&](auto element) {
    using T = decltype(element);
    Call<T, Neuron> call;
    ParameterAddresses<Family> surrogate = {};
    if (auto error = decode({arguments, results, attributes}, call, surrogate); error.failure()) return error;
    return checked("launching the kernel of a layer's derivative",
                   Kernels<T, Neuron, Family>::launch(call, surrogate, stream));
  });
}

template <class Neuron, class Family>
ffi::Error tangent(cudaStream_t stream, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                   ffi::Dictionary attributes) {
  return derivative<Neuron, Family, LayerTangent, TangentKernels>(kLayerNames<Neuron>.tangent, stream, arguments,
                                                                  results, attributes);
}

template <class Neuron, class Family>
ffi::Error cotangent(cudaStream_t stream, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                     ffi::Dictionary attributes) {
  return derivative<Neuron, Family, LayerCotangent, CotangentKernels>(kLayerNames<Neuron>.cotangent, stream, arguments,
                                                                      results, attributes);
}

}  // namespace

#define SPIKEGRAD_DEFINE_STAGES(symbol, initialize, execute)                                             \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                                                         \
      spikegrad_cuda_initialize_##symbol, initialize,                                                    \
      ffi::Ffi::Bind<ffi::ExecutionStage::kInitialize>().RemainingArgs().RemainingRets().Attrs());       \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                                                         \
      spikegrad_cuda_##symbol, execute,                                                                  \
      ffi::Ffi::Bind().Ctx<ffi::PlatformStream<cudaStream_t>>().RemainingArgs().RemainingRets().Attrs(), \
      {ffi::Traits::kCmdBufferCompatible});
#define SPIKEGRAD_DEFINE_DERIVATIVES(family, Family, neuron, Neuron)                                 \
  SPIKEGRAD_DEFINE_STAGES(neuron##_tangent_##family,                                                 \
                          (initialize_derivative<Neuron, Family, LayerTangent, TangentKernels>),     \
                          (tangent<Neuron, Family>))                                                 \
  SPIKEGRAD_DEFINE_STAGES(neuron##_cotangent_##family,                                               \
                          (initialize_derivative<Neuron, Family, LayerCotangent, CotangentKernels>), \
                          (cotangent<Neuron, Family>))
#define SPIKEGRAD_DEFINE(neuron, Neuron)                                           \
  SPIKEGRAD_DEFINE_STAGES(neuron, (initialize_forward<Neuron>), (forward<Neuron>)) \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE_DERIVATIVES, neuron, Neuron)
SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
#undef SPIKEGRAD_DEFINE_DERIVATIVES
#undef SPIKEGRAD_DEFINE_STAGES

}  // namespace spikegrad::cuda
