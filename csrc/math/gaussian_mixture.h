// The family g(x) = sum over k of w_k N(x; mu_k, sigma_k): one Gaussian, or the three of the multi-Gaussian surrogate.
#ifndef SPIKEGRAD_MATH_GAUSSIAN_MIXTURE_H_
#define SPIKEGRAD_MATH_GAUSSIAN_MIXTURE_H_

#include "math/family.h"
#include "math/gaussian.h"
#include "math/symmetric_triple.h"

namespace spikegrad {

struct GaussianMixture {
  static constexpr int64_t parameters = 3;  // w, mu, sigma
  static constexpr int64_t most_terms = 3;
  int64_t order;
  int64_t terms;
  Gaussian term[most_terms];
  InEither<GaussianValue> single;
  InEither<SymmetricTriple> triple;
};

template <class T>
SPIKEGRAD_SCALAR void prepare(GaussianMixture& g, const double* parameters, int64_t terms, int64_t order, T type) {
  g.order = order;
  g.terms = 0;
  for (int64_t k = 0; k < terms; k++) {
    g.term[g.terms] = make_gaussian(parameters[3 * k], parameters[3 * k + 1], parameters[3 * k + 2], order);
    // Skip terms with weight 0: with h = 0, the multi-Gaussian is a single Gaussian.
    const bool counts = g.term[g.terms].coefficient.high != 0 || (k == terms - 1 && g.terms == 0);
    g.terms += counts;
  }
  GaussianValue<T>& single = in_type(g.single, type);
  SymmetricTriple<T>& triple = in_type(g.triple, type);
  single.usable = triple.usable = false;
  if (order == 0 && g.terms == 1) single = make_gaussian_value<T>(g.term[0]);
  if (order == 0 && g.terms == 3) triple = make_symmetric_triple<T>(g.term[0], g.term[1], g.term[2]);
}

SPIKEGRAD_SCALAR double term(double x, double t, int64_t k, const GaussianMixture& g, int64_t order) {
  return gaussian_derivative(x, t, g.term[k], order);
}

template <class T>
SPIKEGRAD_SCALAR const GaussianValue<T>& value_for(const GaussianMixture& g, Terms<1>, T type) {
  return in_type(g.single, type);
}

template <class T>
SPIKEGRAD_SCALAR const SymmetricTriple<T>& value_for(const GaussianMixture& g, Terms<3>, T type) {
  return in_type(g.triple, type);
}

template <class T, class Use>
SPIKEGRAD_SCALAR bool with_value(const GaussianMixture& g, T type, Use use) {
  if (in_type(g.single, type).usable) return use(in_type(g.single, type)), true;
  if (in_type(g.triple, type).usable) return use(in_type(g.triple, type)), true;
  return false;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_GAUSSIAN_MIXTURE_H_
