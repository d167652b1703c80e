// The parts of the CUDA runtime that csrc/cuda uses, for the host. With this header instead of CUDA's, a kernel runs as
// plain C++. Each thread of a block is one host thread, and blocks run one after the other. So the CPU's sanitizers
// check every access.
#pragma once

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __shared__ static  // there is one block at a time
#define __launch_bounds__(...)

using cudaStream_t = struct CUstream_st*;

enum cudaError_t { cudaSuccess };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

struct cudaFuncAttributes {};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace launch_shim {

// Replaces the number of threads a block; the number of blocks is adapted. With 0, each launch decides.
inline unsigned threads_of_launches;

// Of the simulated device. With 0, every layer counts as large.
inline int multiprocessors = 2;

// The configuration of the last launch.
inline constexpr cudaLaunchConfig_t kNothing = {{0, 0, 0}, {0, 0, 0}, 0, nullptr};
inline cudaLaunchConfig_t launched = kNothing;

inline std::barrier<>* threads_of_block;

// Replaces an `extern __shared__` array.
inline void* dynamic_shared_memory;

}  // namespace launch_shim

inline void __syncthreads() { launch_shim::threads_of_block->arrive_and_wait(); }

inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = launch_shim::multiprocessors;
  return cudaSuccess;
}

template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel*) {
  return cudaSuccess;
}

template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args... args) {
  dim3 grid = config->gridDim, block = config->blockDim;
  launch_shim::launched = *config;
  if (launch_shim::threads_of_launches) {
    grid.x = (grid.x * block.x + launch_shim::threads_of_launches - 1) / launch_shim::threads_of_launches;
    block.x = launch_shim::threads_of_launches;
  }
  // Allocated exactly, for AddressSanitizer. The bytes per thread are as requested, filled with NaN.
  const size_t shared_bytes = config->dynamicSmemBytes / config->blockDim.x * block.x;
  const std::unique_ptr<char[]> shared(new char[shared_bytes]);
  std::memset(shared.get(), 0xff, shared_bytes);
  launch_shim::dynamic_shared_memory = shared.get();
  // A thread that has left the kernel waits at `finished`, not at `synchronised`. So a kernel hangs here if
  // it would hang on the device.
  std::barrier<> synchronised(block.x), finished(block.x);
  launch_shim::threads_of_block = &synchronised;
  const auto run = [&](unsigned thread) {
    gridDim = grid;
    blockDim = block;
    threadIdx.x = thread;
    for (unsigned i = 0; i < grid.x; i++) {
      blockIdx.x = i;
      kernel(args...);
      finished.arrive_and_wait();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < block.x; i++) threads.emplace_back(run, i);
  run(0);
  for (std::thread& thread : threads) thread.join();
  return cudaSuccess;
}
