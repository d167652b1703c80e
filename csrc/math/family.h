// The interface of a family of surrogates g(x; parameters). families.h lists the families.
//
//   struct Family                          values that a call computes once from the parameters and the order
//     parameters, most_terms               g is a sum of up to most_terms terms with this many parameters each
//     order, terms
//   prepare(family, parameters, terms, order, T)  fills the struct; T is the wide type of x
//   term(x, t, k, family, order)           the k-th term of t g^(order)(x), t finite, in double
//   with_value(family, T, use)             calls use(value), if order 0 has a fast path in T for these parameters
//   value_for(family, Terms<n>, T)         the value for n given terms, n = 1 or most_terms; check value.usable
//
//   struct Value<T>                        the fast path of order 0, in steps that kernels run one by one over a block
//     powers                               number of powers of two in g(x)
//   reduce(x, value, reduced)              these powers of x, each as 2^(exponent + fraction), |fraction| <= 1/2
//   finish(x, t, change, exponent, value)  t g(x), given change = 2^fraction - 1 for each power
#ifndef SPIKEGRAD_MATH_FAMILY_H_
#define SPIKEGRAD_MATH_FAMILY_H_

#include "math/scalar.h"

namespace spikegrad {

// The coefficients of a derivative's polynomial grow like n!. Up to order 64 they are far inside the range of double,
// and no practical program nests more gradients.
constexpr int64_t kHighestOrder = 64;

// A value for either wide type. A call prepares and uses one of the two.
template <template <class> class Value>
struct InEither {
  Value<float> in_float;
  Value<double> in_double;
};

template <class Either, class T>
SPIKEGRAD_SCALAR auto& in_type(Either& either, T) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return either.in_float;
  } else {
    return either.in_double;
  }
}

// A number of terms known at compile time.
template <int kTerms>
struct Terms {
  static constexpr int count = kTerms;
};

// Addresses of a call's parameters, in host memory for CPU kernels and device memory for CUDA kernels. Each is a scalar
// in the wide type of x.
template <class Family>
struct ParameterAddresses {
  static constexpr int64_t most = Family::parameters * Family::most_terms;
  const void* at[most];
  int64_t count;
};

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_FAMILY_H_
