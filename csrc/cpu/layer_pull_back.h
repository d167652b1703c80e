// The pullback of one step for a strip of neurons. Compiled per instruction set (vectorise.h).
#ifndef SPIKEGRAD_CPU_LAYER_PULL_BACK_H_
#define SPIKEGRAD_CPU_LAYER_PULL_BACK_H_

#include <type_traits>

#include "cpu/layer_prefetch.h"
#include "cpu/layer_step.h"
#include "math/heaviside.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// How many of a step's kept values (neurons/neuron.h) are stored.
template <class Neuron, class R>
constexpr int stored_numbers(bool with_parameters) {
  const int distinct = distinct_kept(Neuron{}, R{});
  return with_parameters || distinct < Neuron::kept_always ? distinct : Neuron::kept_always;
}

template <class T, class Neuron>
struct StepBack {
  Arrays<const T, Neuron::kept> kept;  // the stored ones
  Arrays<const T, Neuron::parameters> parameters;
  Arrays<T, Neuron::states> state_bar;  // in: of the states after the step; out: of the states before it
  const T* membrane_bar;
  const T* spike_bar;
  T* x_bar;
  bool with_parameters;
  Arrays<T, Neuron::parameters> parameters_bar;  // accumulated if with_parameters
  int64_t count;
  Prefetch next;
};

// A value that is not stored is read from the last stored array: either it equals that value, or no result depends on
// it.
template <class R, bool kParameters, class T, class Neuron>
SPIKEGRAD_SCALAR Kept<T, Neuron> kept_at(const StepBack<T, Neuron>& strip, int64_t i) {
  constexpr int kStored = stored_numbers<Neuron, R>(kParameters);
  Kept<T, Neuron> kept;
  for (int k = 0; k < Neuron::kept; k++) kept.at[k] = strip.kept.at[k < kStored ? k : kStored - 1][i];
  return kept;
}

template <class T, class Neuron>
SPIKEGRAD_SCALAR StepCotangent<T, Neuron> bar_at(const StepBack<T, Neuron>& strip, int64_t i) {
  return {load(strip.state_bar, i), strip.membrane_bar[i], strip.spike_bar[i]};
}

// Recomputes a step of a segment and keeps the values for its pullback. Replaces the states by the states after the
// step.
template <class T, class Neuron, class R, bool kParameters>
void keep_loop(const StepRows<T, Neuron>& shared, const Arrays<T, Neuron::kept>& shared_kept) {
  constexpr int kStored = stored_numbers<Neuron, R>(kParameters);
  const StepRows<T, Neuron> rows = shared;
  const Arrays<T, Neuron::kept> to = shared_kept;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < rows.count; i++) {
    const Step<T, Neuron> out = step_at<R>(rows, i);
    const Kept<T, Neuron> kept = keep(Neuron{}, load(rows.state, i), rows.x[i], load(rows.parameters, i), out, R{});
    for (int k = 0; k < kStored; k++) to.at[k][i] = kept.at[k];
    store(out.state, rows.state, i);
  }
}

// distance_bar(distance, spike_bar, i) returns g(distance) times the cotangent of the spike.
template <class R, bool kParameters, class T, class Neuron, class DistanceBar>
SPIKEGRAD_SCALAR Pulled<T, Neuron> pulled_back_at(const StepBack<T, Neuron>& strip, int64_t i,
                                                  DistanceBar distance_bar) {
  const StepCotangent<T, Neuron> bar = bar_at(strip, i);
  const Kept<T, Neuron> kept = kept_at<R, kParameters>(strip, i);
  const Parameters<T, Neuron> parameters = load(strip.parameters, i);
  const T distance = kept_distance(Neuron{}, kept, parameters);
  const T spike_bar = spike_cotangent(Neuron{}, kept, parameters, bar, R{});
  return pulled_back(Neuron{}, kept, heaviside(distance), parameters, bar, distance_bar(distance, spike_bar, i),
                     ForwardRule<R>{});
}

