// Compiled once an instruction set, as kernels.cc is; the same holds of linkage.
#include "cpu/lif_kernels.h"

#include <cstdlib>
#include <type_traits>

#include "cpu/conversion_loops.h"
#include "cpu/kernels.h"
#include "cpu/value_loops.h"
#include "cpu/vectorise.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// Bytes that a block recomputes between two checkpoints, at most: narrower blocks, for the sake of the second-level
// cache, lost more than they gained (with 256 KiB 0.8 times as fast, with 128 KiB 0.7).
constexpr int64_t kSegmentBytes = 1 << 20;
constexpr int64_t kSmallestBlock = 64;

struct Block {
  int64_t begin;
  int64_t count;
  int64_t outer;   // of the first neuron
  int64_t offset;  // of the first neuron within its row
};

template <class Use>
void for_each_block(const LayerShape& shape, int64_t begin, int64_t end, int64_t most, Use use) {
  for (int64_t i = begin; i < end; i += most) {
    use(Block{i, end - i < most ? end - i : most, i / shape.inner, i % shape.inner});
  }
}

// use(strip, its place in the block).
template <class Use>
void for_each_strip(const LayerShape& shape, const Block& block, Use use) {
  for_each_block(shape, block.begin, block.begin + block.count, kStrip,
                 [&](const Block& strip) { use(strip, strip.begin - block.begin); });
}

// An array [outer, length, inner], row by row for the neurons of a block.
template <class T>
struct Rows {
  T* data;
  int64_t length;
  int64_t inner;
};

template <class T>
int64_t index(const Rows<T>& rows, const Block& block, int64_t t) {
  return (block.outer * rows.length + t) * rows.inner + block.offset;
}

template <class T>
T* address(const Rows<T>& rows, const Block& block, int64_t t) {
  return rows.data + index(rows, block, t);
}

template <class T>
bool is_contiguous(const Rows<T>& rows, const Block& block) {
  return block.offset + block.count <= rows.inner;
}

// Calls use(stretch in memory, its place in the block, its length) for a block that is not contiguous.
template <class T, class Use>
void for_each_stretch(const Rows<T>& rows, const Block& block, int64_t t, Use use) {
  int64_t outer = block.outer, offset = block.offset;
  for (int64_t i = 0; i < block.count;) {
    const int64_t rest = rows.inner - offset, left = block.count - i, count = rest < left ? rest : left;
    use(rows.data + (outer * rows.length + t) * rows.inner + offset, i, count);
    i += count;
    outer++;
    offset = 0;
  }
}

void widen_loop(const float* from, float* to, int64_t size) {
  memcpy(to, from, static_cast<size_t>(size) * sizeof *to);
}
void widen_loop(const double* from, double* to, int64_t size) {
  memcpy(to, from, static_cast<size_t>(size) * sizeof *to);
}
void narrow_loop(const float* from, float* to, int64_t size) { widen_loop(from, to, size); }
void narrow_loop(const double* from, double* to, int64_t size) { widen_loop(from, to, size); }

template <class T>
void copy_row_in(const Rows<const T>& rows, const Block& block, int64_t t, Wide<T>* buffer) {
  for_each_stretch(rows, block, t, [&](const T* from, int64_t i, int64_t count) {
    if (count == 1) {  // batched along the last axis there are nothing but such stretches
      buffer[i] = widen(*from);
    } else {
      widen_loop(from, buffer + i, count);
    }
  });
}

template <class T>
void copy_row_out(const Rows<T>& rows, const Block& block, int64_t t, const Wide<T>* buffer) {
  for_each_stretch(rows, block, t, [&](T* to, int64_t i, int64_t count) {
    if (count == 1) {
      *to = narrow(buffer[i], T{});
    } else {
      narrow_loop(buffer + i, to, count);
    }
  });
}

