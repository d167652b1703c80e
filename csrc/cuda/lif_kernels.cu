// One thread a neuron, whose state stays in registers through all of time. Neighbouring threads have neighbouring
// neurons, so that each step of a warp is one access of whole lines.
#include "cuda/lif_kernels.h"

#include <cuda_runtime.h>

#include <type_traits>
#include <utility>

#include "cuda/dynamic_shared.h"
#include "cuda/half_conversions.h"
#include "cuda/launch.h"
#include "cuda/prepare_in_block.h"
#include "math/element.h"

namespace spikegrad::cuda {

constexpr int kWarp = 32;
constexpr int kLifThreads = 128;

// Blocks a multiprocessor for which a kernel leaves registers, and that are launched at most: what ptxas finds room
// for.
constexpr int kLifBlocks = 8;
template <class T>
constexpr int kTangentBlocks = sizeof(T) == sizeof(double) ? 4 : 6;
template <class T>
constexpr int kCotangentBlocks = sizeof(T) == sizeof(double) ? 3 : 4;

// Steps whose numbers are on their way while as many are computed. A memory answers in some 700 cycles, a step of lif
// is a chain of some 40, and with 8,192 neurons there are only two warps on a multiprocessor to hide one behind the
// other. A step with a surrogate gradient takes some 250, and each that is unrolled is code, and registers for its
// addresses: with 8 of the recomputed ones ptxas spills. Where the gradient is a sum in double, nothing else counts.
template <class T>
constexpr int kLifAhead = sizeof(T) == sizeof(double) ? 4 : 8;
template <class T>
constexpr int kRecomputeAhead = kLifAhead<T> / 2;
template <class T>
constexpr int kGradientAhead = kLifAhead<T> / 2;
constexpr int kSumAhead = 1;

// Bytes of a block for what is recomputed between two checkpoints: of the 48 KiB that a block has without being
// allowed more, what the parameters leave.
constexpr int64_t kSegmentBytes = 46 << 10;

// What load() returns, each time some steps before its use: within one turn of the loop nothing waits for a load of the
// same. An index has the type of the count.
template <int kAhead, class Index, class Load>
class Ahead {
 public:
  __device__ __forceinline__ Ahead(Index count, Load load) : count_(count), load_(load) { fetch(); }

  // Calls use(x) for each x.
  template <class Use>
  __device__ __forceinline__ void for_each(Use use) {
    for (Index left = count_; left > 0; left -= kAhead) {
      Item now[kAhead];
#pragma unroll
      for (int k = 0; k < kAhead; k++) now[k] = next_[k];
      fetch();
      const int steps = at_most(left);
#pragma unroll
      for (int k = 0; k < kAhead; k++) {
        if (k >= steps) break;
        use(now[k]);
      }
    }
  }

 private:
  using Item = decltype(std::declval<Load&>()());

  static __device__ __forceinline__ int at_most(Index left) { return left < kAhead ? static_cast<int>(left) : kAhead; }

  __device__ __forceinline__ void fetch() {
    if (to_load_ >= kAhead) {
#pragma unroll
      for (int k = 0; k < kAhead; k++) next_[k] = load_();
    } else {
      const int steps = at_most(to_load_);
#pragma unroll
      for (int k = 0; k < kAhead; k++) {
        if (k < steps) next_[k] = load_();
      }
    }
    to_load_ -= kAhead;
  }

  Index count_;
  Index to_load_ = count_;
  Load load_;
  Item next_[kAhead] = {};
};

template <int kAhead, class Index, class Load>
__device__ __forceinline__ Ahead<kAhead, Index, Load> ahead(Index count, Load load) {
  return {count, load};
}

// Where an array has the next number of a neuron, in time or backwards.
template <class T>
struct Row {
  T* at;
  int64_t stride;

  __device__ __forceinline__ T& next() {
    T& x = *at;
    at += stride;
    return x;
  }
};

struct Neuron {
  int64_t index;
  int64_t outer, offset;  // its place among those that lie side by side
  int64_t inner;

  // That of step t in an array [outer, length, inner], which may be null.
  template <class T>
  __device__ __forceinline__ Row<T> row(T* data, int64_t length, int64_t t, int64_t direction) const {
    return {data ? data + (outer * length + t) * inner + offset : data, direction * inner};
  }

  // One number for all is read again each time: from the cache, and without a branch.
  template <class T>
  __device__ __forceinline__ Row<const T> row(const Operand<T>& operand, int64_t length, int64_t t,
                                              int64_t direction) const {
    const int64_t index = (outer * length + t) * inner + offset;
    return {operand.data + (operand.is_scalar ? 0 : index), operand.is_scalar ? 0 : direction * inner};
  }

