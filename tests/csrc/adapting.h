// A neuron for tests of the layer drivers (interface: neuron.h), with two states and five parameters. The membrane is
// v. The adaptation w grows with the membrane and the spikes, weakens the current and raises the threshold. With theta
// = threshold + w,
//
//   charge first   w' = beta w + a v           v' = alpha v + (1 - alpha) (x - w')           s = H(v' - threshold - w')
//                  then the reset of v' by theta', and w' + b s
//   fire first     s = H(v - theta)            w' = beta w + a v + b s
//                  v' = alpha reset(v) + (1 - alpha) (x - w')
//
// detach_reset detaches the spike in the reset, but not the spike in w.
#pragma once

#include "math/heaviside.h"
#include "math/scalar.h"
#include "neurons/neuron.h"
#include "neurons/reset.h"

namespace spikegrad {

struct Adapting {
  static constexpr int states = 2;
  static constexpr const char* state_names[] = {"v", "w"};
  static constexpr int parameters = 5;
  static constexpr const char* parameter_names[] = {"alpha", "beta", "a", "b", "threshold"};

  // v and w that the spike depends on, v and w before the step, and x. If the spike comes first, both pairs are equal.
  static constexpr int kept = 5;
  static constexpr int kept_always = 2;
};

template <class T, class R>
SPIKEGRAD_SCALAR Step<T, Adapting> step(Adapting, const States<T, Adapting>& state, T x,
                                        const Parameters<T, Adapting>& p, R rule) {
  const T v = state.at[0], w = state.at[1];
  const T alpha = p.at[0], beta = p.at[1], a = p.at[2], b = p.at[3], threshold = p.at[4];
  Step<T, Adapting> out;
  if (rule.charge_first) {
    const T charged_w = beta * w + a * v, theta = threshold + charged_w;
    out.membrane = alpha * v + (1 - alpha) * (x - charged_w);
    out.distance = out.membrane - theta;
    out.spike = heaviside(out.distance);
    out.state = {{after_reset(out.membrane, out.spike, theta, rule), charged_w + b * out.spike}};
  } else {
    const T theta = threshold + w;
    out.distance = v - theta;
    out.spike = heaviside(out.distance);
    const T next_w = beta * w + a * v + b * out.spike;
    out.membrane = alpha * after_reset(v, out.spike, theta, rule) + (1 - alpha) * (x - next_w);
    out.state = {{out.membrane, next_w}};
  }
  return out;
}

// The tangent of beta w + a v.
template <class T>
SPIKEGRAD_SCALAR T charged_w_tangent(const States<T, Adapting>& state, const Parameters<T, Adapting>& p,
                                     const StepTangent<T, Adapting>& dot) {
  return p.at[1] * dot.state.at[1] + dot.parameters.at[1] * state.at[1] + p.at[2] * dot.state.at[0] +
         dot.parameters.at[2] * state.at[0];
}

// The tangent of alpha v + (1 - alpha) (x - w).
template <class T>
SPIKEGRAD_SCALAR T charged_v_tangent(T v, T w, T x, T v_dot, T w_dot, T x_dot, T alpha, T alpha_dot) {
  return alpha * v_dot + alpha_dot * (v - (x - w)) + (1 - alpha) * (x_dot - w_dot);
}

template <class T, class R>
SPIKEGRAD_SCALAR T distance_tangent(Adapting, const States<T, Adapting>& state, T x, const Parameters<T, Adapting>& p,
                                    const StepTangent<T, Adapting>& dot, R rule) {
  const T threshold_dot = dot.parameters.at[4];
  if (!rule.charge_first) return dot.state.at[0] - (threshold_dot + dot.state.at[1]);
  const T charged_w = p.at[1] * state.at[1] + p.at[2] * state.at[0], w_dot = charged_w_tangent(state, p, dot);
  const T u_dot =
      charged_v_tangent(state.at[0], charged_w, x, dot.state.at[0], w_dot, dot.x, p.at[0], dot.parameters.at[0]);
  return u_dot - (threshold_dot + w_dot);
}

template <class T, class R>
SPIKEGRAD_SCALAR StateTangent<T, Adapting> state_tangent(Adapting, const States<T, Adapting>& state, T x,
                                                         const Parameters<T, Adapting>& p,
                                                         const Step<T, Adapting>& step,
                                                         const StepTangent<T, Adapting>& dot, T spike_dot, R rule) {
  const T v = state.at[0], w = state.at[1], threshold_dot = dot.parameters.at[4];
  const T charged_w = p.at[1] * w + p.at[2] * v, charged_w_dot = charged_w_tangent(state, p, dot);
  const T by_spike = p.at[3] * spike_dot + dot.parameters.at[3] * step.spike;
  StateTangent<T, Adapting> out;
  out.state.at[1] = charged_w_dot + by_spike;
  if (rule.charge_first) {
    out.membrane =
        charged_v_tangent(v, charged_w, x, dot.state.at[0], charged_w_dot, dot.x, p.at[0], dot.parameters.at[0]);
    out.state.at[0] = after_reset_tangent(step.membrane, step.spike, p.at[4] + charged_w, out.membrane, spike_dot,
                                          threshold_dot + charged_w_dot, rule);
  } else {
    const T theta = p.at[4] + w;
    const T reset_dot =
        after_reset_tangent(v, step.spike, theta, dot.state.at[0], spike_dot, threshold_dot + dot.state.at[1], rule);
    out.membrane = charged_v_tangent(after_reset(v, step.spike, theta, rule), step.state.at[1], x, reset_dot,
                                     out.state.at[1], dot.x, p.at[0], dot.parameters.at[0]);
    out.state.at[0] = out.membrane;
  }
  return out;
}

template <class T, class R>
SPIKEGRAD_SCALAR Kept<T, Adapting> keep(Adapting, const States<T, Adapting>& state, T x,
                                        const Parameters<T, Adapting>& p, const Step<T, Adapting>& step, R rule) {
  const T v = state.at[0], w = state.at[1];
  if (!rule.charge_first) return {{v, w, x, x, x}};
  return {{step.membrane, p.at[1] * w + p.at[2] * v, v, w, x}};
}

template <class R>
SPIKEGRAD_SCALAR constexpr int distinct_kept(Adapting, R rule) {
  return rule.charge_first ? 5 : 3;
}

template <class T>
SPIKEGRAD_SCALAR T kept_distance(Adapting, const Kept<T, Adapting>& kept, const Parameters<T, Adapting>& p) {
  return kept.at[0] - (p.at[4] + kept.at[1]);
}

template <class T, class R>
SPIKEGRAD_SCALAR T spike_cotangent(Adapting, const Kept<T, Adapting>& kept, const Parameters<T, Adapting>& p,
                                   const StepCotangent<T, Adapting>& bar, R rule) {
  const T theta = p.at[4] + kept.at[1], v_bar = bar.state.at[0], w_bar = bar.state.at[1];
  if (rule.charge_first) return bar.spike + p.at[3] * w_bar + reset_to_spike(kept.at[0], theta, v_bar, rule);
  const T u_bar = v_bar + bar.membrane;
  return bar.spike + p.at[3] * (w_bar - (1 - p.at[0]) * u_bar) +
         reset_to_spike(kept.at[0], theta, p.at[0] * u_bar, rule);
}

template <class T, class R>
SPIKEGRAD_SCALAR Pulled<T, Adapting> pulled_back(Adapting, const Kept<T, Adapting>& kept, T spike,
                                                 const Parameters<T, Adapting>& p,
                                                 const StepCotangent<T, Adapting>& bar, T distance_bar, R rule) {
  const T alpha = p.at[0], beta = p.at[1], a = p.at[2], b = p.at[3];
  const T v_bar = bar.state.at[0], w_bar = bar.state.at[1];
  const bool subtract = rule.reset == Reset::subtract;
  Pulled<T, Adapting> out;
  if (rule.charge_first) {
    const T v = kept.at[2], w = kept.at[3], x = kept.at[4];
    const T u_bar = reset_to_membrane(spike, v_bar, rule) + bar.membrane + distance_bar;
    const T theta_bar = subtract ? -(spike * v_bar + distance_bar) : -distance_bar;
    const T charged_w_bar = w_bar + theta_bar - (1 - alpha) * u_bar;
    out.x = (1 - alpha) * u_bar;
    out.parameters = {{u_bar * (v - (x - kept.at[1])), charged_w_bar * w, charged_w_bar * v, w_bar * spike, theta_bar}};
    out.state = {{alpha * u_bar + a * charged_w_bar, beta * charged_w_bar}};
  } else {
    const T v = kept.at[0], w = kept.at[1], x = kept.at[2];
    const T u_bar = v_bar + bar.membrane, next_w_bar = w_bar - (1 - alpha) * u_bar, reset_bar = alpha * u_bar;
    const T theta_bar = subtract ? -(spike * reset_bar + distance_bar) : -distance_bar;
    const T reset_v = after_reset(v, spike, p.at[4] + w, rule), next_w = beta * w + a * v + b * spike;
    out.x = (1 - alpha) * u_bar;
    out.parameters = {
        {u_bar * (reset_v - (x - next_w)), next_w_bar * w, next_w_bar * v, next_w_bar * spike, theta_bar}};
    out.state = {
        {reset_to_membrane(spike, reset_bar, rule) + a * next_w_bar + distance_bar, beta * next_w_bar + theta_bar}};
  }
  return out;
}

template <class T>
SPIKEGRAD_SCALAR T last_distance(Adapting, const States<T, Adapting>& state, const Parameters<T, Adapting>& p) {
  return state.at[0] - (p.at[4] + state.at[1]);
}

template <class T>
SPIKEGRAD_SCALAR T last_distance_tangent(Adapting, const States<T, Adapting>& state_dot,
                                         const Parameters<T, Adapting>& p_dot) {
  return state_dot.at[0] - (p_dot.at[4] + state_dot.at[1]);
}

template <class T>
SPIKEGRAD_SCALAR void pull_back_last_distance(Adapting, T distance_bar, States<T, Adapting>& state_bar,
                                              Parameters<T, Adapting>& p_bar) {
  state_bar.at[0] += distance_bar;
  state_bar.at[1] -= distance_bar;
  p_bar.at[4] -= distance_bar;
}

}  // namespace spikegrad
