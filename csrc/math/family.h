// What a family of surrogates g(x; parameters) is to the kernels. families.h lists those there are.
//
//   struct Family                          what is worked out once a call, from the parameters and the order
//     parameters, most_terms               g is a sum of up to most_terms terms with this many parameters each
//     order, terms
//   prepare(family, parameters, terms, order, T)  for an x whose wide type is T
//   term(x, t, k, family, order)           the k-th term of t g^(order)(x), t finite, in double
//   with_value(family, T, use)             calls use(value), if order 0 has a faster way in T at these parameters
//   value_for(family, Terms<n>, T)         that value for n given terms, n = 1 or most_terms, if value.usable
//
//   struct Value<T>                        that faster way, in steps that the kernels run one after the other over a
//   block
//     powers                               how many powers of two g(x) is made of
//   reduce(x, value, reduced)              these powers of x, each as 2^(exponent + fraction), |fraction| <= 1/2
//   finish(x, t, change, exponent, value)  t g(x), given change = 2^fraction - 1 of each
#ifndef SPIKEGRAD_MATH_FAMILY_H_
#define SPIKEGRAD_MATH_FAMILY_H_

#include "math/scalar.h"

namespace spikegrad {

// The numbers in a derivative's polynomial grow like n!, and leave the range of a double in the end. Nobody nests so
// many gradients.
constexpr int64_t kHighestOrder = 64;

// A value for each of the wide types, of which a call prepares and uses one.
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

// A number of terms that the compiler knows.
template <int kTerms>
struct Terms {
  static constexpr int count = kTerms;
};

// Where the parameters of a call lie, in the memory of whoever computes: scalars in the wide type of x.
template <class Family>
struct ParameterAddresses {
  static constexpr int64_t most = Family::parameters * Family::most_terms;
  const void* at[most];
  int64_t count;
};

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_FAMILY_H_
