// The XLA FFI handlers of the CPU kernels. All operands and results may have any rank; what they hold is checked.
#ifndef SPIKEGRAD_CPU_HANDLERS_H_
#define SPIKEGRAD_CPU_HANDLERS_H_

#include "math/families.h"
#include "xla/ffi/api/ffi.h"

namespace spikegrad {

// (x) -> spikes, of x's shape and dtype.
XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_heaviside);

// (x, t, parameters...) {order: int64} -> t g^(order)(x), of x's shape and dtype. t has x's shape or rank 0; parameters
// have rank 0, float32 (float64 where x is): w_k, mu_k, sigma_k for each Gaussian of a mixture; alpha.
#define SPIKEGRAD_DECLARE(name, Family) XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_##name);
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

// lif over time, its tangent and its pullback; ffi/lif_operands.h has their operands and results.
XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_lif);
#define SPIKEGRAD_DECLARE(name, Family)                         \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_lif_tangent_##name); \
  XLA_FFI_DECLARE_HANDLER_SYMBOL(spikegrad_lif_cotangent_##name);
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_HANDLERS_H_