// A row as numbers to compute with: where it is, or else in the buffer.
template <class T>
const Wide<T>* row(const Rows<const T>& rows, const Block& block, int64_t t, Wide<T>* buffer) {
  if constexpr (std::is_same_v<T, Wide<T>>) {
    if (is_contiguous(rows, block)) return address(rows, block, t);
  }
  copy_row_in(rows, block, t, buffer);
  return buffer;
}

// Where to write a row: in its place, or else in the buffer, from which `written` takes it.
template <class T>
Wide<T>* row_to_write(const Rows<T>& rows, const Block& block, int64_t t, Wide<T>* buffer) {
  if constexpr (std::is_same_v<T, Wide<T>>) {
    if (is_contiguous(rows, block)) return address(rows, block, t);
  }
  return buffer;
}

template <class T>
void written(const Rows<T>& rows, const Block& block, int64_t t, const Wide<T>* row, const Wide<T>* buffer) {
  if (row == buffer) copy_row_out(rows, block, t, buffer);
}

template <class T>
void fill(T* to, int64_t count, T value) {
  for (int64_t i = 0; i < count; i++) to[i] = value;
}

// What the neurons of a block have once, an operand that may be one number: then of a strip's length, for all strips.
template <class T>
struct State {
  T value[kBlock];
  int64_t step;

  State(const Operand<T>& operand, const Block& block) : step(operand.is_scalar ? 0 : 1) {
    if (operand.is_scalar) {
      fill(value, block.count < kStrip ? block.count : kStrip, *operand.data);
    } else {
      memcpy(value, operand.data + block.begin, static_cast<size_t>(block.count) * sizeof(T));
    }
  }
  const T* at(int64_t i) const { return value + i * step; }
};

// The same as an array of its own, to be changed.
template <class T>
void read_state(const Operand<T>& operand, const Block& block, T* to) {
  if (operand.is_scalar) {
    fill(to, block.count, *operand.data);
  } else {
    memcpy(to, operand.data + block.begin, static_cast<size_t>(block.count) * sizeof(T));
  }
}

template <class T>
void write_state(const T* from, const Block& block, T* to) {
  memcpy(to + block.begin, from, static_cast<size_t>(block.count) * sizeof(T));
}

// An operand over time, which may be one number: then the buffer holds it from the start.
template <class T>
struct OverTime {
  Rows<const T> rows;
  bool is_scalar;
  Wide<T> buffer[kStrip];

  OverTime(const Operand<T>& operand, const LayerShape& shape)
      : rows{operand.data, shape.steps, shape.inner}, is_scalar(operand.is_scalar) {
    if (is_scalar) fill(buffer, kStrip, widen(*operand.data));
  }
  const Wide<T>* at(const Block& strip, int64_t t) { return is_scalar ? buffer : row(rows, strip, t, buffer); }
};

// Rows of tangents and of cotangents.
template <class T>
struct TangentRows {
  const T *v, *x, *decay, *threshold;
  Moves<Lif> moves;
};

template <class T>
struct CotangentRows {
  const T *state, *membrane, *spike;
};

// The loops over a block of neurons in one step, for one rule.

template <class T>
struct StepLoops {
  // v becomes v'. u may be null.
  void (*forward)(const T* x, T* v, const T* decay, const T* threshold, T* spike, T* u, int64_t count);
  // The distance and its tangent; v and v_dot stay.
  void (*tangent)(const T* x, const T* v, const T* decay, const T* threshold, const TangentRows<T>& dot, T* distance,
                  T* distance_dot, int64_t count);
  // v and v_dot become v' and v'_dot; u_dot is that of u.
  void (*advance)(const T* x, T* v, const T* decay, const T* threshold, const TangentRows<T>& dot, T* v_dot,
                  const T* spike_dot, T* u_dot, int64_t count);
  // v becomes v'; `compared` is what was compared with the threshold (math/lif.h).
  void (*recompute)(const T* x, T* v, const T* decay, const T* threshold, T* compared, int64_t count);
};

template <class T>
SPIKEGRAD_SCALAR Parameters<T, Lif> parameters_at(const T* decay, const T* threshold, int64_t i) {
  return {{decay[i], threshold[i]}};
}

