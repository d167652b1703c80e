// The tangent of a layer, forward over time, for any neuron.
#ifndef SPIKEGRAD_CUDA_LAYER_TANGENT_H_
#define SPIKEGRAD_CUDA_LAYER_TANGENT_H_

#include <type_traits>

#include "cuda/gradient.h"
#include "cuda/layer_forms.h"
#include "cuda/layer_kernels.h"
#include "cuda/layer_rows.h"

namespace spikegrad::cuda {

// Like go_forward (layer_forward.h), for a current and its tangent. g(x, t) returns t g(x).
template <class Form, class T, class Neuron, class Gradient>
__device__ __forceinline__ void carry_forward(const LayerTangent<T, Neuron>& call, const Gradient& g) {
  static_assert(Form::lanes == 1);
  using W = Wide<T>;
  constexpr int kSteps = Form::steps;
  const Layer<T, Neuron>& layer = call.layer;
  const Neurons<1, int64_t> neurons(layer.shape);
  if (!neurons.exist) return;
  const Rule rule = rule_of(layer);
  const int64_t stride = neurons.stride, steps = layer.shape.steps, start = neurons.at(steps, 0);
  const bool early = is_early(layer, rule), one_dot = call.current_dot.is_scalar;
  const int64_t dot_stride = one_dot ? 0 : stride;

  Row<T, 1> next_x[kSteps] = {}, next_dot[kSteps] = {};
  const T *x = layer.current.data + start, *x_dot = call.current_dot.data + (one_dot ? 0 : start);
  load_rows(x, stride, steps, next_x);
  load_rows(x_dot, dot_stride, steps, next_dot);

  Parameters<W, Neuron> parameters[1], parameters_dot[1];
  States<W, Neuron> state[1], state_dot[1];
  load_states(layer.parameters, neurons, parameters);
  load_states(call.parameters_dot, neurons, parameters_dot);
  load_states(call.first_state, neurons, state);
  load_states(call.first_state_dot, neurons, state_dot);
  StepTangent<W, Neuron> dot = {state_dot[0], 0, parameters_dot[0], call.moves};
  T* spikes_dot = call.spikes_dot + start - (early ? stride : 0);
  T* membrane_dot = call.membrane_dot ? call.membrane_dot + start : nullptr;

  for (int64_t left = steps; left > 0; left -= kSteps) {
    Row<T, 1> now_x[kSteps], now_dot[kSteps];
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      now_x[k] = next_x[k];
      now_dot[k] = next_dot[k];
    }
    x = rows_after(x, kSteps, stride);
    x_dot = rows_after(x_dot, kSteps, dot_stride);
    load_rows(x, stride, left - kSteps, next_x);
    load_rows(x_dot, dot_stride, left - kSteps, next_dot);
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      if (k >= left) break;
      dot.x = to_wide(now_dot[k].lane[0]);
      const W x_now = to_wide(now_x[k].lane[0]);
      const Step<W, Neuron> out = step(Neuron{}, state[0], x_now, parameters[0], rule);
      const W spike_dot = g(out.distance, distance_tangent(Neuron{}, state[0], x_now, parameters[0], dot, rule));
      if (k > 0 || !early || left < steps) *rows_after(spikes_dot, k, stride) = from_wide(spike_dot, T{});
      const StateTangent<W, Neuron> next =
          state_tangent(Neuron{}, state[0], x_now, parameters[0], out, dot, spike_dot, rule);
      if (membrane_dot) *rows_after(membrane_dot, k, stride) = from_wide(next.membrane, T{});
      dot.state = next.state;
      state[0] = out.state;
    }
    spikes_dot = rows_after(spikes_dot, kSteps, stride);
    if (membrane_dot) membrane_dot = rows_after(membrane_dot, kSteps, stride);
  }

  if (early && steps > 0) {
    const W spike_dot =
        g(last_distance(Neuron{}, state[0], parameters[0]), last_distance_tangent(Neuron{}, dot.state, dot.parameters));
    call.spikes_dot[neurons.at(steps, steps - 1)] = from_wide(spike_dot, T{});
  }
  state_dot[0] = dot.state;
  store_states(call.last_state_dot, neurons, state_dot);
}

// The kernel. Profilers show this name.
template <class T, class Neuron, class Family>
__global__ void __launch_bounds__(kLayerThreads, kLayerBlocks)
    layer_tangent(LayerTangent<T, Neuron> call, ParameterAddresses<Family> parameters) {
  with_any_gradient<T>(parameters, [&](const auto& gradient) {
    if constexpr (std::decay_t<decltype(gradient)>::is_fast) {
      carry_forward<Form<1, 4 * sizeof(float) / sizeof(Wide<T>)>>(call, gradient);
    } else {
      carry_forward<Form<1, 1>>(call, gradient);
    }
  });
}

template <class T, class Neuron, class Family>
cudaError_t TangentKernels<T, Neuron, Family>::launch(const LayerTangent<T, Neuron>& call,
                                                      const ParameterAddresses<Family>& parameters,
                                                      cudaStream_t stream) {
  int multiprocessors;
  if (cudaError_t error = count_multiprocessors(multiprocessors); error != cudaSuccess) return error;
  return launch_kernel(layer_tangent<T, Neuron, Family>, layer_grid(call.layer.shape, 1, multiprocessors), stream, call,
                       parameters);
}

template <class T, class Neuron, class Family>
cudaError_t TangentKernels<T, Neuron, Family>::load(const LayerTangent<T, Neuron>&, const ParameterAddresses<Family>&) {
  return load_kernel(layer_tangent<T, Neuron, Family>);
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_TANGENT_H_