  template <class T>
  __device__ __forceinline__ T state(const Operand<T>& operand) const {
    return operand.data[operand.is_scalar ? 0 : index];
  }
};

template <class Use>
__device__ __forceinline__ void for_each_neuron(const LifShape& shape, Use use) {
  const int64_t neurons = shape.outer * shape.inner, threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; n < neurons; n += threads) {
    const int64_t outer = n / shape.inner;
    use(Neuron{n, outer, n - outer * shape.inner, shape.inner});
  }
}

// Known at run time: it is the same for all threads, and a kernel for each of ten rules would take ten times as long to
// compile.
template <class T>
__device__ __forceinline__ Rule rule_of(const LifLayer<T>& layer) {
  return {layer.order == Order::charge_fire_reset, layer.reset, layer.detach_reset};
}

// Whether a spike is written one row before that of its step (math/lif_call.h): the first one nowhere, and one more
// after all steps.
template <class T>
__device__ __forceinline__ bool is_early(const LifLayer<T>& layer) {
  return layer.order == Order::reset_undecayed;
}

// Calls run(ahead, gradient) with gradient(x, t) = t g(x), the fast way if there is one: each is a loop of its own.
template <class W, class Family, class Run>
__device__ __forceinline__ void with_gradient(const Family& g, Run run) {
  const bool done = with_value(g, W{}, [&](const auto& shared) {
    const auto value = shared;  // in registers
    run(std::integral_constant<int, kGradientAhead<W>>{}, [value](W x, W t) { return value_of(x, t, value); });
  });
  if (done) return;
  run(std::integral_constant<int, kSumAhead>{},
      [&g](W x, W t) { return static_cast<W>(sum_of_terms(static_cast<double>(x), static_cast<double>(t), g, 0)); });
}

template <class T>
struct CurrentAndTangent {
  T current, tangent;
};

template <int kAhead, class T, class Gradient>
__device__ __forceinline__ void carry_forward(const LifTangent<T>& call, Gradient gradient) {
  using W = Wide<T>;
  const LifLayer<T>& layer = call.layer;
  const Rule rule = rule_of(layer);
  const int64_t steps = layer.shape.steps;
  for_each_neuron(layer.shape, [&](const Neuron& neuron) {
    auto current = neuron.row(layer.current, steps, 0, 1), current_dot = neuron.row(call.current_dot, steps, 0, 1);
    auto spikes_dot = neuron.row(call.spikes_dot, steps, 0, 1),
         membrane_dot = neuron.row(call.membrane_dot, steps, 0, 1);
    const W decay = neuron.state(layer.decay), threshold = neuron.state(layer.threshold);
    W v = neuron.state(call.v0);
    StepTangent<W> dot = {
        neuron.state(call.v0_dot), 0, neuron.state(call.decay_dot), neuron.state(call.threshold_dot), call.v_moves,
        call.decay_moves};
    bool nowhere = is_early(layer);
    ahead<kAhead>(steps, [&] {
      return CurrentAndTangent<T>{current.next(), current_dot.next()};
    }).for_each([&](CurrentAndTangent<T> x) {
      dot.x = to_wide(x.tangent);
      const Step<W> out = step(v, to_wide(x.current), decay, threshold, rule);
      const W spike_dot = gradient(out.distance, distance_tangent(v, decay, dot, rule));
      if (!nowhere) spikes_dot.next() = from_wide(spike_dot, T{});
      nowhere = false;
      const StateTangent<W> next = state_tangent(v, decay, threshold, out, dot, spike_dot, rule);
      if (call.membrane_dot) membrane_dot.next() = from_wide(next.membrane, T{});
      dot.v = next.state;
      v = out.state;
    });
    if (is_early(layer)) spikes_dot.next() = from_wide(gradient(v - threshold, dot.v - dot.threshold), T{});
    call.v_final_dot[neuron.index] = dot.v;
  });
}

template <class T>
struct SpikeAndMembrane {
  T spike, membrane;
};

