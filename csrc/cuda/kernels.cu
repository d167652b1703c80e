#include "cuda/kernels.h"

#include <cuda_runtime.h>

#include <type_traits>

#include "cuda/gradient.h"
#include "cuda/half_conversions.h"
#include "cuda/launch.h"
#include "cuda/prepare_in_block.h"
#include "cuda/vectors.h"
#include "math/dtypes.h"
#include "math/element.h"
#include "math/heaviside.h"

namespace spikegrad::cuda {

// Each thread has one vector of 16 bytes, each block 256 threads, and the grid covers the array (launch.h). More
// vectors a thread or streaming loads were no faster on an H100 (2026-11-27: all took 266 to 270 us for a spike of 1e8
// floats).
constexpr int kThreads = 256;

// Minimum blocks a multiprocessor, which limits the registers. To keep its memory busy, an H100 needs about 14 KiB in
// flight for each of its 132 multiprocessors (3.4 TB/s, 0.55 us). 4 blocks, with a vector of x and one of t a thread,
// have 32 KiB in flight. Higher orders are bound by double arithmetic; with 4 blocks the sigmoid's kernels spill.
constexpr int kSpikeBlocks = 8;
constexpr int kGradientBlocks = 4;
constexpr int kDerivativeBlocks = 2;

// The kernels. Profilers show these names.

template <class T>
__global__ void __launch_bounds__(kThreads, kSpikeBlocks) spike(const T* x, T* out, int64_t size) {
  const Share<T> share(size, x, out);
  if (share.has_vector()) {
    auto vector = bit_cast<Vector<T>>(load_bits(x, share.thread));
#pragma unroll
    for (T& lane : vector.lane) lane = heaviside(lane);
    store_vector(out, share.thread, vector);
  }
  share.for_remainder(size, [&](int64_t i) { out[i] = heaviside(x[i]); });
}

// Order 0 for a number of terms known at compile time.
template <class T, class Family, int kTerms>
__global__ void __launch_bounds__(kThreads, kGradientBlocks)
    surrogate_gradient(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                       ParameterAddresses<Family> parameters) {
  FastGradient<T, Family, kTerms> g{};
  bool fast = false;
  // A single term is prepared while the loads are in flight. Three terms would need too many registers for that.
  if constexpr (kTerms > 1) fast = g.prepare(parameters);
  const Share<T> share = scalar_t ? Share<T>(size, x, out) : Share<T>(size, x, t, out);
  Bits bits_x = {}, bits_t = {};  // as a Vector, each 16-bit lane would take a register
  if (share.has_vector()) {
    bits_x = load_bits(x, share.thread);
    if (!scalar_t) bits_t = load_bits(t, share.thread);
  }
  if constexpr (kTerms == 1) fast = g.prepare(parameters);
  const T first_t = *t;
  const auto t_at = [&](int64_t i) { return scalar_t ? first_t : t[i]; };
  if (!fast) {
    g.with_slow([&](const auto& slow) {
#pragma unroll 1
      for (int64_t i = share.thread; i < size; i += share.threads) {
        out[i] = from_wide(slow(to_wide(x[i]), to_wide(t_at(i))), T{});
      }
    });
    return;
  }
  if (share.has_vector()) {
    auto vector_x = bit_cast<Vector<T>>(bits_x);
    const auto vector_t = bit_cast<Vector<T>>(bits_t);
#pragma unroll
    for (int k = 0; k < Vector<T>::lanes; k++) {
      const T lane_t = scalar_t ? first_t : vector_t.lane[k];
      vector_x.lane[k] = from_wide(g(to_wide(vector_x.lane[k]), to_wide(lane_t)), T{});
    }
    store_vector(out, share.thread, vector_x);
  }
  share.for_remainder(size, [&](int64_t i) { out[i] = from_wide(g(to_wide(x[i]), to_wide(t_at(i))), T{}); });
}

// Any order and any number of terms.
template <class T, class Family>
__global__ void __launch_bounds__(kThreads, kDerivativeBlocks)
    surrogate_derivative(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                         ParameterAddresses<Family> parameters, int64_t order) {
  __shared__ Family g;
  prepare_in_block<T>(g, parameters, order);
  const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const auto for_each = [&](auto apply) {
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += threads) {
      out[i] = from_wide(apply(to_wide(x[i]), to_wide(t[scalar_t ? 0 : i])), T{});
    }
  };
  const bool done = order == 0 && with_value(g, Wide<T>{}, [&](const auto& value) {
                      for_each([&](Wide<T> x, Wide<T> t) { return value_of(x, t, value); });
                    });
  if (done) return;
  for_each([&](double x, double t) { return static_cast<Wide<T>>(sum_of_terms(x, t, g, order)); });
}

template <class T>
Grid grid_for(int64_t size) {
  return {(size + Vector<T>::lanes - 1) / Vector<T>::lanes, kThreads};
}

template <class T>
cudaError_t Heaviside<T>::launch(const T* x, T* out, int64_t size, cudaStream_t stream) {
  return launch_kernel(spike<T>, grid_for<T>(size), stream, x, out, size);
}

template <class T>
cudaError_t Heaviside<T>::load() {
  return load_kernel(spike<T>);
}

// Calls use(kernel) with the kernel of order 0 for this number of parameters, or with null if there is none.
template <class T, class Family, class Use>
cudaError_t with_gradient_kernel(int64_t parameter_count, int64_t order, Use use) {
  if (order == 0 && parameter_count == Family::parameters) return use(surrogate_gradient<T, Family, 1>);
  if constexpr (Family::most_terms > 1) {
    if (order == 0 && parameter_count == ParameterAddresses<Family>::most) {
      return use(surrogate_gradient<T, Family, Family::most_terms>);
    }
  }
  return use(nullptr);
}

template <class T, class Family>
cudaError_t Derivative<T, Family>::launch(const T* x, const T* t, bool scalar_t, T* out, int64_t size,
                                          const ParameterAddresses<Family>& parameters, int64_t order,
                                          cudaStream_t stream) {
  return with_gradient_kernel<T, Family>(parameters.count, order, [&](auto kernel) {
    if constexpr (std::is_null_pointer_v<decltype(kernel)>) {
      return launch_kernel(surrogate_derivative<T, Family>, grid_for<T>(size), stream, x, t, scalar_t, out, size,
                           parameters, order);
    } else {
      return launch_kernel(kernel, grid_for<T>(size), stream, x, t, scalar_t, out, size, parameters);
    }
  });
}

template <class T, class Family>
cudaError_t Derivative<T, Family>::load(int64_t parameter_count, int64_t order) {
  return with_gradient_kernel<T, Family>(parameter_count, order, [](auto kernel) {
    if constexpr (std::is_null_pointer_v<decltype(kernel)>) {
      return load_kernel(surrogate_derivative<T, Family>);
    } else {
      return load_kernel(kernel);
    }
  });
}

#define SPIKEGRAD_INSTANTIATE_FAMILY(name, Family, T) template struct Derivative<T, Family>;
#define SPIKEGRAD_INSTANTIATE(name, T, ...) \
  template struct Heaviside<T>;             \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_INSTANTIATE_FAMILY, T)
SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_INSTANTIATE)

}  // namespace spikegrad::cuda