template <class T, class R>
SPIKEGRAD_SCALAR Step<T, Lif> step_at(const T* x, const T* v, const T* decay, const T* threshold, int64_t i) {
  return step(Lif{}, States<T, Lif>{{v[i]}}, x[i], parameters_at(decay, threshold, i), R{});
}

template <class T, class R>
void forward_loop(const T* x, T* v, const T* decay, const T* threshold, T* spike, T* u, int64_t count) {
  if (u) {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) {
      const Step<T, Lif> out = step_at<T, R>(x, v, decay, threshold, i);
      spike[i] = out.spike;
      u[i] = out.membrane;
      v[i] = out.state.at[0];
    }
  } else {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) {
      const Step<T, Lif> out = step_at<T, R>(x, v, decay, threshold, i);
      spike[i] = out.spike;
      v[i] = out.state.at[0];
    }
  }
}

template <class T>
SPIKEGRAD_SCALAR StepTangent<T, Lif> at(const TangentRows<T>& dot, int64_t i) {
  return {{{dot.v[i]}}, dot.x[i], {{dot.decay[i], dot.threshold[i]}}, dot.moves};
}

template <class T>
SPIKEGRAD_SCALAR StepCotangent<T, Lif> at(const CotangentRows<T>& bar, int64_t i) {
  return {{{bar.state[i]}}, bar.membrane[i], bar.spike[i]};
}

template <class T, class R>
void tangent_loop(const T* x, const T* v, const T* decay, const T* threshold, const TangentRows<T>& dot, T* distance,
                  T* distance_dot, int64_t count) {
  const TangentRows<T> dots = dot;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) {
    distance[i] = step_at<T, R>(x, v, decay, threshold, i).distance;
    distance_dot[i] =
        distance_tangent(Lif{}, States<T, Lif>{{v[i]}}, parameters_at(decay, threshold, i), at(dots, i), R{});
  }
}

template <class T, class R>
void advance_loop(const T* x, T* v, const T* decay, const T* threshold, const TangentRows<T>& dot, T* v_dot,
                  const T* spike_dot, T* u_dot, int64_t count) {
  const TangentRows<T> dots = dot;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) {
    const Step<T, Lif> out = step_at<T, R>(x, v, decay, threshold, i);
    const StateTangent<T, Lif> next = state_tangent(Lif{}, States<T, Lif>{{v[i]}}, parameters_at(decay, threshold, i),
                                                    out, at(dots, i), spike_dot[i], R{});
    u_dot[i] = next.membrane;
    v_dot[i] = next.state.at[0];
    v[i] = out.state.at[0];
  }
}

template <class T, class R>
void recompute_loop(const T* x, T* v, const T* decay, const T* threshold, T* compared, int64_t count) {
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) {
    const Step<T, Lif> out = step_at<T, R>(x, v, decay, threshold, i);
    compared[i] = keep(Lif{}, States<T, Lif>{{v[i]}}, out, R{}).at[0];
    v[i] = out.state.at[0];
  }
}

// The elementwise kernels of this instruction set.
template <class T>
const ElementKernels<T>& elementwise() {
  if constexpr (std::is_same_v<T, float>) {
    return kernels.f32;
  } else {
    return kernels.f64;
  }
}

// What strips to come read and write, called into the second-level cache while one is busy with g: a processor that
// finds out by itself waits for the first lines of each row. In turns with the same without, on two cores: 500 x 2048
// and 1000 x 8192 1.2 and 1.3 times as fast back in time. Into the first-level cache it was 1.0 times, and forward,
// where there is next to nothing to compute meanwhile, it gained nothing.
struct Ahead {
  uintptr_t rows[3];  // no pointers: past the ends of an array too, where a prefetch does nothing
  int64_t element;    // bytes of each
};

constexpr int64_t kChunk = 64;  // neurons that are computed between two calls
constexpr int64_t kLine = 64;