template <class R, class T, class Neuron, class DistanceBar>
SPIKEGRAD_SCALAR void pull_back_loop(const StepBack<T, Neuron>& shared, DistanceBar distance_bar) {
  const StepBack<T, Neuron> strip = shared;
  if (strip.with_parameters) {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < strip.count; i++) {
      const Pulled<T, Neuron> pulled = pulled_back_at<R, true>(strip, i, distance_bar);
      strip.x_bar[i] = pulled.x;
      store(pulled.state, strip.state_bar, i);
      add(pulled.parameters, strip.parameters_bar, i);
    }
  } else {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < strip.count; i++) {
      const Pulled<T, Neuron> pulled = pulled_back_at<R, false>(strip, i, distance_bar);
      strip.x_bar[i] = pulled.x;
      store(pulled.state, strip.state_bar, i);
    }
  }
}

template <class R, class T, class Neuron>
SPIKEGRAD_SCALAR T kept_distance_at(const StepBack<T, Neuron>& strip, int64_t i) {
  return kept_distance(Neuron{}, kept_at<R, false>(strip, i), load(strip.parameters, i));
}

template <class T, class Neuron, class R>
void distance_and_spike_cotangent_loop(const StepBack<T, Neuron>& shared, T* distance, T* spike_bar) {
  const StepBack<T, Neuron> strip = shared;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < strip.count; i++) {
    distance[i] = kept_distance_at<R>(strip, i);
    spike_bar[i] =
        spike_cotangent(Neuron{}, kept_at<R, false>(strip, i), load(strip.parameters, i), bar_at(strip, i), R{});
  }
}

template <class T, class Neuron, class R>
void pull_back_given(const StepBack<T, Neuron>& strip, const T* distance_bar) {
  pull_back_loop<R>(strip, [distance_bar](T, T, int64_t i) { return distance_bar[i]; });
}

// Uses the fast path of order 0 if there is one, else the elementwise kernel.
template <class T, class Neuron, class R, class Family>
void pull_back(const StepBack<T, Neuron>& shared, const Family& g) {
  const bool done = with_value(g, T{}, [&](const auto& shared_value) {
    const StepBack<T, Neuron> strip = shared;
    const auto value = shared_value;
    alignas(kCacheLine) Powers<T, std::decay_t<decltype(value)>> powers;
    reduce_loop([strip](int64_t i) { return kept_distance_at<R>(strip, i); }, strip.count, value, powers);
    for (int64_t i = 0; i < strip.count; i += kPrefetchStep) {
      prefetch(strip.next, i);
      if (i + kPrefetchStep <= strip.count) {
        for (auto& change : powers.change) exp2_minus_one_loop(change + i, kPrefetchStep);
      } else {
        for (auto& change : powers.change) exp2_minus_one_loop(change + i, strip.count - i);
      }
    }
    pull_back_loop<R>(
        strip, [&](T distance, T spike_bar, int64_t i) { return finish_at(distance, spike_bar, i, value, powers); });
  });
  if (done) return;
  alignas(kCacheLine) T distance[kStrip], spike_bar[kStrip];
  distance_and_spike_cotangent_loop<T, Neuron, R>(shared, distance, spike_bar);
  elementwise<T>().of(g).array_t(distance, spike_bar, spike_bar, shared.count, g);
  pull_back_given<T, Neuron, R>(shared, spike_bar);
}

// Pulls back the spike after the last step, given the cotangent of its distance.
template <class T, class Neuron>
void pull_back_last_spike(const T* distance_bar, const Arrays<T, Neuron::states>& shared_state_bar,
                          const Arrays<T, Neuron::parameters>& shared_parameters_bar, int64_t count) {
  const Arrays<T, Neuron::states> state_bar = shared_state_bar;
  const Arrays<T, Neuron::parameters> parameters_bar = shared_parameters_bar;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) {
    States<T, Neuron> of_state = load(state_bar, i);
    Parameters<T, Neuron> of_parameters = load(parameters_bar, i);
    pull_back_last_distance(Neuron{}, distance_bar[i], of_state, of_parameters);
    store(of_state, state_bar, i);
    store(of_parameters, parameters_bar, i);
  }
}

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_PULL_BACK_H_
