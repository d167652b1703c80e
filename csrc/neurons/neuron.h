// What a neuron is to the kernels of a layer. Their drivers (cpu/, cuda/) go through time and know nothing else of it.
//
//   struct Neuron
//     states                    how many numbers a neuron hands from step to step
//     parameters                how many numbers it has once, such as a decay
//     kept                      how many numbers of a step its pullback needs: the first `kept_always` of them for the
//                               cotangents of current and states, all of them for the parameters' cotangents
//
//   step(neuron, state, x, parameters, rule)                        -> Step
//   distance_tangent(neuron, state, x, parameters, dot, rule)       -> tangent of Step::distance
//   state_tangent(neuron, state, x, parameters, step, dot, spike_dot, rule)  -> StateTangent
//   keep(neuron, state, x, parameters, step, rule)                  -> Kept, from the state before the step
//   distinct_kept(neuron, rule)                                     -> how many of them differ under a StaticRule, a
//                               constant: those that follow equal the last of these, and the CPU does not store them
//   kept_distance(neuron, kept, parameters)                         -> Step::distance again
//   spike_cotangent(neuron, kept, parameters, bar, rule)            -> cotangent of the spike, all told
//   pulled_back(neuron, kept, spike, parameters, bar, distance_bar, rule)  -> Pulled
//
// and for the spike that order reset_undecayed puts out after the last step, from the state alone:
//
//   last_distance(neuron, state, parameters)
//   last_distance_tangent(neuron, state_dot, parameters_dot)
//   pull_back_last_distance(neuron, distance_bar, state_bar, parameters_bar)   adds to both
//
// A step is cut in two where the surrogate gradient g comes in between: spike_dot = g(distance) * distance_tangent, and
// distance_bar = g(distance) * spike_cotangent. So the loops of the CPU compute g for a block of neurons at once.
//
// `neuron` is an empty object that selects the overload. `rule` is a StaticRule where the compiler knows the rule, or a
// Rule. A new neuron is a header like lif.h.
#ifndef SPIKEGRAD_NEURONS_NEURON_H_
#define SPIKEGRAD_NEURONS_NEURON_H_

#include "math/scalar.h"

namespace spikegrad {

enum class Order : int32_t { charge_fire_reset, reset_undecayed, fire_charge };
enum class Reset : int32_t { none, subtract, zero };

// The two kinds of step, by which of charge and spike comes first: reset_undecayed is a fire_charge whose spikes are
// written one row earlier.
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

template <class T, int kCount>
struct Numbers {
  T at[kCount];
};
template <class T, class Neuron>
using States = Numbers<T, Neuron::states>;
template <class T, class Neuron>
using Parameters = Numbers<T, Neuron::parameters>;
template <class T, class Neuron>
using Kept = Numbers<T, Neuron::kept>;

template <class T, class Neuron>
struct Step {
  T distance;  // of what fires from its threshold: the spike is 1 where it is >= 0
  T spike;
  T membrane;  // as the layer puts it out
  States<T, Neuron> state;
};

// Which tangents move. Those that don't are 0 and have no term: 0 times infinity would be NaN.
template <class Neuron>
struct Moves {
  bool state[Neuron::states];
  bool parameter[Neuron::parameters];
};

// The tangents that enter a step.
template <class T, class Neuron>
struct StepTangent {
  States<T, Neuron> state;
  T x;
  Parameters<T, Neuron> parameters;
  Moves<Neuron> moves;
};

template <class T, class Neuron>
struct StateTangent {
  T membrane;
  States<T, Neuron> state;
};

// The cotangents that enter a step backwards: the new state's, the output membrane's and the spike's.
template <class T, class Neuron>
struct StepCotangent {
  States<T, Neuron> state;
  T membrane;
  T spike;
};

// The cotangents that leave it.
template <class T, class Neuron>
struct Pulled {
  States<T, Neuron> state;
  T x;
  Parameters<T, Neuron> parameters;
};

}  // namespace spikegrad

#endif  // SPIKEGRAD_NEURONS_NEURON_H_