SPIKEGRAD_SCALAR void call_ahead(const Ahead& ahead, int64_t i) {
  for (const uintptr_t row : ahead.rows) {
    for (int64_t byte = 0; byte < kChunk * ahead.element; byte += kLine) {
      __builtin_prefetch(reinterpret_cast<const void*>(row + static_cast<uintptr_t>(i * ahead.element + byte)), 0, 2);
    }
  }
}

template <class T>
uintptr_t ahead_address(const Rows<T>& rows, const Block& strip, int64_t t, int64_t shift) {
  const int64_t bytes = (index(rows, strip, t < 0 ? 0 : t) + shift) * static_cast<int64_t>(sizeof(T));
  return reinterpret_cast<uintptr_t>(rows.data) + static_cast<uintptr_t>(bytes);
}

// A strip that goes one step back.
template <class T>
struct StepBack {
  const T* compared;
  const T* v;  // or null, where nobody asks for the cotangents of decay and threshold
  const T* decay;
  const T* threshold;
  CotangentRows<T> bar;
  T* x_bar;
  T* v_bar;  // that of v' becomes that of v
  T* decay_bar;
  T* threshold_bar;  // both are added to
  int64_t count;
  Ahead ahead;
};

// distance_bar(distance, spike_bar, i) is g(distance) times the spike's cotangent.
template <class T, class R, class DistanceBar>
SPIKEGRAD_SCALAR Pulled<T, Lif> pulled_back_at(const StepBack<T>& strip, T v, int64_t i, DistanceBar distance_bar) {
  using Forward = StaticRule<R::charge_first, R::reset, false>;
  const StepCotangent<T, Lif> bar = at(strip.bar, i);
  const Kept<T, Lif> kept = {{strip.compared[i], v}};
  const Parameters<T, Lif> parameters = parameters_at(strip.decay, strip.threshold, i);
  const T distance = kept_distance(Lif{}, kept, parameters);
  const T spike_bar = spike_cotangent(Lif{}, kept, parameters, bar, R{});
  return pulled_back(Lif{}, kept, heaviside(distance), parameters, bar, distance_bar(distance, spike_bar, i),
                     Forward{});
}

template <class T, class R, class DistanceBar>
SPIKEGRAD_SCALAR void pull_back_loop(const StepBack<T>& shared, DistanceBar distance_bar) {
  const StepBack<T> strip = shared;
  if (strip.v) {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < strip.count; i++) {
      const Pulled<T, Lif> pulled = pulled_back_at<T, R>(strip, strip.v[i], i, distance_bar);
      strip.x_bar[i] = pulled.x;
      strip.v_bar[i] = pulled.state.at[Lif::v];
      strip.decay_bar[i] += pulled.parameters.at[Lif::decay];
      strip.threshold_bar[i] += pulled.parameters.at[Lif::threshold];
    }
  } else {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < strip.count; i++) {
      const Pulled<T, Lif> pulled = pulled_back_at<T, R>(strip, T(0), i, distance_bar);
      strip.x_bar[i] = pulled.x;
      strip.v_bar[i] = pulled.state.at[Lif::v];
    }
  }
}

// z = u - threshold.
template <class T>
void distance_loop(const T* u, const T* threshold, T* distance, int64_t count) {
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) distance[i] = u[i] - threshold[i];
}

template <class T, class R>
void spike_cotangent_loop(const StepBack<T>& shared, T* spike_bar) {
  const StepBack<T> strip = shared;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < strip.count; i++) {
    spike_bar[i] = spike_cotangent(Lif{}, Kept<T, Lif>{{strip.compared[i], T(0)}},
                                   parameters_at(strip.decay, strip.threshold, i), at(strip.bar, i), R{});
  }
}

template <class T, class R>
void pull_back_given(const StepBack<T>& strip, const T* distance_bar) {
  pull_back_loop<T, R>(strip, [distance_bar](T, T, int64_t i) { return distance_bar[i]; });
}

