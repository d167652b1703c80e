// The XLA FFI handlers of the CUDA kernels. Operands, attributes and results are the same as for the CPU handlers.
//
// A target has two stages. `initialize` loads the kernel onto the device. `execute` only launches it and can thus be
// captured in a CUDA graph.
#ifndef SPIKEGRAD_CUDA_HANDLERS_H_
#define SPIKEGRAD_CUDA_HANDLERS_H_

#include "math/families.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad::cuda {

XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_initialize_heaviside);
XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_heaviside);
XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_initialize_lif);
XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_lif);

#define SPIKEGRAD_DECLARE(name, Family)                                           \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_initialize_##name);               \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_##name);                          \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_initialize_lif_tangent_##name);   \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_lif_tangent_##name);              \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_initialize_lif_cotangent_##name); \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_lif_cotangent_##name);
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_HANDLERS_H_
