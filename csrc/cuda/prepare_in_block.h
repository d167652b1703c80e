// Prepares a family's parameters inside a kernel.
#ifndef SPIKEGRAD_CUDA_PREPARE_IN_BLOCK_H_
#define SPIKEGRAD_CUDA_PREPARE_IN_BLOCK_H_

#include <cuda_runtime.h>

#include "math/families.h"
#include "math/half.h"

namespace spikegrad::cuda {

// The parameters are in device memory, and an earlier kernel may just have computed them, so the host cannot read them.
// Each block prepares the family itself. The result lies in shared memory, because arrays that are indexed at run time
// would go to local memory.
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

// For order 0 and a number of terms known at compile time. A single term needs no loop.
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
