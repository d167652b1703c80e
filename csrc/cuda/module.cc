// The Python module spikegrad._cuda.
#include <cuda_runtime_api.h>
#include <nanobind/nanobind.h>

#include "cuda/handlers.h"

namespace nb = nanobind;

NB_MODULE(_cuda, m) {
  m.doc() = "The CUDA kernels of spikegrad as XLA FFI handlers.";
  m.def(
      "targets",
      [] {
        nb::dict targets;
        const auto add = [&targets](const char* name, auto* initialize, auto* execute) {
          nb::dict stages;
          stages["initialize"] = nb::capsule(reinterpret_cast<void*>(initialize));
          stages["execute"] = nb::capsule(reinterpret_cast<void*>(execute));
          targets[name] = stages;
        };
#define SPIKEGRAD_ADD(symbol, name) \
  add(name, spikegrad::cuda::spikegrad_cuda_initialize_##symbol, spikegrad::cuda::spikegrad_cuda_##symbol);
        SPIKEGRAD_FOR_EACH_TARGET(SPIKEGRAD_ADD)
#undef SPIKEGRAD_ADD
        return targets;
      },
      "The FFI targets: for each name a capsule for each of its stages.");
  m.attr("ffi_api_version") = nb::make_tuple(XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR);
  m.def(
      "driver_version",
      [] {
        int version = 0;
        return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
      },
      "The newest version of CUDA that the driver supports, as 1000 * major + 10 * minor; 0 without a driver.");
  m.attr("cuda_version") = CUDART_VERSION;
  m.attr("architectures") = SPIKEGRAD_CUDA_ARCHITECTURES;
}
