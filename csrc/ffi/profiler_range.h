// NVTX ranges for the handlers, in the domain "spikegrad", named after the kernel. Without a profiler a range costs 2
// to 4 ns (measured on a busy x86-64 core). A registered string would cost 4 to 6 ns, because of its guarded static.
#ifndef SPIKEGRAD_FFI_PROFILER_RANGE_H_
#define SPIKEGRAD_FFI_PROFILER_RANGE_H_

#include <nvtx3/nvtx3.hpp>

#include "math/families.h"
#include "neurons/neurons.h"

namespace spikegrad {

struct ProfilerDomain {
  static constexpr const char* name = "spikegrad";
};

using ProfilerRange = nvtx3::scoped_range_in<ProfilerDomain>;

template <class Family>
constexpr const char* kFamilyName = nullptr;
#define SPIKEGRAD_NAME(name, Family) \
  template <>                        \
  inline constexpr const char* kFamilyName<Family> = #name;
SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_NAME)
#undef SPIKEGRAD_NAME

struct LayerNames {
  const char* forward;
  const char* tangent;
  const char* cotangent;
};

template <class Neuron>
constexpr LayerNames kLayerNames = {};
#define SPIKEGRAD_NAME(name, Neuron) \
  template <>                        \
  inline constexpr LayerNames kLayerNames<Neuron> = {#name, #name "_tangent", #name "_cotangent"};
SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_NAME)
#undef SPIKEGRAD_NAME

}  // namespace spikegrad

#endif  // SPIKEGRAD_FFI_PROFILER_RANGE_H_
