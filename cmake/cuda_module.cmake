# Builds the CUDA kernels and the Python module _cuda.
refuse_unsafe_flags("^CMAKE_CUDA_FLAGS" CUDAFLAGS NVCC_PREPEND_FLAGS NVCC_APPEND_FLAGS)
set(CMAKE_CUDA_COMPILER "${SPIKEGRAD_NVCC}")
if(DEFINED CMAKE_CUDA_FLAGS)
  string(APPEND CMAKE_CUDA_FLAGS " ${SPIKEGRAD_NVCC_FLAGS}")
else()
  set(ENV{CUDAFLAGS} "$ENV{CUDAFLAGS} ${SPIKEGRAD_NVCC_FLAGS}")  # initialises CMAKE_CUDA_FLAGS
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES AND "$ENV{CUDAARCHS}" STREQUAL "")
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)  # also PTX for the last one, for future devices
endif()
enable_language(CUDA)

if(SPIKEGRAD_KERNELS)
  import_kernels(spikegrad_kernels_cuda)
  set_target_properties(spikegrad_kernels_cuda PROPERTIES IMPORTED_LINK_INTERFACE_LANGUAGES CUDA)
else()
  # No automatic contraction here either, so that a GPU and a CPU with FMA give equal bits.
  add_library(spikegrad_kernels_cuda STATIC ${SPIKEGRAD_CUDA_SOURCES})
  target_include_directories(spikegrad_kernels_cuda PRIVATE csrc)
  target_compile_features(spikegrad_kernels_cuda PRIVATE cuda_std_17)
  target_compile_options(spikegrad_kernels_cuda PRIVATE
    -fmad=false --compress-mode=size --threads=0 -Xcompiler=-Wall,-Wextra,-ffp-contract=off)
  if(SPIKEGRAD_TESTING)
    target_compile_options(spikegrad_kernels_cuda PRIVATE -Werror=all-warnings)
  endif()
  set_target_properties(spikegrad_kernels_cuda PROPERTIES
    CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden CUDA_EXTENSIONS OFF CUDA_STANDARD_REQUIRED ON)
endif()

# Link a static CUDA runtime: the module can then be imported without a driver, and beside any version of jax's runtime.
nanobind_add_module(_cuda STABLE_ABI FREE_THREADED NB_STATIC NB_SUPPRESS_WARNINGS
  csrc/cuda/module.cc csrc/cuda/spike_handlers.cc csrc/cuda/layer_handlers.cc)
set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
list(JOIN CMAKE_CUDA_ARCHITECTURES ", " architectures)
target_compile_definitions(_cuda PRIVATE SPIKEGRAD_CUDA_ARCHITECTURES="${architectures}")
target_include_directories(_cuda SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_link_libraries(_cuda PRIVATE spikegrad_handlers spikegrad_kernels_cuda)
install(TARGETS _cuda LIBRARY DESTINATION spikegrad COMPONENT _cuda)
