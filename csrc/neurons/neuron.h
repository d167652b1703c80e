// The interface of a neuron. The layer drivers (cpu/, cuda/) loop over time and use a neuron only through it.
//
//   struct Neuron
//     states, state_names       the values carried from step to step: their number, and names for attributes and errors
//     parameters, parameter_names  likewise, the values per neuron that are constant in time, such as a decay
//     kept                      number of values of a step that its pullback needs: the first `kept_always` of them for
//                               the cotangents of current and states, all of them for the parameters' cotangents
//
//   step(neuron, state, x, parameters, rule)                        -> Step
//   distance_tangent(neuron, state, x, parameters, dot, rule)       -> tangent of Step::distance
//   state_tangent(neuron, state, x, parameters, step, dot, spike_dot, rule)  -> StateTangent
//   keep(neuron, state, x, parameters, step, rule)                  -> Kept, from the state before the step
//   distinct_kept(neuron, rule)                                     -> number of distinct values in Kept, a constant
//                               under a StaticRule; all later values equal the last distinct one, and the CPU does not
//                               store them
//   kept_distance(neuron, kept, parameters)                         -> Step::distance, recomputed
//   spike_cotangent(neuron, kept, parameters, bar, rule)            -> total cotangent of the spike
//   pulled_back(neuron, kept, spike, parameters, bar, distance_bar, rule)  -> Pulled
//
// and, for the spike that reset_undecayed writes after the last step, computed from the state alone:
//
//   last_distance(neuron, state, parameters)
//   last_distance_tangent(neuron, state_dot, parameters_dot)
//   pull_back_last_distance(neuron, distance_bar, state_bar, parameters_bar)   adds to both
//
// A step has two halves, because the surrogate gradient g comes between them: spike_dot = g(distance) *
// distance_tangent, and distance_bar = g(distance) * spike_cotangent. The CPU loops can thus compute g for a block of
// neurons at once.
//
// `neuron` is an empty object that selects the overload. `rule` is a StaticRule if the rule is known at compile time,
// and a Rule otherwise. To add a neuron, write a header like lif.h.
#ifndef SPIKEGRAD_NEURONS_NEURON_H_
#define SPIKEGRAD_NEURONS_NEURON_H_

#include "math/scalar.h"

namespace spikegrad {

enum class StepOrder : int32_t { charge_fire_reset, reset_undecayed, fire_charge };
enum class Reset : int32_t { none, subtract, zero };

// Two kinds of step suffice: charge first or spike first. reset_undecayed is fire_charge with its spikes written one
// row earlier.
struct Rule {
  bool charge_first;
  Reset reset;
  bool detach_reset;  // derivatives treat the spike in the reset as a constant
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
  T distance;  // membrane minus threshold; the neuron spikes where it is >= 0
  T spike;
  T membrane;  // the layer's output membrane
  States<T, Neuron> state;
};

// Which tangents are nonzero. The others contribute no term, because 0 times infinity would be NaN.
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

// The cotangents that enter the pullback of a step: of the new state, the output membrane and the spike.
template <class T, class Neuron>
struct StepCotangent {
  States<T, Neuron> state;
  T membrane;
  T spike;
};

// The cotangents that leave the pullback of a step.
template <class T, class Neuron>
struct Pulled {
  States<T, Neuron> state;
  T x;
  Parameters<T, Neuron> parameters;
};

}  // namespace spikegrad

#endif  // SPIKEGRAD_NEURONS_NEURON_H_
