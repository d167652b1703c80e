// The leaky integrate-and-fire neuron. neuron.h describes the interface.
//
// v is the membrane carried from step to step, u the membrane compared with the threshold, z = u - threshold the
// distance, s the spike, g the surrogate gradient and x the current. The three step orders are
//
//   charge_fire_reset   u = decay v + x          s = H(u - threshold)     v' = u - s threshold | u (1 - s) | u
//   fire_charge         s = H(v - threshold)     v' = u = decay v + x - s threshold | decay v (1 - s) + x | decay v + x
//   reset_undecayed     as fire_charge, with s written one row earlier: s_t = H(u_t - threshold)
//
// for reset = subtract | zero | none.
//
// Every sum and every product is rounded separately, as in NumPy and PyTorch. Spikes are therefore bitwise equal on
// every device and equal to theirs.
#ifndef SPIKEGRAD_NEURONS_LIF_H_
#define SPIKEGRAD_NEURONS_LIF_H_

#include "math/heaviside.h"
#include "math/scalar.h"
#include "neurons/neuron.h"
#include "neurons/reset.h"

namespace spikegrad {

struct Lif {
  static constexpr int states = 1;
  static constexpr int v = 0;
  static constexpr const char* state_names[] = {"v"};

  static constexpr int parameters = 2;
  static constexpr int decay = 0, threshold = 1;
  static constexpr const char* parameter_names[] = {"decay", "threshold"};

