// One time step of a leaky integrate-and-fire neuron, its tangent and its pullback.
//
// v is the membrane that is handed from step to step, u the membrane that is compared with the threshold, z = u -
// threshold, s the spike, g the surrogate gradient. With x the current, the orders of a step are
//
//   charge_fire_reset   u = decay v + x          s = H(u - threshold)     v' = u - s threshold | u (1 - s) | u
//   fire_charge         s = H(v - threshold)     v' = u = decay v + x - s threshold | decay v (1 - s) + x | decay v + x
//   reset_undecayed     the same, but s was put out one step earlier: s_t = H(u_t - threshold)
//
// by the reset: subtract | zero | none. So there are two kinds of step, which differ in whether the charge comes first,
// and reset_undecayed is the second kind with its spikes written one row earlier.
//
// A step is cut in two where g comes in between, so that the loops of the CPU can compute g for a block of neurons at
// once. Sums and products are rounded one by one, as NumPy and PyTorch do it: spikes are equal on every device, and
// equal to theirs.
#ifndef SPIKEGRAD_MATH_LIF_H_
#define SPIKEGRAD_MATH_LIF_H_

#include "math/heaviside.h"
#include "math/scalar.h"

namespace spikegrad {

enum class Order : int32_t { charge_fire_reset, reset_undecayed, fire_charge };
enum class Reset : int32_t { none, subtract, zero };

// What is known of a step when the kernels are compiled (CPU) or launched (CUDA).
struct Rule {
  bool charge_first;
  Reset reset;
  bool detach_reset;  // the reset's spike is a constant to the derivatives
};

template <bool kChargeFirst, Reset kReset, bool kDetachReset>
struct StaticRule {
  static constexpr bool charge_first = kChargeFirst;
  static constexpr Reset reset = kReset;
  static constexpr bool detach_reset = kDetachReset;
};

// v less what a reset takes: that of an infinite threshold is NaN, as in the formula.
template <class T, class R>
SPIKEGRAD_SCALAR T after_reset(T u, T spike, T threshold, R rule) {
  if (rule.reset == Reset::subtract) return u - spike * threshold;
  if (rule.reset == Reset::zero) return u * (1 - spike);
  return u;
}

// Its derivative along (u, spike, threshold).
template <class T, class R>
SPIKEGRAD_SCALAR T after_reset_tangent(T u, T spike, T threshold, T u_dot, T spike_dot, T threshold_dot, R rule) {
  // A detached spike has no term: 0 times an infinite membrane or threshold would be NaN.
  if (rule.reset == Reset::subtract) {
    return u_dot - (rule.detach_reset ? spike * threshold_dot : spike_dot * threshold + spike * threshold_dot);
  }
  if (rule.reset == Reset::zero) return rule.detach_reset ? u_dot * (1 - spike) : u_dot * (1 - spike) - u * spike_dot;
  return u_dot;
}

// The cotangents of spike and u by way of the reset, given that of its result.
template <class T, class R>
SPIKEGRAD_SCALAR T reset_to_spike(T u, T threshold, T after_bar, R rule) {
  if (rule.detach_reset || rule.reset == Reset::none) return 0;
  return rule.reset == Reset::subtract ? -threshold * after_bar : -u * after_bar;
}

template <class T, class R>
SPIKEGRAD_SCALAR T reset_to_membrane(T spike, T after_bar, R rule) {
  return rule.reset == Reset::zero ? after_bar * (1 - spike) : after_bar;
}

template <class T>
struct Step {
  T distance;  // z
  T spike;
  T membrane;  // u
  T state;     // v'
};

template <class T, class R>
SPIKEGRAD_SCALAR Step<T> step(T v, T x, T decay, T threshold, R rule) {
  Step<T> out;
  if (rule.charge_first) {
    out.membrane = decay * v + x;
    out.distance = out.membrane - threshold;
    out.spike = heaviside(out.distance);
    out.state = after_reset(out.membrane, out.spike, threshold, rule);
  } else {
    out.distance = v - threshold;
    out.spike = heaviside(out.distance);
    // A membrane that is set to 0 is so before it decays; what is subtracted does not decay.
    const bool before = rule.reset == Reset::zero;
    const T charged = decay * (before ? after_reset(v, out.spike, threshold, rule) : v) + x;
    out.membrane = out.state = before ? charged : after_reset(charged, out.spike, threshold, rule);
  }
  return out;
}

// The tangents that enter a step.
template <class T>
struct StepTangent {
  T v, x, decay, threshold;
  bool v_moves, decay_moves;  // if not, the tangent is 0 and has no term: 0 times infinity would be NaN
};

// The tangent of decay v.
template <class T>
SPIKEGRAD_SCALAR T decayed_tangent(T v, T v_dot, T decay, StepTangent<T> dot) {
  const T by_v = dot.v_moves ? decay * v_dot : T(0);
  return dot.decay_moves ? by_v + dot.decay * v : by_v;
}

// That of the distance, which times g is that of the spike.
template <class T, class R>
SPIKEGRAD_SCALAR T distance_tangent(T v, T decay, StepTangent<T> dot, R rule) {
  if (!rule.charge_first) return dot.v - dot.threshold;
  return (decayed_tangent(v, dot.v, decay, dot) + dot.x) - dot.threshold;
}

template <class T>
struct StateTangent {
  T membrane, state;
};

template <class T, class R>
SPIKEGRAD_SCALAR StateTangent<T> state_tangent(T v, T decay, T threshold, const Step<T>& step, StepTangent<T> dot,
                                               T spike_dot, R rule) {
  StateTangent<T> out;
  if (rule.charge_first) {
    out.membrane = decayed_tangent(v, dot.v, decay, dot) + dot.x;
    out.state = after_reset_tangent(step.membrane, step.spike, threshold, out.membrane, spike_dot, dot.threshold, rule);
  } else {
    const bool before = rule.reset == Reset::zero;
    const T reset_v = before ? after_reset(v, step.spike, threshold, rule) : v;
    const T reset_dot =
        before ? after_reset_tangent(v, step.spike, threshold, dot.v, spike_dot, dot.threshold, rule) : dot.v;
    const T charged = decayed_tangent(reset_v, reset_dot, decay, dot) + dot.x;
    // That of a difference does not need what it was taken from.
    out.state =
        before ? charged : after_reset_tangent(charged, step.spike, threshold, charged, spike_dot, dot.threshold, rule);
    out.membrane = out.state;
  }
  return out;
}

// Backwards, a step needs what was compared with the threshold: u where the charge comes first, else v.
template <class T, class R>
SPIKEGRAD_SCALAR T compared(T v, const Step<T>& step, R rule) {
  return rule.charge_first ? step.membrane : v;
}

// The cotangents that enter a step backwards: those of v', of u beside what v' gives it, and of the spike.
template <class T>
struct StepCotangent {
  T state, membrane, spike;
};

// That of the spike, all told, which times g is that of the distance.
template <class T, class R>
SPIKEGRAD_SCALAR T spike_cotangent(T compared, T decay, T threshold, StepCotangent<T> bar, R rule) {
  if (rule.charge_first) return bar.spike + reset_to_spike(compared, threshold, bar.state, rule);
  const T u_bar = bar.state + bar.membrane;
  return bar.spike + reset_to_spike(compared, threshold, rule.reset == Reset::zero ? decay * u_bar : u_bar, rule);
}

template <class T>
struct Pulled {
  T v, x, decay, threshold;
};

// v serves that of decay alone.
template <class T, class R>
SPIKEGRAD_SCALAR Pulled<T> pulled_back(T v, T spike, T decay, StepCotangent<T> bar, T distance_bar, R rule) {
  Pulled<T> out;
  const bool subtract = rule.reset == Reset::subtract;
  if (rule.charge_first) {
    out.x = reset_to_membrane(spike, bar.state, rule) + bar.membrane + distance_bar;
    out.decay = out.x * v;
    out.v = decay * out.x;
    out.threshold = subtract ? -(spike * bar.state + distance_bar) : -distance_bar;
  } else {
    out.x = bar.state + bar.membrane;
    out.decay = out.x * reset_to_membrane(spike, v, rule);
    out.v = reset_to_membrane(spike, decay * out.x, rule) + distance_bar;
    out.threshold = subtract ? -(spike * out.x + distance_bar) : -distance_bar;
  }
  return out;
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_LIF_H_