// By the fast way of order 0, or else by the elementwise kernel.
template <class T, class R, class Family>
void pull_back(const StepBack<T>& strip, const Family& g) {
  const bool done = with_value(g, T{}, [&](const auto& shared) {
    const auto value = shared;
    Powers<T, std::decay_t<decltype(value)>> powers;
    const T *compared = strip.compared, *threshold = strip.threshold;
    reduce_loop([=](int64_t i) { return compared[i] - threshold[i]; }, strip.count, value, powers);
    for (int64_t i = 0; i < strip.count; i += kChunk) {
      call_ahead(strip.ahead, i);
      if (i + kChunk <= strip.count) {
        for (auto& change : powers.change) exp2_minus_one_loop(change + i, kChunk);
      } else {
        for (auto& change : powers.change) exp2_minus_one_loop(change + i, strip.count - i);
      }
    }
    pull_back_loop<T, R>(
        strip, [&](T distance, T spike_bar, int64_t i) { return finish_at(distance, spike_bar, i, value, powers); });
  });
  if (done) return;
  T distance[kStrip], spike_bar[kStrip];
  distance_loop(strip.compared, strip.threshold, distance, strip.count);
  spike_cotangent_loop<T, R>(strip, spike_bar);
  elementwise<T>().of(g).array_t(distance, spike_bar, spike_bar, strip.count, g);
  pull_back_given<T, R>(strip, spike_bar);
}

template <class T>
StepLoops<Wide<T>> loops_of(const LifLayer<T>& layer) {
  using W = Wide<T>;
  return with_rule(layer, [](auto rule) -> StepLoops<W> {
    using R = decltype(rule);
    using Forward = StaticRule<R::charge_first, R::reset, false>;  // which a spike that is a constant does not change
    return {forward_loop<W, Forward>, tangent_loop<W, Forward>, advance_loop<W, R>, recompute_loop<W, Forward>};
  });
}

template <class T>
Rows<T> over_time(T* data, const LayerShape& shape) {
  return {data, shape.steps, shape.inner};
}

template <class T>
void forward(const LifForward<T>& call, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const LifLayer<T>& layer = call.layer;
  const LayerShape& shape = layer.shape;
  const StepLoops<W> loops = loops_of(layer);
  OverTime<T> current(layer.current, shape);
  const Rows<T> spikes = over_time(call.spikes, shape), membrane = over_time(call.membrane, shape);
  const Rows<W> checkpoints = {call.checkpoints[Lif::v], layer.every ? checkpoints_of(shape.steps, layer.every) : 0,
                               shape.inner};
  for_each_block(shape, begin, end, kBlock, [&](const Block& block) {
    W v[kBlock], spike_buffer[kStrip], u_buffer[kStrip];
    const State<W> decay(layer.parameters[Lif::decay], block), threshold(layer.parameters[Lif::threshold], block);
    read_state(call.first_state[Lif::v], block, v);
    for (int64_t t = 0; t < shape.steps; t++) {
      if (layer.every && t % layer.every == 0) copy_row_out(checkpoints, block, t / layer.every, v);
      const int64_t to = spike_row(layer.order, t);
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        W* spike = to < 0 ? spike_buffer : row_to_write(spikes, strip, to, spike_buffer);
        W* u = call.membrane ? row_to_write(membrane, strip, t, u_buffer) : nullptr;
        loops.forward(current.at(strip, t), v + i, decay.at(i), threshold.at(i), spike, u, strip.count);
        if (to >= 0) written(spikes, strip, to, spike, spike_buffer);
        if (u) written(membrane, strip, t, u, u_buffer);
      });
    }
    if (layer.order == Order::reset_undecayed) {
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        distance_loop(v + i, threshold.at(i), spike_buffer, strip.count);
        elementwise<W>().heaviside(spike_buffer, spike_buffer, strip.count);
        copy_row_out(spikes, strip, shape.steps - 1, spike_buffer);
      });
    }
    write_state(v, block, call.last_state[Lif::v]);
  });
}

