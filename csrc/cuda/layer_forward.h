// The forward pass of a layer over time, for any neuron.
#ifndef SPIKEGRAD_CUDA_LAYER_FORWARD_H_
#define SPIKEGRAD_CUDA_LAYER_FORWARD_H_

#include "cuda/layer_forms.h"
#include "cuda/layer_kernels.h"
#include "cuda/layer_rows.h"

namespace spikegrad::cuda {

// Form::steps steps are held in registers while the next ones are loaded. A chunk without checkpoints, membrane output
// and the first or last steps runs code without conditions.
template <class Form, class Stride, bool kMembrane, class T, class Neuron, class R>
__device__ __forceinline__ void go_forward(const LayerForward<T, Neuron>& call, int64_t checkpoint_count, R rule) {
  using W = Wide<T>;
  constexpr int kLanes = Form::lanes, kSteps = Form::steps;
  const Layer<T, Neuron>& layer = call.layer;
  const Neurons<kLanes, Stride> neurons(layer.shape);
  if (!neurons.exist) return;
  const Stride stride = neurons.stride;
  const int64_t steps = layer.shape.steps, start = neurons.at(steps, 0);
  const bool early = is_early(layer, rule);

  Row<T, kLanes> next[kSteps] = {};
  const T* x = layer.current.data + start;
  load_rows(x, stride, steps, next);

  Parameters<W, Neuron> parameters[kLanes];
  States<W, Neuron> state[kLanes];
  load_states(layer.parameters, neurons, parameters);
  load_states(call.first_state, neurons, state);
  T* spikes = call.spikes + start - (early ? stride : 0);
  T* membrane = kMembrane && call.membrane ? call.membrane + start : nullptr;
  int64_t checkpoint = neurons.at(checkpoint_count, 0);
  int64_t to_checkpoint = layer.every ? 0 : steps;

  for (int64_t left = steps; left > 0; left -= kSteps) {
    Row<T, kLanes> now[kSteps];
#pragma unroll
    for (int k = 0; k < kSteps; k++) now[k] = next[k];
    x = rows_after(x, kSteps, stride);
    load_rows(x, stride, left - kSteps, next);
    if (to_checkpoint == 0) {
      store_checkpoint(call.checkpoints, checkpoint, state);
      checkpoint += stride;
      to_checkpoint = layer.every;
    }

    const auto advance = [&](int k, Row<T, kLanes>& spike, Row<T, kLanes>& u) {
#pragma unroll
      for (int j = 0; j < kLanes; j++) {
        const Step<W, Neuron> out = step(Neuron{}, state[j], to_wide(now[k].lane[j]), parameters[j], rule);
        spike.lane[j] = from_wide(out.spike, T{});
        u.lane[j] = from_wide(out.membrane, T{});
        state[j] = out.state;
      }
    };
    if (left >= kSteps && to_checkpoint >= kSteps && !membrane && !(early && left == steps)) {
#pragma unroll
      for (int k = 0; k < kSteps; k++) {
        Row<T, kLanes> spike, u;
        advance(k, spike, u);
        store_row(rows_after(spikes, k, stride), spike);
      }
      to_checkpoint -= kSteps;
    } else {
#pragma unroll
      for (int k = 0; k < kSteps; k++) {
        if (k >= left) break;
        if (to_checkpoint == 0) {
          store_checkpoint(call.checkpoints, checkpoint, state);
          checkpoint += stride;
          to_checkpoint = layer.every;
        }
        to_checkpoint--;
        Row<T, kLanes> spike, u;
        advance(k, spike, u);
        if (k > 0 || !early || left < steps) store_row(rows_after(spikes, k, stride), spike);
        if (kMembrane && membrane) store_row(rows_after(membrane, k, stride), u);
      }
    }
    spikes = rows_after(spikes, kSteps, stride);
    if (membrane) membrane = rows_after(membrane, kSteps, stride);
  }

  if (early && steps > 0) {
    Row<T, kLanes> spike;
#pragma unroll
    for (int j = 0; j < kLanes; j++) {
      spike.lane[j] = from_wide(heaviside(last_distance(Neuron{}, state[j], parameters[j])), T{});
    }
    store_row(call.spikes + neurons.at(steps, steps - 1), spike);
  }
  store_states(call.last_state, neurons, state);
}

// The kernels. Profilers show these names.

template <class T, class Neuron, class Form, class R>
__global__ void __launch_bounds__(kLayerThreads, kLayerBlocks)
    layer(LayerForward<T, Neuron> call, int64_t checkpoint_count) {
  go_forward<Form, uint32_t, false>(call, checkpoint_count, R{});
}

// For any call: also with membrane output, and with rows of any length.
template <class T, class Neuron>
__global__ void __launch_bounds__(kLayerThreads, kLayerBlocks)
    layer_any(LayerForward<T, Neuron> call, int64_t checkpoint_count) {
  go_forward<Form<1, 8>, int64_t, true>(call, checkpoint_count, rule_of(call.layer));
}

// Calls use(form) with the fastest form for this call. Measured on an H100 (132 multiprocessors, 2026-11-27).
// Steps at a time: 16 took 20 us at 1000 x 512 and 28 us at 500 x 8,192; 32 took 34 and 22 us.
// Fraction of a copy's speed at 500 x 65,536 and 128 x 1M: two neurons a thread reached 0.90 and 0.96, one 0.88 and
// 0.94.
// In short layers, 4 x 2M: four neurons a thread reached 0.87, and 0.76 in bfloat16 (one: 0.62).
template <class T, class Neuron, class Use>
cudaError_t with_forward_form(const LayerForward<T, Neuron>& call, int multiprocessors, Use use) {
  const LayerShape& shape = call.layer.shape;
  const int64_t neurons = shape.outer * shape.inner;
  const auto fit = [&](int lanes) {
    bool all = fit_side_by_side(shape, lanes, call.layer.current.data, call.spikes);
    for (const Wide<T>* checkpoints : call.checkpoints) all = all && fit_side_by_side(shape, lanes, checkpoints);
    return all;
  };
  if constexpr (sizeof(T) < sizeof(double)) {
    if (shape.steps < 16 && fit(4)) return use(Form<4, 4>{});
  }
  if (neurons >= int64_t{256} * multiprocessors && fit(2)) return use(Form<2, 16 * sizeof(float) / sizeof(Wide<T>)>{});
  if constexpr (sizeof(T) < sizeof(double)) {
    if (neurons >= int64_t{32} * multiprocessors) return use(Form<1, 32>{});
  }
  return use(Form<1, 16>{});
}

// The forward pass does not depend on detach_reset. Fewer kernels are compiled this way.
template <class R>
using ForwardRule = StaticRule<R::charge_first, R::reset, false>;

template <class T, class Neuron>
bool has_forward_form(const LayerForward<T, Neuron>& call) {
  return !call.membrane && has_short_rows(call.layer.shape);
}

template <class T, class Neuron>
cudaError_t ForwardKernels<T, Neuron>::launch(const LayerForward<T, Neuron>& call, cudaStream_t stream) {
  const LayerShape& shape = call.layer.shape;
  int multiprocessors;
  if (cudaError_t error = count_multiprocessors(multiprocessors); error != cudaSuccess) return error;
  const int64_t checkpoint_count = call.layer.every ? checkpoints_of(shape.steps, call.layer.every) : 0;
  if (!has_forward_form(call)) {
    return launch_kernel(layer_any<T, Neuron>, layer_grid(shape, 1, multiprocessors), stream, call, checkpoint_count);
  }
  return with_rule(call.layer, [&](auto rule) {
    return with_forward_form(call, multiprocessors, [&](auto form) {
      return launch_kernel(layer<T, Neuron, decltype(form), ForwardRule<decltype(rule)>>,
                           layer_grid(shape, form.lanes, multiprocessors), stream, call, checkpoint_count);
    });
  });
}

template <class T, class Neuron>
cudaError_t ForwardKernels<T, Neuron>::load(const LayerForward<T, Neuron>& call) {
  if (!has_forward_form(call)) return load_kernel(layer_any<T, Neuron>);
  int multiprocessors;
  if (cudaError_t error = count_multiprocessors(multiprocessors); error != cudaSuccess) return error;
  return with_rule(call.layer, [&](auto rule) {
    const auto load_form = [](auto form) {
      return load_kernel(layer<T, Neuron, decltype(form), ForwardRule<decltype(rule)>>);
    };
    // Buffers at launch may have another alignment, which needs a form with one neuron a thread.
    if (cudaError_t error = load_form(Form<1, 16>{}); error != cudaSuccess) return error;
    if constexpr (sizeof(T) < sizeof(double)) {
      if (cudaError_t error = load_form(Form<1, 32>{}); error != cudaSuccess) return error;
    }
    return with_forward_form(call, multiprocessors, load_form);
  });
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_FORWARD_H_
