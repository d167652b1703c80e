// The XLA FFI handlers of the CPU kernels. Operands and results may have any rank; shapes and dtypes are checked.
#ifndef SPIKEGRAD_CPU_HANDLERS_H_
#define SPIKEGRAD_CPU_HANDLERS_H_

#include "math/families.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad {

// (x) -> spikes, of x's shape and dtype.
XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_heaviside);

// (x, t, parameters...) {order: int64} -> t g^(order)(x), of x's shape and dtype. t has x's shape or rank 0. Parameters
// are float32 scalars (float64 if x is): w_k, mu_k, sigma_k for each Gaussian of a mixture; alpha for the sigmoid.
#define SPIKEGRAD_DECLARE(name, Family) XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_##name);
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

// lif over time, its tangent and its pullback. ffi/lif_operands.h describes operands and results.
XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_lif);
#define SPIKEGRAD_DECLARE(name, Family)                         \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_lif_tangent_##name); \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_lif_cotangent_##name);
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_HANDLERS_H_
