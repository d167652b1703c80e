// A family's parameters as a kernel finds them.
#ifndef SPIKEGRAD_CUDA_PREPARE_IN_BLOCK_H_
#define SPIKEGRAD_CUDA_PREPARE_IN_BLOCK_H_

#include <cuda_runtime.h>

#include "math/families.h"
#include "math/half.h"

namespace spikegrad::cuda {

// The parameters are on the device, and may just have been computed there: only a kernel can look at them. Every block
// works out for itself what follows from them; in shared memory, since what is indexed at run time would be local
// memory in a thread.
template <class T, class Family>
__device__ __forceinline__ void prepare_in_block(Family& g, const ParameterAddresses<Family>& parameters,
                                                 int64_t order) {
  __shared__ double values[ParameterAddresses<Family>::most];
  if (threadIdx.x == 0) {
#pragma unroll
    for (int i = 0; i < ParameterAddresses<Family>::most; i++) {
      if (i < parameters.count) values[i] = *static_cast<const Wide<T>*>(parameters.at[i]);
    }
    prepare(g, values, parameters.count / Family::parameters, order, Wide<T>{});
  }
  __syncthreads();
}

// The same for order 0 and a number of terms that the compiler knows: one goes in a straight line, without a loop.
template <class T, int kTerms, class Family>
__device__ __forceinline__ const Family& prepared_in_block(const ParameterAddresses<Family>& parameters) {
  __shared__ Family g;
  if constexpr (kTerms > 1) {
    prepare_in_block<T>(g, parameters, 0);
  } else {
    if (threadIdx.x == 0) {
      double values[Family::parameters];
#pragma unroll
      for (int i = 0; i < Family::parameters; i++) values[i] = *static_cast<const Wide<T>*>(parameters.at[i]);
      prepare(g, values, 1, 0, Wide<T>{});
    }
    __syncthreads();
  }
  return g;
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_PREPARE_IN_BLOCK_H_
