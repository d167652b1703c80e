// Converts CUDA errors to FFI errors.
#ifndef SPIKEGRAD_CUDA_CHECKED_H_
#define SPIKEGRAD_CUDA_CHECKED_H_

#include <cuda_runtime_api.h>

#include <sstream>

#include "xla/ffi/api/ffi.h"

namespace spikegrad::cuda {

inline xla::ffi::Error checked(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return xla::ffi::Error::Success();
  std::ostringstream message;
  message << "spikegrad: " << what << " failed: " << cudaGetErrorName(error) << " (" << cudaGetErrorString(error)
          << ')';
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoKernelImageForDevice) {
    message << ". The CUDA kernels need a driver for CUDA 13 and a GPU of compute capability 8.0 or newer; without "
               "them, switch to jax.numpy: spikegrad.use_kernels(False) or SPIKEGRAD_KERNELS=0";
  }
  return xla::ffi::Error::Internal(message.str());
}

}  // namespace spikegrad::cuda

#endif  // SPIKEGRAD_CUDA_CHECKED_H_
