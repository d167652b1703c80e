// Loading and launching kernels.
#ifndef SPIKEGRAD_CUDA_LAUNCH_H_
#define SPIKEGRAD_CUDA_LAUNCH_H_

#include <cuda_runtime.h>

#include <cstdint>

namespace spikegrad::cuda {

// For the current device.
inline cudaError_t count_multiprocessors(int& count) {
  int device;
  if (cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
  return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
}

// A grid with one thread for each piece of work. Measured on an H100 (2026-11-27): 1.01 of a copy's speed for the spike
// and 1.03 for the VJP. A grid-stride loop with a few blocks a multiprocessor reached only 0.94 to 0.96.
struct Grid {
  int64_t work;  // number of threads that have work
  int threads;   // per block
  int64_t shared_bytes = 0;
};

template <class... Params, class... Args>
cudaError_t launch_kernel(void (*kernel)(Params...), const Grid& grid, cudaStream_t stream, Args... args) {
  if (grid.work == 0) return cudaSuccess;
  cudaLaunchConfig_t config = {};
  config.gridDim.x = static_cast<unsigned>((grid.work + grid.threads - 1) / grid.threads);
  config.blockDim.x = static_cast<unsigned>(grid.threads);
  config.dynamicSmemBytes = static_cast<size_t>(grid.shared_bytes);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

// Under lazy loading, reading the attributes of a kernel loads it.
template <class... Params>
cudaError_t load_kernel(void (*kernel)(Params...)) {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, kernel);
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_LAUNCH_H_