// `slots` steps at a time are recomputed from their checkpoint and kept: all those up to the next one, unless there is
// no room for them.
template <int kAhead, class T, class Gradient>
__device__ __forceinline__ void pull_back(const LifCotangent<T>& call, int slots, Gradient gradient) {
  using W = Wide<T>;
  const LifLayer<T>& layer = call.layer;
  const Rule rule = rule_of(layer);
  const int64_t steps = layer.shape.steps, every = layer.every;
  const int64_t checkpoint_count = checkpoints_of(steps, every);
  const bool scales = call.decay_bar != nullptr;
  // [slot][thread], so that no two threads of a warp meet in a bank. Of each step what was compared with the threshold,
  // and v where the gradient of decay needs it and it is something else.
  const int width = static_cast<int>(blockDim.x);
  W* const all_compared = dynamic_shared<W>() + threadIdx.x;
  const int to_v = scales && rule.charge_first ? slots * width : 0;

  for_each_neuron(layer.shape, [&](const Neuron& neuron) {
    auto current_bar = neuron.row(call.current_bar, steps, steps - 1, -1);
    auto spikes_bar = neuron.row(call.spikes_bar, steps, steps - 1, -1);
    auto membrane_bar = neuron.row(call.membrane_bar, steps, steps - 1, -1);
    auto checkpoint = neuron.row(call.checkpoints, checkpoint_count, checkpoint_count - 1, -1);
    const W decay = neuron.state(layer.decay), threshold = neuron.state(layer.threshold);
    W v_bar = neuron.state(call.v_final_bar), decay_bar = 0, threshold_bar = 0;
    const W last_spike_bar = is_early(layer) ? to_wide(spikes_bar.next()) : W(0);
    for (int64_t end = steps, first = (checkpoint_count - 1) * every; end > 0; first -= every) {
      const W before_first = checkpoint.next();
      while (end > first) {
        const int64_t begin = end - first > slots ? end - slots : first;
        // On their way while the segment is recomputed. No spike is written for step 0 where all are early.
        int spikes_left = static_cast<int>(end - begin) - (is_early(layer) && begin == 0);
        auto backwards = ahead<kAhead>(static_cast<int>(end - begin), [&] {
          SpikeAndMembrane<T> bars = {{}, membrane_bar.next()};
          if (spikes_left-- > 0) bars.spike = spikes_bar.next();
          return bars;
        });

        auto current = neuron.row(layer.current, steps, first, 1);
        W v = before_first;
        W* compared_at = all_compared;
        int64_t passed_over = begin - first;
        ahead<kRecomputeAhead<T>>(end - first, [&] { return current.next(); }).for_each([&](T x) {
          const Step<W> out = step(v, to_wide(x), decay, threshold, rule);
          if (passed_over == 0) {
            compared_at[to_v] = v;
            *compared_at = compared(v, out, rule);
            compared_at += width;
          } else {
            passed_over--;
          }
          v = out.state;
        });
        if (end == steps && is_early(layer)) {
          const W distance_bar = gradient(v - threshold, last_spike_bar);
          v_bar += distance_bar;
          threshold_bar -= distance_bar;
        }
        backwards.for_each([&](SpikeAndMembrane<T> bars) {
          compared_at -= width;
          const W u = *compared_at, distance = u - threshold;
          const StepCotangent<W> bar = {v_bar, to_wide(bars.membrane), to_wide(bars.spike)};
          const W distance_bar = gradient(distance, spike_cotangent(u, decay, threshold, bar, rule));
          const Pulled<W> pulled = pulled_back(compared_at[to_v], heaviside(distance), decay, bar, distance_bar, rule);
          current_bar.next() = from_wide(pulled.x, T{});
          v_bar = pulled.v;
          decay_bar += pulled.decay;
          threshold_bar += pulled.threshold;
        });
        end = begin;
      }
    }
    call.v0_bar[neuron.index] = v_bar;
    if (scales) {
      call.decay_bar[neuron.index] = decay_bar;
      call.threshold_bar[neuron.index] = threshold_bar;
    }
  });
}

// The kernels. Their names are what a profiler shows.

template <class T>
__global__ void __launch_bounds__(kLifThreads, kLifBlocks) lif(LifForward<T> call) {
  using W = Wide<T>;
  const LifLayer<T>& layer = call.layer;
  const Rule rule = rule_of(layer);
  const int64_t steps = layer.shape.steps, every = layer.every;
  const int64_t checkpoint_count = every ? checkpoints_of(steps, every) : 0;
  for_each_neuron(layer.shape, [&](const Neuron& neuron) {
    auto current = neuron.row(layer.current, steps, 0, 1);
    auto spikes = neuron.row(call.spikes, steps, 0, 1), membrane = neuron.row(call.membrane, steps, 0, 1);
    auto checkpoint = neuron.row(call.checkpoints, checkpoint_count, 0, 1);
    const W decay = neuron.state(layer.decay), threshold = neuron.state(layer.threshold);
    W v = neuron.state(call.v0);
    bool nowhere = is_early(layer);
    int64_t to_checkpoint = 0;
    ahead<kLifAhead<T>>(steps, [&] { return current.next(); }).for_each([&](T x) {
      if (every && to_checkpoint-- == 0) {
        checkpoint.next() = v;
        to_checkpoint = every - 1;
      }
      const Step<W> out = step(v, to_wide(x), decay, threshold, rule);
      if (!nowhere) spikes.next() = from_wide(out.spike, T{});
      nowhere = false;
      if (call.membrane) membrane.next() = from_wide(out.membrane, T{});
      v = out.state;
    });
    if (is_early(layer)) spikes.next() = from_wide(heaviside(v - threshold), T{});
    call.v_final[neuron.index] = v;
  });
}

