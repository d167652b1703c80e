// The kernels of lif, its tangent and its pullback as plain functions: no XLA, no threads. Each takes the neurons
// [begin, end) of a call through all of time.
#ifndef SPIKEGRAD_CPU_LIF_KERNELS_H_
#define SPIKEGRAD_CPU_LIF_KERNELS_H_

#include <cstdint>

#include "cpu/kernels.h"
#include "math/half.h"
#include "neurons/lif_call.h"

namespace spikegrad {

// Neurons that a kernel takes through time together: rows that lie together are what memory is fast at. In turns with
// the other on two cores, 1000 x 8192 in float went forward as fast in blocks of 8192, and 0.9 times as fast in blocks
// of 2048, 0.8 in blocks of 1024; back, where strips are called ahead (lif_kernels.cc), as fast in all of them.
constexpr int64_t kBlock = 4096;

template <class T, class Family>
struct LifDerivativeKernels {
  void (*tangent)(const LifTangent<T>& call, int64_t begin, int64_t end, const Family& g);
  // False where there was no memory for a segment between two checkpoints.
  bool (*cotangent)(const LifCotangent<T>& call, int64_t begin, int64_t end, const Family& g);
};

template <class T>
struct LifElementKernels {
  void (*forward)(const LifForward<T>& call, int64_t begin, int64_t end);

#define SPIKEGRAD_DECLARE(name, Family) \
  LifDerivativeKernels<T, Family> name; \
  const LifDerivativeKernels<T, Family>& of(const Family&) const { return name; }
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DECLARE)
#undef SPIKEGRAD_DECLARE
};

struct LifKernels {
  LifElementKernels<Float16> f16;
  LifElementKernels<BFloat16> bf16;
  LifElementKernels<float> f32;
  LifElementKernels<double> f64;
};

// One table an instruction set, all compiled from lif_kernels.cc.
namespace baseline {
extern const LifKernels lif_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const LifKernels lif_kernels;
}
namespace avx512 {
extern const LifKernels lif_kernels;
}
#endif

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_LIF_KERNELS_H_
