#include "cuda/kernels.h"

#include <cuda_runtime.h>

#include "cuda/half_conversions.h"
#include "cuda/launch.h"
#include "cuda/prepare_in_block.h"
#include "cuda/vectors.h"
#include "math/element.h"
#include "math/heaviside.h"

namespace spikegrad::cuda {

constexpr int kThreads = 128;

// Blocks a multiprocessor for which a kernel leaves registers, and that are launched at most. To keep its memory busy
// an H100 needs some 14 KiB a multiprocessor under way (3.4 TB/s, 0.55 us, 132 of them): 16 blocks with a vector of x a
// thread are 32 KiB, 5 with one of x and one of t 20 KiB. At 6 ptxas spills. The higher orders are bound by arithmetic.
constexpr int kSpikeBlocks = 16;
constexpr int kGradientBlocks = 5;
constexpr int kDerivativeBlocks = 3;

// out[i] = apply(x[i], t[i]) or apply(x[i], t[0]), in the wide type between.
template <Lanes kLanes, class T, class Apply>
__device__ __forceinline__ void for_each_product(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                                                 Apply apply) {
  if (scalar_t) {
    const Wide<T> t_0 = to_wide(*t);
    for_each_element<kLanes>(out, size, [=](T x) { return from_wide(apply(to_wide(x), t_0), T{}); }, x);
  } else {
    for_each_element<kLanes>(out, size, [=](T x, T t) { return from_wide(apply(to_wide(x), to_wide(t)), T{}); }, x, t);
  }
}

template <class T, class Family>
__device__ __forceinline__ void any_order(const T* x, const T* t, bool scalar_t, T* out, int64_t size, const Family& g,
                                          int64_t order) {
  for_each_product<Lanes::in_turn>(x, t, scalar_t, out, size, [&g, order](double x, double t) {
    return static_cast<Wide<T>>(sum_of_terms(x, t, g, order));
  });
}

// The kernels. Their names are what a profiler shows.

template <class T>
__global__ void __launch_bounds__(kThreads, kSpikeBlocks) spike(const T* x, T* out, int64_t size) {
  for_each_element<Lanes::at_once>(out, size, [](T x) { return heaviside(x); }, x);
}

template <class T, class Family>
__global__ void __launch_bounds__(kThreads, kGradientBlocks)
    surrogate_gradient(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                       ParameterAddresses<Family> parameters) {
  __shared__ Family g;
  prepare_in_block<T>(g, parameters, 0);
  const bool done = with_value(g, Wide<T>{}, [&](const auto& shared) {
    const auto value = shared;  // in registers
    for_each_product<Lanes::at_once>(x, t, scalar_t, out, size,
                                     [value](Wide<T> x, Wide<T> t) { return value_of(x, t, value); });
  });
  if (!done) any_order(x, t, scalar_t, out, size, g, 0);
}

template <class T, class Family>
__global__ void __launch_bounds__(kThreads, kDerivativeBlocks)
    surrogate_derivative(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                         ParameterAddresses<Family> parameters, int64_t order) {
  __shared__ Family g;
  prepare_in_block<T>(g, parameters, order);
  any_order(x, t, scalar_t, out, size, g, order);
}

// `blocks` are those a multiprocessor that are launched at most.
template <class T>
cudaError_t grid_for(int64_t size, int64_t blocks, Grid& grid) {
  int multiprocessors;
  if (cudaError_t error = count_multiprocessors(multiprocessors); error != cudaSuccess) return error;
  constexpr int64_t elements = kThreads * Vector<T>::lanes;
  grid = {(size + elements - 1) / elements, blocks * multiprocessors, kThreads};
  return cudaSuccess;
}

template <class T>
cudaError_t Heaviside<T>::launch(const T* x, T* out, int64_t size, cudaStream_t stream) {
  Grid grid;
  if (cudaError_t error = grid_for<T>(size, kSpikeBlocks, grid); error != cudaSuccess) return error;
  return launch_kernel(spike<T>, grid, stream, x, out, size);
}

template <class T>
cudaError_t Heaviside<T>::load() {
  return load_kernel(spike<T>);
}

template <class T, class Family>
cudaError_t Derivative<T, Family>::launch(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                                          const ParameterAddresses<Family>& parameters, int64_t order,
                                          cudaStream_t stream) {
  Grid grid;
  const int64_t blocks = order == 0 ? kGradientBlocks : kDerivativeBlocks;
  if (cudaError_t error = grid_for<T>(size, blocks, grid); error != cudaSuccess) return error;
  if (order == 0) {
    return launch_kernel(surrogate_gradient<T, Family>, grid, stream, x, t, scalar_t, out, size, parameters);
  }
  return launch_kernel(surrogate_derivative<T, Family>, grid, stream, x, t, scalar_t, out, size, parameters, order);
}

template <class T, class Family>
cudaError_t Derivative<T, Family>::load(int64_t order) {
  return order == 0 ? load_kernel(surrogate_gradient<T, Family>) : load_kernel(surrogate_derivative<T, Family>);
}

#define SPIKEGRAD_INSTANTIATE_FAMILY(name, Family, T) template struct Derivative<T, Family>;
#define SPIKEGRAD_INSTANTIATE(T) \
  template struct Heaviside<T>;  \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_INSTANTIATE_FAMILY, T)
SPIKEGRAD_INSTANTIATE(Float16)
SPIKEGRAD_INSTANTIATE(BFloat16)
SPIKEGRAD_INSTANTIATE(float)
SPIKEGRAD_INSTANTIATE(double)

}  // namespace spikegrad::cuda
