// The surrogate gradient as a function object for kernels: gradient(x, t) = t g(x).
#ifndef SPIKEGRAD_CUDA_GRADIENT_H_
#define SPIKEGRAD_CUDA_GRADIENT_H_

#include <type_traits>

#include "cuda/prepare_in_block.h"
#include "math/element.h"

namespace spikegrad::cuda {

// The fast path of order 0.
template <class Value>
struct ValueGradient {
  static constexpr bool is_fast = true;
  Value value;
  template <class W>
  __device__ __forceinline__ W operator()(W x, W t) const {
    return value_of(x, t, value);
  }
};

// Not inlined: its registers would make the fast path spill.
template <class Family>
__device__ __noinline__ double slow_gradient(double x, double t, const Family* g) {
  return sum_of_terms(x, t, *g, 0);
}

// For any parameters, in double.
template <class Family>
struct SumGradient {
  static constexpr bool is_fast = false;
  const Family* g;  // in shared memory
  template <class W>
  __device__ __forceinline__ W operator()(W x, W t) const {
    return static_cast<W>(slow_gradient(static_cast<double>(x), static_cast<double>(t), g));
  }
};

// The gradient for a number of terms known at compile time.
template <class T, class Family, int kTerms>
class FastGradient {
 public:
  // Returns false if the parameters have no fast path. All threads of the block must call it, once.
  __device__ __forceinline__ bool prepare(const ParameterAddresses<Family>& parameters) {
    family_ = &prepared_in_block<T, kTerms>(parameters);
    value_ = value_for(*family_, Terms<kTerms>{}, Wide<T>{});
    return value_.usable;
  }
  __device__ __forceinline__ Wide<T> operator()(Wide<T> x, Wide<T> t) const { return value_of(x, t, value_); }

  // Calls use(gradient) with a gradient that works without this fast path.
  template <class Use>
  __device__ __forceinline__ void with_slow(Use use) const {
    if constexpr (kTerms > 1) {  // one term may remain, with a fast path of its own
      const bool done = with_value(
          *family_, Wide<T>{}, [&](const auto& value) { use(ValueGradient<std::decay_t<decltype(value)>>{value}); });
      if (done) return;
    }
    use(SumGradient<Family>{family_});
  }

 private:
  const Family* family_;
  std::decay_t<decltype(value_for(Family{}, Terms<kTerms>{}, Wide<T>{}))> value_;
};

// Calls use(gradient), with the fast path if there is one.
template <class T, class Family, class Use>
__device__ __forceinline__ void with_any_gradient(const ParameterAddresses<Family>& parameters, Use use) {
  __shared__ Family g;
  prepare_in_block<T>(g, parameters, 0);
  const bool done =
      with_value(g, Wide<T>{}, [&](const auto& value) { use(ValueGradient<std::decay_t<decltype(value)>>{value}); });
  if (!done) use(SumGradient<Family>{&g});
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_GRADIENT_H_
