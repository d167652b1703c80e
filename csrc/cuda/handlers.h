// The XLA FFI handlers of the CUDA kernels, two for each target of ffi/targets.h. Operands, attributes and results are
// the same as for the CPU handlers.
//
// A target has two stages. `initialize` loads the kernel onto the device. `execute` only launches it and can thus be
// captured in a CUDA graph.
#ifndef SPIKEGRAD_CUDA_HANDLERS_H_
#define SPIKEGRAD_CUDA_HANDLERS_H_

#include "ffi/targets.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad::cuda {

#define SPIKEGRAD_DECLARE(symbol, name)                               \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_initialize_##symbol); \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_cuda_##symbol);
SPIKEGRAD_FOR_EACH_TARGET(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_HANDLERS_H_
