// The reset of a membrane after a spike, its tangent and its cotangents, for every neuron with the resets of neuron.h.
#ifndef SPIKEGRAD_NEURONS_RESET_H_
#define SPIKEGRAD_NEURONS_RESET_H_

#include "math/scalar.h"
#include "neurons/neuron.h"

namespace spikegrad {

// The membrane after the reset. With an infinite threshold, `subtract` gives NaN even without a spike, as the formula
// does.
template <class T, class R>
SPIKEGRAD_SCALAR T after_reset(T u, T spike, T threshold, R rule) {
  if (rule.reset == Reset::subtract) return u - spike * threshold;
  if (rule.reset == Reset::zero) return u * (1 - spike);
  return u;
}

// The tangent of after_reset along (u, spike, threshold).
template <class T, class R>
SPIKEGRAD_SCALAR T after_reset_tangent(T u, T spike, T threshold, T u_dot, T spike_dot, T threshold_dot, R rule) {
  // A detached spike has no term: 0 times an infinite membrane or threshold would be NaN.
  if (rule.reset == Reset::subtract) {
    return u_dot - (rule.detach_reset ? spike * threshold_dot : spike_dot * threshold + spike * threshold_dot);
  }
  if (rule.reset == Reset::zero) return rule.detach_reset ? u_dot * (1 - spike) : u_dot * (1 - spike) - u * spike_dot;
  return u_dot;
}

// The cotangents of the spike and of u through the reset, given the cotangent of after_reset.
template <class T, class R>
SPIKEGRAD_SCALAR T reset_to_spike(T u, T threshold, T after_bar, R rule) {
  if (rule.detach_reset || rule.reset == Reset::none) return 0;
  return rule.reset == Reset::subtract ? -threshold * after_bar : -u * after_bar;
}

template <class T, class R>
SPIKEGRAD_SCALAR T reset_to_membrane(T spike, T after_bar, R rule) {
  return rule.reset == Reset::zero ? after_bar * (1 - spike) : after_bar;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_NEURONS_RESET_H_
