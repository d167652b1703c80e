// A call of lif, its tangent or its pullback, as the kernels of either backend take it: where its arrays lie.
//
// The arrays are [outer, time, inner], and outer x inner are the neurons. Every array over time has the element type T,
// all others Wide<T>. Buffers are aligned to their element and no more, and none is both read and written.
#ifndef SPIKEGRAD_MATH_LIF_CALL_H_
#define SPIKEGRAD_MATH_LIF_CALL_H_

#include <cstdint>

#include "math/half.h"
#include "math/lif.h"

namespace spikegrad {

struct LifShape {
  int64_t outer;
  int64_t steps;
  int64_t inner;
};

// An operand that may be one number for all neurons and steps.
template <class T>
struct Operand {
  const T* data;
  bool is_scalar;
};

// What all three have in common.
template <class T>
struct LifLayer {
  LifShape shape;
  Order order;
  Reset reset;
  bool detach_reset;
  int64_t every;  // steps from one checkpoint to the next; 0 for none
  Operand<T> current;
  Operand<Wide<T>> decay;
  Operand<Wide<T>> threshold;
};

template <class T>
struct LifForward {
  LifLayer<T> layer;
  Operand<Wide<T>> v0;
  T* spikes;
  T* membrane;  // or null
  Wide<T>* v_final;
  Wide<T>* checkpoints;  // v before step 0, every, 2 every...; or null
};

template <class T>
struct LifTangent {
  LifLayer<T> layer;
  Operand<Wide<T>> v0;
  Operand<T> current_dot;
  Operand<Wide<T>> decay_dot, threshold_dot, v0_dot;
  bool v_moves, decay_moves;  // math/lif.h
  T* spikes_dot;
  T* membrane_dot;  // or null
  Wide<T>* v_final_dot;
};

template <class T>
struct LifCotangent {
  LifLayer<T> layer;
  const Wide<T>* checkpoints;
  Operand<T> spikes_bar, membrane_bar;
  Operand<Wide<T>> v_final_bar;
  T* current_bar;
  Wide<T>* v0_bar;
  Wide<T>*decay_bar, *threshold_bar;  // or null, both
};

// Those of a call, the one before step 0 included.
SPIKEGRAD_SCALAR int64_t checkpoints_of(int64_t steps, int64_t every) { return (steps + every - 1) / every; }

// Where the spike of a step is written, or its cotangent read: one row earlier where the step before put it out. Below
// 0 it is nowhere.
SPIKEGRAD_SCALAR int64_t spike_row(Order order, int64_t t) { return order == Order::reset_undecayed ? t - 1 : t; }

}  // namespace spikegrad

#endif  // SPIKEGRAD_MATH_LIF_CALL_H_