  static constexpr int kept = 2;  // the membrane compared with the threshold, and v
  static constexpr int kept_always = 1;
};

template <class T, class R>
SPIKEGRAD_SCALAR Step<T, Lif> step(Lif, const States<T, Lif>& state, T x, const Parameters<T, Lif>& parameters,
                                   R rule) {
  const T v = state.at[Lif::v], decay = parameters.at[Lif::decay], threshold = parameters.at[Lif::threshold];
  Step<T, Lif> out;
  if (rule.charge_first) {
    out.membrane = decay * v + x;
    out.distance = out.membrane - threshold;
    out.spike = heaviside(out.distance);
    out.state.at[Lif::v] = after_reset(out.membrane, out.spike, threshold, rule);
  } else {
    out.distance = v - threshold;
    out.spike = heaviside(out.distance);
    // Reset to zero happens before the decay; the subtracted threshold does not decay.
    const bool before = rule.reset == Reset::zero;
    const T charged = decay * (before ? after_reset(v, out.spike, threshold, rule) : v) + x;
    out.membrane = out.state.at[Lif::v] = before ? charged : after_reset(charged, out.spike, threshold, rule);
  }
  return out;
}

// The tangent of decay * v.
template <class T>
SPIKEGRAD_SCALAR T decayed_tangent(T v, T v_dot, T decay, const StepTangent<T, Lif>& dot) {
  const T by_v = dot.moves.state[Lif::v] ? decay * v_dot : T(0);
  return dot.moves.parameter[Lif::decay] ? by_v + dot.parameters.at[Lif::decay] * v : by_v;
}

template <class T, class R>
SPIKEGRAD_SCALAR T distance_tangent(Lif, const States<T, Lif>& state, T, const Parameters<T, Lif>& parameters,
                                    const StepTangent<T, Lif>& dot, R rule) {
  const T v_dot = dot.state.at[Lif::v], threshold_dot = dot.parameters.at[Lif::threshold];
  if (!rule.charge_first) return v_dot - threshold_dot;
  return (decayed_tangent(state.at[Lif::v], v_dot, parameters.at[Lif::decay], dot) + dot.x) - threshold_dot;
}

template <class T, class R>
SPIKEGRAD_SCALAR StateTangent<T, Lif> state_tangent(Lif, const States<T, Lif>& state, T,
                                                    const Parameters<T, Lif>& parameters, const Step<T, Lif>& step,
                                                    const StepTangent<T, Lif>& dot, T spike_dot, R rule) {
  const T v = state.at[Lif::v], decay = parameters.at[Lif::decay], threshold = parameters.at[Lif::threshold];
  const T v_dot = dot.state.at[Lif::v], threshold_dot = dot.parameters.at[Lif::threshold];
  StateTangent<T, Lif> out;
  if (rule.charge_first) {
    out.membrane = decayed_tangent(v, v_dot, decay, dot) + dot.x;
    out.state.at[Lif::v] =
        after_reset_tangent(step.membrane, step.spike, threshold, out.membrane, spike_dot, threshold_dot, rule);
  } else {
    const bool before = rule.reset == Reset::zero;
    const T reset_v = before ? after_reset(v, step.spike, threshold, rule) : v;
    const T reset_dot =
        before ? after_reset_tangent(v, step.spike, threshold, v_dot, spike_dot, threshold_dot, rule) : v_dot;
    const T charged = decayed_tangent(reset_v, reset_dot, decay, dot) + dot.x;
    // Unless the reset is to zero, the tangent does not depend on u: the first argument is a placeholder.
    out.membrane =
        before ? charged : after_reset_tangent(charged, step.spike, threshold, charged, spike_dot, threshold_dot, rule);
    out.state.at[Lif::v] = out.membrane;
  }
  return out;
}

template <class T, class R>
SPIKEGRAD_SCALAR Kept<T, Lif> keep(Lif, const States<T, Lif>& state, T, const Parameters<T, Lif>&,
                                   const Step<T, Lif>& step, R rule) {
  return {{rule.charge_first ? step.membrane : state.at[Lif::v], state.at[Lif::v]}};
}

template <class R>
SPIKEGRAD_SCALAR constexpr int distinct_kept(Lif, R rule) {
  return rule.charge_first ? 2 : 1;
}

template <class T>
SPIKEGRAD_SCALAR T kept_distance(Lif, const Kept<T, Lif>& kept, const Parameters<T, Lif>& parameters) {
  return kept.at[0] - parameters.at[Lif::threshold];
}

template <class T, class R>
SPIKEGRAD_SCALAR T spike_cotangent(Lif, const Kept<T, Lif>& kept, const Parameters<T, Lif>& parameters,
                                   const StepCotangent<T, Lif>& bar, R rule) {
  const T compared = kept.at[0], decay = parameters.at[Lif::decay], threshold = parameters.at[Lif::threshold];
  if (rule.charge_first) return bar.spike + reset_to_spike(compared, threshold, bar.state.at[Lif::v], rule);
  const T u_bar = bar.state.at[Lif::v] + bar.membrane;
  return bar.spike + reset_to_spike(compared, threshold, rule.reset == Reset::zero ? decay * u_bar : u_bar, rule);
}

template <class T, class R>
SPIKEGRAD_SCALAR Pulled<T, Lif> pulled_back(Lif, const Kept<T, Lif>& kept, T spike,
                                            const Parameters<T, Lif>& parameters, const StepCotangent<T, Lif>& bar,
                                            T distance_bar, R rule) {
  const T v = kept.at[1], decay = parameters.at[Lif::decay], v_bar = bar.state.at[Lif::v];
  const bool subtract = rule.reset == Reset::subtract;
  Pulled<T, Lif> out;
  if (rule.charge_first) {
    out.x = reset_to_membrane(spike, v_bar, rule) + bar.membrane + distance_bar;
    out.parameters.at[Lif::decay] = out.x * v;
    out.state.at[Lif::v] = decay * out.x;
    out.parameters.at[Lif::threshold] = subtract ? -(spike * v_bar + distance_bar) : -distance_bar;
  } else {
    out.x = v_bar + bar.membrane;
    out.parameters.at[Lif::decay] = out.x * reset_to_membrane(spike, v, rule);
    out.state.at[Lif::v] = reset_to_membrane(spike, decay * out.x, rule) + distance_bar;
    out.parameters.at[Lif::threshold] = subtract ? -(spike * out.x + distance_bar) : -distance_bar;
  }
  return out;
}

template <class T>
SPIKEGRAD_SCALAR T last_distance(Lif, const States<T, Lif>& state, const Parameters<T, Lif>& parameters) {
  return state.at[Lif::v] - parameters.at[Lif::threshold];
}

template <class T>
SPIKEGRAD_SCALAR T last_distance_tangent(Lif, const States<T, Lif>& state_dot,
                                         const Parameters<T, Lif>& parameters_dot) {
  return state_dot.at[Lif::v] - parameters_dot.at[Lif::threshold];
}

template <class T>
SPIKEGRAD_SCALAR void pull_back_last_distance(Lif, T distance_bar, States<T, Lif>& state_bar,
                                              Parameters<T, Lif>& parameters_bar) {
  state_bar.at[Lif::v] += distance_bar;
  parameters_bar.at[Lif::threshold] -= distance_bar;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_NEURONS_LIF_H_
