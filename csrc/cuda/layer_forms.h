// The forms of a layer's kernels: neurons per thread (lanes), and steps that a thread processes at a time.
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
// Minimum blocks a multiprocessor, which limits the registers. Data in flight are held in registers. 16 warps with 128
// registers a thread hold as much as ptxas can use without spills.
constexpr int kLayerBlocks = 4;

// Whether a thread can process `lanes` adjacent neurons: they must be adjacent in every row and aligned for one access.
// XLA aligns its buffers this way, but guarantees only the alignment of an element.
template <class... T>
bool fit_side_by_side(const LayerShape& shape, int lanes, const T*... arrays) {
  return shape.inner % lanes == 0 &&
         ((reinterpret_cast<uintptr_t>(arrays) % (static_cast<size_t>(lanes) * sizeof(T)) == 0) && ...);
}

// Whether 32 bits hold the stride from one step to the next.
inline bool has_short_rows(const LayerShape& shape) { return shape.inner <= UINT32_MAX; }

// With few neurons, blocks shrink down to one warp, so that all multiprocessors get work.
inline Grid layer_grid(const LayerShape& shape, int lanes, int multiprocessors) {
  const int64_t threads = (shape.outer * shape.inner + lanes - 1) / lanes;
  int block = kLayerThreads;
  while (block > kWarp && threads < static_cast<int64_t>(block) * multiprocessors) block /= 2;
  return {threads, block};
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAYER_FORMS_H_
