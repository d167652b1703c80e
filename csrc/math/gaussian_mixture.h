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
  GaussianValue<float> single_in_float;
  GaussianValue<double> single_in_double;
  SymmetricTriple<float> triple_in_float;
  SymmetricTriple<double> triple_in_double;
};

// Of a mixture, constant or not.
template <class Mixture>
SPIKEGRAD_SCALAR auto& single_of(Mixture& g, float) {
  return g.single_in_float;
}
template <class Mixture>
SPIKEGRAD_SCALAR auto& single_of(Mixture& g, double) {
  return g.single_in_double;
}
template <class Mixture>
SPIKEGRAD_SCALAR auto& triple_of(Mixture& g, float) {
  return g.triple_in_float;
}
template <class Mixture>
SPIKEGRAD_SCALAR auto& triple_of(Mixture& g, double) {
  return g.triple_in_double;
}

template <class T>
SPIKEGRAD_SCALAR void prepare(GaussianMixture& g, const double* parameters, int64_t terms, int64_t order, T type) {
  g.order = order;
  g.terms = 0;
  for (int64_t k = 0; k < terms; k++) {
    g.term[g.terms] = make_gaussian(parameters[3 * k], parameters[3 * k + 1], parameters[3 * k + 2], order);
    // Only what counts: without its sides, h = 0, the multi-Gaussian is a Gaussian.
    const bool counts = g.term[g.terms].coefficient.high != 0 || (k == terms - 1 && g.terms == 0);
    g.terms += counts;
  }
  GaussianValue<T>& single = single_of(g, type);
  SymmetricTriple<T>& triple = triple_of(g, type);
  single.usable = triple.usable = false;
  if (order == 0 && g.terms == 1) single = make_gaussian_value<T>(g.term[0]);
  if (order == 0 && g.terms == 3) triple = make_symmetric_triple<T>(g.term[0], g.term[1], g.term[2]);
}

SPIKEGRAD_SCALAR double term(double x, double t, int64_t k, const GaussianMixture& g, int64_t order) {
  return gaussian_derivative(x, t, g.term[k], order);
}

template <class T, class Use>
SPIKEGRAD_SCALAR bool with_value(const GaussianMixture& g, T type, Use use) {
  if (single_of(g, type).usable) return use(single_of(g, type)), true;
  if (triple_of(g, type).usable) return use(triple_of(g, type)), true;
  return false;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_GAUSSIAN_MIXTURE_H_
