// The forms of a layer's kernels: how many neurons a thread has, and how many steps it takes at a time.
#ifndef SPIKEGRAD_CUDA_LAYER_FORMS_H_
#define SPIKEGRAD_CUDA_LAYER_FORMS_H_

#include <cstdint>

#include "cuda/launch.h"
#include "neurons/layer_call.h"

namespace spikegrad::cuda {

template <int kLanes, int kSteps>
struct Form {
  static constexpr int lanes = kLanes;
  static constexpr int steps = kSteps;
};

constexpr int kWarp = 32;
constexpr int kLayerThreads = 128;
// Blocks a multiprocessor for which the kernels leave registers: what is in flight is what a thread holds in them, and
// 16 warps with 128 registers each hold as much as ptxas finds use for without spilling.
constexpr int kLayerBlocks = 4;

// The neurons of a layer, and whether a thread can take several that lie side by side: they do in every row, at the
// alignment of their accesses. XLA places its buffers so, but promises no more than an element's alignment.
template <class... T>
bool fit_side_by_side(const LayerShape& shape, int lanes, const T*... arrays) {
  return shape.inner % lanes == 0 &&
         ((reinterpret_cast<uintptr_t>(arrays) % (static_cast<size_t>(lanes) * sizeof(T)) == 0) && ...);
}

// The kernels with 32 bits for the way from one step to the next.
inline bool has_short_rows(const LayerShape& shape) { return shape.inner <= UINT32_MAX; }

// Few neurons go to all multiprocessors, warp by warp.
inline Grid layer_grid(const LayerShape& shape, int lanes, int multiprocessors) {
  const int64_t threads = (shape.outer * shape.inner + lanes - 1) / lanes;
  int block = kLayerThreads;
  while (block > kWarp && threads < static_cast<int64_t>(block) * multiprocessors) block /= 2;
  return {threads, block};
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_FORMS_H_
