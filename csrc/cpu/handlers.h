// The XLA FFI handlers of the CPU kernels, one for each target of ffi/targets.h. Operands and results may have any
// rank; shapes and dtypes are checked.
#ifndef SPIKEGRAD_CPU_HANDLERS_H_
#define SPIKEGRAD_CPU_HANDLERS_H_

#include "ffi/targets.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad {

#define SPIKEGRAD_DECLARE(symbol, name) XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_##symbol);
SPIKEGRAD_FOR_EACH_TARGET(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_HANDLERS_H_