template <class T, class Family>
void tangent(const LifTangent<T>& call, int64_t begin, int64_t end, const Family& g) {
  using W = Wide<T>;
  const LifLayer<T>& layer = call.layer;
  const LayerShape& shape = layer.shape;
  const StepLoops<W> loops = loops_of(layer);
  const auto gradient = elementwise<W>().of(g).array_t;
  OverTime<T> current(layer.current, shape), current_dot(call.current_dot, shape);
  const Rows<T> spikes_dot = over_time(call.spikes_dot, shape), membrane_dot = over_time(call.membrane_dot, shape);
  for_each_block(shape, begin, end, kBlock, [&](const Block& block) {
    W v[kBlock], v_dot[kBlock];
    W distance[kStrip], distance_dot[kStrip], spike_buffer[kStrip], u_buffer[kStrip];
    const State<W> decay(layer.parameters[Lif::decay], block), threshold(layer.parameters[Lif::threshold], block);
    const State<W> decay_dot(call.parameters_dot[Lif::decay], block),
        threshold_dot(call.parameters_dot[Lif::threshold], block);
    read_state(call.first_state[Lif::v], block, v);
    read_state(call.first_state_dot[Lif::v], block, v_dot);
    for (int64_t t = 0; t < shape.steps; t++) {
      const int64_t to = spike_row(layer.order, t);
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        W* spike_dot = to < 0 ? spike_buffer : row_to_write(spikes_dot, strip, to, spike_buffer);
        W* u_dot = call.membrane_dot ? row_to_write(membrane_dot, strip, t, u_buffer) : u_buffer;
        const W* x = current.at(strip, t);
        const TangentRows<W> dot = {v_dot + i, current_dot.at(strip, t), decay_dot.at(i), threshold_dot.at(i),
                                    call.moves};
        loops.tangent(x, v + i, decay.at(i), threshold.at(i), dot, distance, distance_dot, strip.count);
        gradient(distance, distance_dot, spike_dot, strip.count, g);
        loops.advance(x, v + i, decay.at(i), threshold.at(i), dot, v_dot + i, spike_dot, u_dot, strip.count);
        if (to >= 0) written(spikes_dot, strip, to, spike_dot, spike_buffer);
        if (call.membrane_dot) written(membrane_dot, strip, t, u_dot, u_buffer);
      });
    }
    if (layer.order == Order::reset_undecayed) {
      for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
        distance_loop(v + i, threshold.at(i), distance, strip.count);
        distance_loop(v_dot + i, threshold_dot.at(i), distance_dot, strip.count);
        gradient(distance, distance_dot, spike_buffer, strip.count, g);
        copy_row_out(spikes_dot, strip, shape.steps - 1, spike_buffer);
      });
    }
    write_state(v_dot, block, call.last_state_dot[Lif::v]);
  });
}

template <class T>
void add_last_spike(const T* distance_bar, T* v_bar, T* threshold_bar, int64_t count) {
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) {
    v_bar[i] += distance_bar[i];
    threshold_bar[i] -= distance_bar[i];
  }
}

