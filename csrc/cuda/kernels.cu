#include "cuda/kernels.h"

#include <cuda_runtime.h>

#include "cuda/half_conversions.h"
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

// As many blocks as the elements are worth and the device can run at a time, so that each works out its parameters
// once.
template <class T, class... Params, class... Args>
cudaError_t launch_kernel(void (*kernel)(Params...), int64_t blocks, int64_t size, cudaStream_t stream, Args... args) {
  if (size == 0) return cudaSuccess;
  int device, multiprocessors;
  if (cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
  if (cudaError_t error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
      error != cudaSuccess) {
    return error;
  }
  constexpr int64_t elements = kThreads * Vector<T>::lanes;
  const int64_t worth = (size + elements - 1) / elements, at_a_time = blocks * multiprocessors;
  cudaLaunchConfig_t config = {};
  config.gridDim.x = static_cast<unsigned>(worth < at_a_time ? worth : at_a_time);
  config.blockDim.x = kThreads;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

// Under lazy loading a kernel is loaded when its attributes are asked for, at the latest.
template <class... Params>
cudaError_t load_kernel(void (*kernel)(Params...)) {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, kernel);
}

template <class T>
cudaError_t Heaviside<T>::launch(const T* x, T* out, int64_t size, cudaStream_t stream) {
  return launch_kernel<T>(spike<T>, kSpikeBlocks, size, stream, x, out, size);
}

template <class T>
cudaError_t Heaviside<T>::load() {
  return load_kernel(spike<T>);
}

template <class T, class Family>
cudaError_t Derivative<T, Family>::launch(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                                          const ParameterAddresses<Family>& parameters, int64_t order,
                                          cudaStream_t stream) {
  if (order == 0) {
    return launch_kernel<T>(surrogate_gradient<T, Family>, kGradientBlocks, size, stream, x, t, scalar_t, out, size,
                            parameters);
  }
  return launch_kernel<T>(surrogate_derivative<T, Family>, kDerivativeBlocks, size, stream, x, t, scalar_t, out, size,
                          parameters, order);
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
