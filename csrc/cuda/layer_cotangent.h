// The pullback of a layer, backwards over time, for any neuron.
#ifndef SPIKEGRAD_CUDA_LAYER_COTANGENT_H_
#define SPIKEGRAD_CUDA_LAYER_COTANGENT_H_

#include <type_traits>

#include "cuda/dynamic_shared.h"
#include "cuda/gradient.h"
#include "cuda/layer_forms.h"
#include "cuda/layer_kernels.h"
#include "cuda/layer_rows.h"

namespace spikegrad::cuda {

// How the steps of a layer are divided into chunks. A chunk is recomputed into registers and then pulled back.
//
// If checkpoints are close together, every chunk starts at a checkpoint, and all of time is one section. If they are
// farther apart than the length of a chunk, a section is the range from one checkpoint to the next. A forward sweep
// from the checkpoint then finds the states where the section's chunks start. These states are kept in shared memory,
// in one slot for each chunk but the last. A section with more than `slots` + 1 chunks is processed in pieces, with a
// sweep for each piece.
struct Chunks {
  int64_t section_steps;  // for all sections but the last
  int64_t sections;
  int64_t checkpoints;
  int64_t checkpoints_a_chunk;  // 0 if sections are swept
  int section_chunks;           // for all sections but the last
  int last_section_chunks;
  int chunk_steps;
  int slots;
};

// Divides a layer into chunks of at most `most_steps` steps. If it has no more steps than that, it is a single chunk.
SPIKEGRAD_SCALAR Chunks chunks_of(int64_t steps, int64_t every, int most_steps, int slots) {
  Chunks chunks = {steps, 1, checkpoints_of(steps, every), 1, 1, 1, most_steps, 0};
  if (steps <= most_steps) return chunks;
  if (every <= most_steps) {
    chunks.checkpoints_a_chunk = most_steps / every;
    chunks.chunk_steps = static_cast<int>(chunks.checkpoints_a_chunk * every);
    chunks.last_section_chunks = static_cast<int>((steps + chunks.chunk_steps - 1) / chunks.chunk_steps);
    return chunks;
  }
  // Chunks of nearly equal length: while a short last chunk runs, the next chunk's loads would not complete.
  const int64_t fewest = (every + most_steps - 1) / most_steps, chunk_steps = (every + fewest - 1) / fewest;
  const int64_t last_steps = steps - (chunks.checkpoints - 1) * every;
  chunks.section_steps = every;
  chunks.sections = chunks.checkpoints;
  chunks.checkpoints_a_chunk = 0;
  chunks.section_chunks = static_cast<int>((every + chunk_steps - 1) / chunk_steps);
  chunks.last_section_chunks = static_cast<int>((last_steps + chunk_steps - 1) / chunk_steps);
  chunks.chunk_steps = static_cast<int>(chunk_steps);
  const int wanted = (chunks.sections > 1 ? chunks.section_chunks : chunks.last_section_chunks) - 1;
  chunks.slots = wanted < slots ? wanted : slots;
  return chunks;
}

// Saved states, [slot][state][lane][thread]. This layout avoids bank conflicts between the threads of a warp.
template <class W, int kStates, int kLanes>
__device__ __forceinline__ W* slot_of(int64_t slot) {
  return dynamic_shared<W>() + slot * (kStates * kLanes) * blockDim.x + threadIdx.x;
}

template <class W, int kStates, int kLanes>
__device__ __forceinline__ void save_state(int64_t slot, const Numbers<W, kStates> (&state)[kLanes]) {
  W* at = slot_of<W, kStates, kLanes>(slot);
#pragma unroll
  for (int i = 0; i < kStates * kLanes; i++) at[i * blockDim.x] = state[i % kLanes].at[i / kLanes];
}

template <class W, int kStates, int kLanes>
__device__ __forceinline__ void restore_state(int64_t slot, Numbers<W, kStates> (&state)[kLanes]) {
  const W* at = slot_of<W, kStates, kLanes>(slot);
#pragma unroll
  for (int i = 0; i < kStates * kLanes; i++) state[i % kLanes].at[i / kLanes] = at[i * blockDim.x];
}

// Calls use(k) for k = from, from - 1, ... 0, where each k is a compile-time constant and from < kSteps <= 16. A
// partial chunk jumps into the middle of the unrolled steps. A condition at each step would add two to four
// instructions to about fifty.
template <int kSteps, class Use>
__device__ __forceinline__ void from_step_down(int from, Use use) {
#define SPIKEGRAD_STEP(k)             \
  case k:                             \
    if constexpr (k < kSteps) use(k); \
    [[fallthrough]];
  if (from >= kSteps - 1) goto full;  // with ==, the compiler adds a case and searches all cases in turn
  switch (from) {
  full:
    SPIKEGRAD_STEP(15)
    SPIKEGRAD_STEP(14)
    SPIKEGRAD_STEP(13)
    SPIKEGRAD_STEP(12)
    SPIKEGRAD_STEP(11)
    SPIKEGRAD_STEP(10)
    SPIKEGRAD_STEP(9)
    SPIKEGRAD_STEP(8)
    SPIKEGRAD_STEP(7)
    SPIKEGRAD_STEP(6)
    SPIKEGRAD_STEP(5)
    SPIKEGRAD_STEP(4)
    SPIKEGRAD_STEP(3)
    SPIKEGRAD_STEP(2)
    SPIKEGRAD_STEP(1)
    SPIKEGRAD_STEP(0)
    default:
      break;
  }
#undef SPIKEGRAD_STEP
}

// The operands that a call may have. A common call has an array of cotangents for the spikes and a scalar cotangent for
// the membrane. It does not request the parameters' cotangents.
enum class Operands { common, any };

// g(x, t) returns t g(x) after a call of prepare(), which runs while the first loads are in flight. If prepare()
// returns false, the function returns without results.
template <class Form, Operands kOperands, class Stride, class T, class Neuron, class R, class Gradient, class Prepare>
__device__ __forceinline__ void pull_back(const LayerCotangent<T, Neuron>& call, const Chunks& chunks, R rule,
                                          const Neurons<Form::lanes, Stride>& neurons, const Gradient& g,
                                          Prepare prepare) {
  using W = Wide<T>;
  constexpr int kLanes = Form::lanes, kSteps = Form::steps;
  constexpr bool kAny = kOperands == Operands::any;
  const Layer<T, Neuron>& layer = call.layer;
  const Stride stride = neurons.stride;
  const int64_t steps = layer.shape.steps, start = neurons.at(steps, 0);
  const bool early = is_early(layer, rule);
  const bool sweeps = chunks.checkpoints_a_chunk == 0;
  const int chunk_steps = chunks.chunk_steps;

  const bool one_spike_bar = kAny && call.spikes_bar.is_scalar, one_membrane_bar = !kAny || call.membrane_bar.is_scalar;
  const Stride spikes_stride = one_spike_bar ? 0 : stride;
  const T* const spikes_bar = call.spikes_bar.data - (early && !one_spike_bar ? stride : 0);

  // Prefetched rows of the next chunk. `place` is the index of its first step in an array over time.
  Row<T, kLanes> next_x[kSteps] = {}, next_spike[kSteps] = {}, next_membrane[kAny ? kSteps : 1] = {};
  const auto load_x = [&](int64_t place, int count) { load_rows(layer.current.data + place, stride, count, next_x); };
  const auto load_bars = [&](int64_t place, int count) {
    const T* spike = spikes_bar + (one_spike_bar ? 0 : place);
    if (early && place == start) {  // step 0 has no row for its spike
      next_spike[0] = {};
#pragma unroll
      for (int k = 1; k < kSteps; k++) {
        if (k < count) next_spike[k] = load_row<kLanes>(rows_after(spike, k, spikes_stride));
      }
    } else {
      load_rows(spike, spikes_stride, count, next_spike);
    }
    if constexpr (kAny) {
      const T* membrane = call.membrane_bar.data + (one_membrane_bar ? 0 : place);
      load_rows(membrane, one_membrane_bar ? Stride(0) : stride, count, next_membrane);
    }
  };

  // `section` counts the remaining sections. The current piece has the chunks from `begin` to `end`; the last of them
  // has `count` steps.
  int64_t section = chunks.sections - 1;
  int end = chunks.last_section_chunks;
  int begin = sweeps && end > chunks.slots + 1 ? end - (chunks.slots + 1) : 0;
  int count = static_cast<int>(steps - section * chunks.section_steps - (end - 1) * chunk_steps);
  const int64_t chunk_places = chunk_steps * static_cast<int64_t>(stride);
  int64_t section_place = start + section * chunks.section_steps * static_cast<int64_t>(stride);
  int64_t place = section_place + (end - 1) * chunk_places;
  int64_t checkpoint = neurons.at(chunks.checkpoints, sweeps ? section : (end - 1) * chunks.checkpoints_a_chunk);

  States<W, Neuron> state[kLanes] = {};
  if (neurons.exist && steps > 0) {
    load_bars(place, count);
    if (sweeps && end > 1) {
      load_x(section_place, chunk_steps);
    } else {
      load_x(place, count);
    }
    load_checkpoint(call.checkpoints, checkpoint, state);
  }
  if (!prepare() || !neurons.exist) return;

  Parameters<W, Neuron> parameters[kLanes], parameters_bar[kLanes] = {};
  States<W, Neuron> state_bar[kLanes];
  load_states(layer.parameters, neurons, parameters);
  load_states(call.last_state_bar, neurons, state_bar);
  const W every_membrane_bar = kAny ? W(0) : to_wide(*call.membrane_bar.data);

  bool last_chunk = true;
  while (steps > 0) {
    if (sweeps) {
      int64_t swept = section_place;
      for (int q = 0; q < end - 1; q++) {
        if (q >= begin) save_state(q - begin, state);
        Row<T, kLanes> now[kSteps];
#pragma unroll
        for (int k = 0; k < kSteps; k++) now[k] = next_x[k];
        swept += chunk_places;
        load_x(swept, q + 2 < end ? chunk_steps : count);
#pragma unroll
        for (int k = 0; k < kSteps; k++) {
          if (k >= chunk_steps) break;
#pragma unroll
          for (int j = 0; j < kLanes; j++) {
            state[j] = step(Neuron{}, state[j], to_wide(now[k].lane[j]), parameters[j], rule).state;
          }
        }
      }
    }

    for (int q = end - 1;; q--) {
      Kept<W, Neuron> kept[kSteps][kLanes];
#pragma unroll
      for (int k = 0; k < kSteps; k++) {
        // Steps beyond the last one are computed too, except with reset_undecayed, where the last spike needs the last
        // state.
        if (early && k >= count) break;
#pragma unroll
        for (int j = 0; j < kLanes; j++) {
          const W x = to_wide(next_x[k].lane[j]);
          const Step<W, Neuron> out = step(Neuron{}, state[j], x, parameters[j], rule);
          kept[k][j] = keep(Neuron{}, state[j], x, parameters[j], out, rule);
          state[j] = out.state;
        }
      }
      if (early && last_chunk) {
        last_chunk = false;
        const T* last = call.spikes_bar.data + (one_spike_bar ? 0 : neurons.at(steps, steps - 1));
#pragma unroll
        for (int j = 0; j < kLanes; j++) {
          const W distance = last_distance(Neuron{}, state[j], parameters[j]);
          pull_back_last_distance(Neuron{}, g(distance, to_wide(last[j])), state_bar[j], parameters_bar[j]);
        }
      }

      Row<T, kLanes> spike_bars[kSteps], membrane_bars[kAny ? kSteps : 1];
#pragma unroll
      for (int k = 0; k < kSteps; k++) spike_bars[k] = next_spike[k];
      if constexpr (kAny) {
#pragma unroll
        for (int k = 0; k < kSteps; k++) membrane_bars[k] = next_membrane[k];
      }
      T* const x_bar = call.current_bar + place;
      place -= chunk_places;
      if (q > begin) {
        load_x(place, chunk_steps);
        load_bars(place, chunk_steps);
        if (sweeps) {
          restore_state(q - 1 - begin, state);
        } else {
          checkpoint -= chunks.checkpoints_a_chunk * static_cast<int64_t>(stride);
          load_checkpoint(call.checkpoints, checkpoint, state);
        }
      }

      from_step_down<kSteps>(count - 1, [&](int k) {
        Row<T, kLanes> out;
#pragma unroll
        for (int j = 0; j < kLanes; j++) {
          StepCotangent<W, Neuron> bar = {state_bar[j], every_membrane_bar, to_wide(spike_bars[k].lane[j])};
          if constexpr (kAny) bar.membrane = to_wide(membrane_bars[k].lane[j]);
          const W distance = kept_distance(Neuron{}, kept[k][j], parameters[j]);
          const W distance_bar = g(distance, spike_cotangent(Neuron{}, kept[k][j], parameters[j], bar, rule));
          const Pulled<W, Neuron> pulled =
              pulled_back(Neuron{}, kept[k][j], heaviside(distance), parameters[j], bar, distance_bar, rule);
          out.lane[j] = from_wide(pulled.x, T{});
          state_bar[j] = pulled.state;
#pragma unroll
          for (int i = 0; i < Neuron::parameters; i++) parameters_bar[j].at[i] += pulled.parameters.at[i];
        }
        store_row(rows_after(x_bar, k, stride), out);
      });
      count = chunk_steps;
      if (q == begin) break;
    }

    // Go to the next piece: earlier chunks of this section, or else the previous section.
    if (begin > 0) {
      end = begin;
    } else {
      if (section == 0) break;
      section--;
      section_place -= chunks.section_steps * static_cast<int64_t>(stride);
      checkpoint -= stride;
      end = chunks.section_chunks;
      count = static_cast<int>(chunks.section_steps - (end - 1) * chunk_steps);
      place = section_place + (end - 1) * chunk_places;
    }
    begin = end > chunks.slots + 1 ? end - (chunks.slots + 1) : 0;
    load_checkpoint(call.checkpoints, checkpoint, state);
    load_x(section_place, end > 1 ? chunk_steps : count);
    load_bars(place, count);
  }

  store_states(call.first_state_bar, neurons, state_bar);
  if (kAny && call.parameters_bar[0]) store_states(call.parameters_bar, neurons, parameters_bar);
}

// The fallback for parameters without a fast path. It processes one neuron after the other, one step at a time, with
// `slots` slots in the shared memory of the block.
template <Operands kOperands, class Stride, class Gradient, class T, class Neuron, class R>
__device__ __forceinline__ void pull_back_slowly(const LayerCotangent<T, Neuron>& call, int lanes, int slots, R rule,
                                                 const Gradient& gradient) {
  const LayerShape& shape = call.layer.shape;
  const Chunks chunks = chunks_of(shape.steps, call.layer.every, 1, slots);
  const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
#pragma unroll 1
  for (int j = 0; j < lanes; j++) {
    const Neurons<1, Stride> neurons(shape, j * threads + static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
    pull_back<Form<1, 1>, kOperands>(call, chunks, rule, neurons, gradient, [] { return true; });
  }
}

// The kernels. Profilers show these names.

// Minimum blocks a multiprocessor, which limits the registers. The choices are 16 warps with 128 registers a thread or
// 12 warps with 168. With 128, ptxas spills for rules that keep more values alive and for four float neurons a thread.
template <class T, class Form, class R>
constexpr int kCotangentBlocks =
    Form::lanes * sizeof(T) == 16 || R::reset == Reset::zero || !R::charge_first ? 3 : kLayerBlocks;

template <class T, class Neuron, class Form, class R, class Family>
__global__ void __launch_bounds__(kLayerThreads, (kCotangentBlocks<T, Form, R>))
    layer_cotangent(LayerCotangent<T, Neuron> call, ParameterAddresses<Family> parameters, Chunks chunks, int slots) {
  const Neurons<Form::lanes, uint32_t> neurons(call.layer.shape);
  FastGradient<T, Family, 1> g{};
  bool fast = false;
  pull_back<Form, Operands::common>(call, chunks, R{}, neurons, g, [&] { return fast = g.prepare(parameters); });
  if (fast) return;
  g.with_slow(
      [&](const auto& slow) { pull_back_slowly<Operands::common, uint32_t>(call, Form::lanes, slots, R{}, slow); });
}

// For any call and any number of terms.
template <class T>
using AnyForm = Form<1, 8 * sizeof(float) / sizeof(Wide<T>)>;

template <class T, class Neuron, class Family>
__global__ void __launch_bounds__(kLayerThreads, sizeof(T) == sizeof(double) ? 3 : kLayerBlocks)
    layer_cotangent_any(LayerCotangent<T, Neuron> call, ParameterAddresses<Family> parameters, Chunks chunks,
                        int slots) {
  const Neurons<1, int64_t> neurons(call.layer.shape);
  with_any_gradient<T>(parameters, [&](const auto& gradient) {
    if constexpr (std::decay_t<decltype(gradient)>::is_fast) {
      pull_back<AnyForm<T>, Operands::any>(call, chunks, rule_of(call.layer), neurons, gradient, [] { return true; });
    } else {
      pull_back_slowly<Operands::any, int64_t>(call, 1, slots, rule_of(call.layer), gradient);
    }
  });
}

// Calls use(form) with the fastest form for this call. Measured on an H100 (2026-11-27), with neurons x steps in a
// thread.
// Times at 1000 x 512 and 500 x 8,192: 1 x 16 took 91 and 48 us, two neurons took 113 and 59 us.
// Fraction of a copy's speed in float at 500 x 65,536 and 128 x 1M: 2 x 8 reached 0.98 at both, 1 x 16 0.85 and 0.93.
// In bfloat16 at 128 x 1M and 4 x 2M: 4 x 4 reached 0.94 and 0.80, two neurons 0.86 and 0.71. At 500 x 65,536, 4 x 4
// reached 0.43 and 1 x 16 reached 0.68.
template <class T, class Neuron, class Use>
cudaError_t with_cotangent_form(const LayerCotangent<T, Neuron>& call, int multiprocessors, Use use) {
  const LayerShape& shape = call.layer.shape;
  const int64_t neurons = shape.outer * shape.inner;
  const auto fit = [&](int lanes) {
    bool all = fit_side_by_side(shape, lanes, call.layer.current.data, call.spikes_bar.data, call.current_bar);
    for (const Wide<T>* checkpoints : call.checkpoints) all = all && fit_side_by_side(shape, lanes, checkpoints);
    return all;
  };
  const bool halves = sizeof(T) < sizeof(float);
  if ((shape.steps < 16 || (halves && neurons >= int64_t{2048} * multiprocessors)) && fit(4)) return use(Form<4, 4>{});
  if constexpr (!halves) {
    if (neurons >= int64_t{256} * multiprocessors && fit(2)) return use(Form<2, 8>{});
  }
  return use(Form<1, 16>{});
}

// Whether a call has kernels that know its rule at compile time. Each such kernel adds, for every architecture, one
// second to the build and 20 KB to the module. So float16, double and surrogates of several terms have none.
template <class T, class Neuron, class Family>
bool has_cotangent_form(const LayerCotangent<T, Neuron>& call, const ParameterAddresses<Family>& parameters) {
  return parameters.count == Family::parameters && !call.spikes_bar.is_scalar && call.membrane_bar.is_scalar &&
         !call.parameters_bar[0] && has_short_rows(call.layer.shape);
}
template <class T>
constexpr bool kHasCotangentForms = std::is_same_v<T, float> || std::is_same_v<T, BFloat16>;

// Maximum slots for the fallback. With every = 22, the default for 500 steps, each section is swept once.
constexpr int kSlowSlots = 24;
constexpr int64_t kMostSharedBytes = 46 << 10;  // a block has 48 KiB by default

// The chunks of a form. Shared memory is the larger of its slots and the slots of the fallback.
template <class T, class Neuron, class Form>
Chunks cotangent_chunks(const Layer<T, Neuron>& layer, Grid& grid, int& slow_slots) {
  constexpr int64_t kSlotBytes = Neuron::states * sizeof(Wide<T>);  // per neuron
  const int64_t steps = layer.shape.steps;
  const auto room = [&] { return static_cast<int>(kMostSharedBytes / (kSlotBytes * Form::lanes * grid.threads)); };
  // Prefer smaller blocks to smaller pieces, because pieces sweep a section several times.
  while (grid.threads > kWarp && chunks_of(steps, layer.every, Form::steps, INT32_MAX).slots > room()) {
    grid.threads /= 2;
  }
  const Chunks chunks = chunks_of(steps, layer.every, Form::steps, room());
  const int slow = chunks_of(steps, layer.every, 1, kSlowSlots).slots, fast = chunks.slots * Form::lanes;
  slow_slots = slow > fast ? slow : fast;
  grid.shared_bytes = slow_slots * kSlotBytes * grid.threads;
  return chunks;
}

template <class T, class Neuron, class Family>
cudaError_t CotangentKernels<T, Neuron, Family>::launch(const LayerCotangent<T, Neuron>& call,
                                                        const ParameterAddresses<Family>& parameters,
                                                        cudaStream_t stream) {
  const LayerShape& shape = call.layer.shape;
  int multiprocessors;
  if (cudaError_t error = count_multiprocessors(multiprocessors); error != cudaSuccess) return error;
  const auto launch_form = [&](auto* kernel, auto form) {
    Grid grid = layer_grid(shape, form.lanes, multiprocessors);
    int slots;
    const Chunks chunks = cotangent_chunks<T, Neuron, decltype(form)>(call.layer, grid, slots);
    return launch_kernel(kernel, grid, stream, call, parameters, chunks, slots);
  };
  if constexpr (kHasCotangentForms<T>) {
    if (has_cotangent_form(call, parameters)) {
      return with_rule(call.layer, [&](auto rule) {
        return with_cotangent_form(call, multiprocessors, [&](auto form) {
          return launch_form(layer_cotangent<T, Neuron, decltype(form), decltype(rule), Family>, form);
        });
      });
    }
  }
  return launch_form(layer_cotangent_any<T, Neuron, Family>, AnyForm<T>{});
}

template <class T, class Neuron, class Family>
cudaError_t CotangentKernels<T, Neuron, Family>::load(const LayerCotangent<T, Neuron>& call,
                                                      const ParameterAddresses<Family>& parameters) {
  if constexpr (kHasCotangentForms<T>) {
    if (has_cotangent_form(call, parameters)) {
      int multiprocessors;
      if (cudaError_t error = count_multiprocessors(multiprocessors); error != cudaSuccess) return error;
      return with_rule(call.layer, [&](auto rule) {
        const auto load_form = [](auto form) {
          return load_kernel(layer_cotangent<T, Neuron, decltype(form), decltype(rule), Family>);
        };
        // Buffers at launch may have another alignment, which needs the form with one neuron a thread.
        if (cudaError_t error = load_form(Form<1, 16>{}); error != cudaSuccess) return error;
        return with_cotangent_form(call, multiprocessors, load_form);
      });
    }
  }
  return load_kernel(layer_cotangent_any<T, Neuron, Family>);
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_COTANGENT_H_