template <class T, class Family>
bool cotangent(const LifCotangent<T>& call, int64_t begin, int64_t end, const Family& g) {
  using W = Wide<T>;
  const LifLayer<T>& layer = call.layer;
  const LayerShape& shape = layer.shape;
  const StepLoops<W> loops = loops_of(layer);
  const auto back = with_rule(layer, [](auto rule) { return &pull_back<W, decltype(rule), Family>; });
  const auto gradient = elementwise<W>().of(g).array_t;
  const int64_t every = layer.every, checkpoint_count = checkpoints_of(shape.steps, every);
  const Rows<const W> checkpoints = {call.checkpoints[Lif::v], checkpoint_count, shape.inner};
  const Rows<T> current_bar = over_time(call.current_bar, shape);
  OverTime<T> current(layer.current, shape), spikes_bar(call.spikes_bar, shape);
  OverTime<T> membrane_bar(call.membrane_bar, shape);

  // Of each step between two checkpoints what was compared with the threshold, and v for the gradient of decay, which
  // is the same where the spike comes first.
  const bool scales = call.parameters_bar[Lif::decay] != nullptr;
  const int64_t arrays = scales && layer.order == Order::charge_fire_reset ? 2 : 1;
  int64_t most = kSegmentBytes / (arrays * every * static_cast<int64_t>(sizeof(W)));
  most = most < kSmallestBlock ? kSmallestBlock : most > kBlock ? kBlock : most;
  W* segment = static_cast<W*>(malloc(static_cast<size_t>(arrays * every * most) * sizeof(W)));
  if (!segment) return false;
  W* before = segment + (arrays - 1) * every * most;

  for_each_block(shape, begin, end, most, [&](const Block& block) {
    W v[kBlock], v_bar[kBlock], decay_bar[kBlock], threshold_bar[kBlock];
    W distance[kStrip], spike_bar[kStrip], zero[kStrip], x_bar_buffer[kStrip];
    const State<W> decay(layer.parameters[Lif::decay], block), threshold(layer.parameters[Lif::threshold], block);
    read_state(call.last_state_bar[Lif::v], block, v_bar);
    fill(decay_bar, block.count, W(0));
    fill(threshold_bar, block.count, W(0));
    fill(zero, kStrip, W(0));
    for (int64_t c = checkpoint_count - 1; c >= 0; c--) {
      const int64_t first = c * every, past = first + every < shape.steps ? first + every : shape.steps;
      copy_row_in(checkpoints, block, c, v);
      for (int64_t t = first; t < past; t++) {
        const int64_t row = (t - first) * most;
        if (arrays == 2) memcpy(before + row, v, static_cast<size_t>(block.count) * sizeof(W));
        for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
          loops.recompute(current.at(strip, t), v + i, decay.at(i), threshold.at(i), segment + row + i, strip.count);
        });
      }
      if (past == shape.steps && layer.order == Order::reset_undecayed) {
        for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
          distance_loop(v + i, threshold.at(i), distance, strip.count);
          gradient(distance, spikes_bar.at(strip, shape.steps - 1), spike_bar, strip.count, g);
          add_last_spike(spike_bar, v_bar + i, threshold_bar + i, strip.count);
        });
      }
      for (int64_t t = past - 1; t >= first; t--) {
        const int64_t from = spike_row(layer.order, t), row = (t - first) * most;
        for_each_strip(shape, block, [&](const Block& strip, int64_t i) {
          const CotangentRows<W> bar = {v_bar + i, membrane_bar.at(strip, t),
                                        from < 0 ? zero : spikes_bar.at(strip, from)};
          W* x_bar = row_to_write(current_bar, strip, t, x_bar_buffer);
          // The strip after this one, and of the current that of the segment after this one.
          const int64_t place = i + kStrip, next = t - place / block.count, shift = place % block.count - i;
          const Ahead ahead = {
              {ahead_address(spikes_bar.rows, strip, next, shift), ahead_address(current_bar, strip, next, shift),
               ahead_address(current.rows, strip, t - every, 0)},
              sizeof(T)};
          back({segment + row + i, scales ? before + row + i : nullptr, decay.at(i), threshold.at(i), bar, x_bar,
                v_bar + i, decay_bar + i, threshold_bar + i, strip.count, ahead},
               g);
          written(current_bar, strip, t, x_bar, x_bar_buffer);
        });
      }
    }
    write_state(v_bar, block, call.first_state_bar[Lif::v]);
    if (scales) {
      write_state(decay_bar, block, call.parameters_bar[Lif::decay]);
      write_state(threshold_bar, block, call.parameters_bar[Lif::threshold]);
    }
  });
  free(segment);
  return true;
}

template <class T>
constexpr LifElementKernels<T> table() {
#define SPIKEGRAD_ENTRY(name, Family) {&tangent<T, Family>, &cotangent<T, Family>},
  return {&forward<T>, SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_ENTRY)};
#undef SPIKEGRAD_ENTRY
}

}  // namespace

const LifKernels lif_kernels = {table<Float16>(), table<BFloat16>(), table<float>(), table<double>()};

}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET
