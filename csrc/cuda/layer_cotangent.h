// A layer backwards through time, for any neuron.
#ifndef SPIKEGRAD_CUDA_LAYER_COTANGENT_H_
#define SPIKEGRAD_CUDA_LAYER_COTANGENT_H_

#include <type_traits>

#include "cuda/dynamic_shared.h"
#include "cuda/gradient.h"
#include "cuda/layer_forms.h"
#include "cuda/layer_kernels.h"
#include "cuda/layer_rows.h"

namespace spikegrad::cuda {

// How a layer is cut into chunks of steps that are recomputed into registers.
//
// Where checkpoints are close together, every chunk begins at one, and the whole of time is a single section. Where
// they are further apart than a chunk is long, a section is what lies between two of them: its steps are swept once,
// from its checkpoint on, to find the states at which its chunks begin. They wait in shared memory, a slot for each
// chunk but the last; a section with more chunks than `slots` + 1 is taken in pieces, each with a sweep of its own.
struct Chunks {
  int64_t section_steps;  // of all sections but the last
  int64_t sections;
  int64_t checkpoints;
  int64_t checkpoints_a_chunk;  // 0 where sections are swept
  int section_chunks;           // of all sections but the last
  int last_section_chunks;
  int chunk_steps;
  int slots;
};

// The chunks of at most `most_steps` steps. A layer that is no longer than that is one chunk, whatever its checkpoints.
SPIKEGRAD_SCALAR Chunks chunks_of(int64_t steps, int64_t every, int most_steps, int slots) {
  Chunks chunks = {steps, 1, checkpoints_of(steps, every), 1, 1, 1, most_steps, 0};
  if (steps <= most_steps) return chunks;
  if (every <= most_steps) {
    chunks.checkpoints_a_chunk = most_steps / every;
    chunks.chunk_steps = static_cast<int>(chunks.checkpoints_a_chunk * every);
    chunks.last_section_chunks = static_cast<int>((steps + chunks.chunk_steps - 1) / chunks.chunk_steps);
    return chunks;
  }
  // Chunks of about one length: a short one at the end would leave little time for what the next one loads.
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

// The states at which chunks begin: [slot][state][lane][thread], so that no two threads of a warp meet in a bank.
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

// Calls use(k) for k = from, from - 1, ... 0, each a constant; from < kSteps <= 16. A chunk that is not full enters the
// unrolled steps in their middle: a condition at each of them would be two to four of some fifty instructions.
template <int kSteps, class Use>
__device__ __forceinline__ void from_step_down(int from, Use use) {
#define SPIKEGRAD_STEP(k)             \
  case k:                             \
    if constexpr (k < kSteps) use(k); \
    [[fallthrough]];
  if (from >= kSteps - 1) goto full;  // >=, or the compiler would make it one more of the cases, all searched in turn
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

// What a call may have. The common call has an array of cotangents for the spikes, one number for the membrane's
// cotangents, and does not ask for the parameters' cotangents.
enum class Operands { common, any };

// g(x, t) is t g(x). prepare() makes it so, after the first loads are on their way; where it returns false nothing more
// is done.
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

  // Of the chunk that comes next. `place` is where its first step lies in an array over time.
  Row<T, kLanes> next_x[kSteps] = {}, next_spike[kSteps] = {}, next_membrane[kAny ? kSteps : 1] = {};
  const auto load_x = [&](int64_t place, int count) { load_rows(layer.current.data + place, stride, count, next_x); };
  const auto load_bars = [&](int64_t place, int count) {
    const T* spike = spikes_bar + (one_spike_bar ? 0 : place);
    if (early && place == start) {  // no spike is written for step 0
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

  // The sections that are left, and the chunks of this one from `begin` to `end`. The chunk before `end` has `count`
  // steps.
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
        // Steps after the last are computed too, but for the state that the last spike is made of.
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

    // The next piece: of the same section what lies before, or the section before.
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

// The slow way, for parameters whose g has no fast one: a neuron after the other, a step at a time, with as many slots
// as the launch has given the block memory for.
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

// The kernels. Their names are what a profiler shows.

// Blocks a multiprocessor for which a kernel leaves registers. There is nothing between 16 warps with 128 registers a
// thread and 12 with 168, and with 128 ptxas spills where a rule keeps more alive, or a thread has four neurons in
// float.
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

// Whatever the call, and the family's terms.
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

// use(form) for the form of a call on a device. An H100 (2026-11-27) took 91 us for 1000 x 512 and 48 for 500 x 8,192
// with one neuron a thread and 16 steps at a time, and 113 and 59 with two. At 500 x 65,536 and 128 x 1M in float two
// neurons and 8 steps reached 0.98 of a copy, and one and 16 0.85 and 0.93. In bfloat16 four neurons and 4 steps
// reached 0.94 at 128 x 1M and 0.80 at 4 x 2M (two: 0.86 and 0.71), but 0.43 at 500 x 65,536, where one and 16 reached
// 0.68.
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

// Whether there are kernels that know a call's rule. Each of them is a second of the build for every architecture and
// 20 KB of the module, so there are none for float16 and double, nor for surrogates of several terms.
template <class T, class Neuron, class Family>
bool has_cotangent_form(const LayerCotangent<T, Neuron>& call, const ParameterAddresses<Family>& parameters) {
  return parameters.count == Family::parameters && !call.spikes_bar.is_scalar && call.membrane_bar.is_scalar &&
         !call.parameters_bar[0] && has_short_rows(call.layer.shape);
}
template <class T>
constexpr bool kHasCotangentForms = std::is_same_v<T, float> || std::is_same_v<T, BFloat16>;

// Slots that the slow way is given at most: with every = 22, the default for 500 steps, it sweeps a section once.
constexpr int kSlowSlots = 24;
constexpr int64_t kMostSharedBytes = 46 << 10;  // of the 48 KiB that a block has without being allowed more

// The chunks of a form, and shared memory for its slots or for the slots of the slow way, whichever are more.
template <class T, class Neuron, class Form>
Chunks cotangent_chunks(const Layer<T, Neuron>& layer, Grid& grid, int& slow_slots) {
  constexpr int64_t kSlotBytes = Neuron::states * sizeof(Wide<T>);  // of a neuron
  const int64_t steps = layer.shape.steps;
  const auto room = [&] { return static_cast<int>(kMostSharedBytes / (kSlotBytes * Form::lanes * grid.threads)); };
  // Smaller blocks before smaller pieces, whose sections are swept more than once.
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
        // The buffers of the launch may lie elsewhere: then neurons go one by one.
        if (cudaError_t error = load_form(Form<1, 16>{}); error != cudaSuccess) return error;
        return with_cotangent_form(call, multiprocessors, load_form);
      });
    }
  }
  return load_kernel(layer_cotangent_any<T, Neuron, Family>);
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_COTANGENT_H_