template <class T, class Family>
__global__ void __launch_bounds__(kLifThreads, kTangentBlocks<T>)
    lif_tangent(LifTangent<T> call, ParameterAddresses<Family> parameters) {
  __shared__ Family g;
  prepare_in_block<T>(g, parameters, 0);
  with_gradient<Wide<T>>(g, [&](auto ahead, auto gradient) { carry_forward<ahead.value>(call, gradient); });
}

template <class T, class Family>
__global__ void __launch_bounds__(kLifThreads, kCotangentBlocks<T>)
    lif_cotangent(LifCotangent<T> call, ParameterAddresses<Family> parameters, int slots) {
  __shared__ Family g;
  prepare_in_block<T>(g, parameters, 0);
  with_gradient<Wide<T>>(g, [&](auto ahead, auto gradient) { pull_back<ahead.value>(call, slots, gradient); });
}

// Few neurons go to all multiprocessors, warp by warp.
inline cudaError_t grid_for(const LifShape& shape, int64_t blocks, Grid& grid) {
  int multiprocessors;
  if (cudaError_t error = count_multiprocessors(multiprocessors); error != cudaSuccess) return error;
  const int64_t neurons = shape.outer * shape.inner;
  grid.threads = kLifThreads;
  while (grid.threads > kWarp && neurons < static_cast<int64_t>(grid.threads) * multiprocessors) grid.threads /= 2;
  grid.worth = (neurons + grid.threads - 1) / grid.threads;
  grid.at_a_time = blocks * multiprocessors * (kLifThreads / grid.threads);
  return cudaSuccess;
}

template <class T>
cudaError_t Lif<T>::launch(const LifForward<T>& call, cudaStream_t stream) {
  Grid grid;
  if (cudaError_t error = grid_for(call.layer.shape, kLifBlocks, grid); error != cudaSuccess) return error;
  return launch_kernel(lif<T>, grid, stream, call);
}

template <class T>
cudaError_t Lif<T>::load() {
  return load_kernel(lif<T>);
}

template <class T, class Family>
cudaError_t LifDerivative<T, Family>::launch(const LifTangent<T>& call, const ParameterAddresses<Family>& parameters,
                                             cudaStream_t stream) {
  Grid grid;
  if (cudaError_t error = grid_for(call.layer.shape, kTangentBlocks<T>, grid); error != cudaSuccess) return error;
  return launch_kernel(lif_tangent<T, Family>, grid, stream, call, parameters);
}

template <class T, class Family>
cudaError_t LifDerivative<T, Family>::launch(const LifCotangent<T>& call, const ParameterAddresses<Family>& parameters,
                                             cudaStream_t stream) {
  const LifLayer<T>& layer = call.layer;
  Grid grid;
  if (cudaError_t error = grid_for(layer.shape, kCotangentBlocks<T>, grid); error != cudaSuccess) return error;
  const bool keeps_v = call.decay_bar && layer.order == Order::charge_fire_reset;
  const int64_t slot_bytes = (keeps_v ? 2 : 1) * sizeof(Wide<T>);
  int64_t slots = layer.every < layer.shape.steps ? layer.every : layer.shape.steps;
  // Smaller blocks before smaller segments, whose steps are recomputed more than once.
  while (grid.threads > kWarp && slots * slot_bytes * grid.threads > kSegmentBytes) {
    grid.threads /= 2;
    grid.worth *= 2;
    grid.at_a_time *= 2;
  }
  const int64_t most = kSegmentBytes / (slot_bytes * grid.threads);
  slots = slots < most ? slots : most;
  grid.shared_bytes = slots * slot_bytes * grid.threads;
  return launch_kernel(lif_cotangent<T, Family>, grid, stream, call, parameters, static_cast<int>(slots));
}

template <class T, class Family>
cudaError_t LifDerivative<T, Family>::load(const LifTangent<T>&) {
  return load_kernel(lif_tangent<T, Family>);
}

template <class T, class Family>
cudaError_t LifDerivative<T, Family>::load(const LifCotangent<T>&) {
  return load_kernel(lif_cotangent<T, Family>);
}

#define SPIKEGRAD_INSTANTIATE_FAMILY(name, Family, T) template struct LifDerivative<T, Family>;
#define SPIKEGRAD_INSTANTIATE(T) \
  template struct Lif<T>;        \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_INSTANTIATE_FAMILY, T)
SPIKEGRAD_INSTANTIATE(Float16)
SPIKEGRAD_INSTANTIATE(BFloat16)
SPIKEGRAD_INSTANTIATE(float)
SPIKEGRAD_INSTANTIATE(double)

}  // namespace spikegrad::cuda
