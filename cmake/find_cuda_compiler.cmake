# Finds the first nvcc of CUDA 13 or newer that can compile and link an empty kernel. Sets SPIKEGRAD_NVCC to its path
# and SPIKEGRAD_NVCC_FLAGS to the flags it needs. On failure SPIKEGRAD_NVCC is empty, and SPIKEGRAD_NVCC_MISSING gives
# the reason. SPIKEGRAD_NVCC_ASKED_FOR is ON if the user named a compiler; then no other compiler is tried.
#
# This replaces check_language(CUDA), which ignores versions, caches a failure, and hides the reason.
function(find_cuda_compiler)
  set(SPIKEGRAD_NVCC_ASKED_FOR OFF PARENT_SCOPE)
  # If the user named a compiler, it is the only candidate. Otherwise: PATH, /usr/local/cuda, then the build's own
  # packages.
  if(CMAKE_CUDA_COMPILER)
    set(candidates "${CMAKE_CUDA_COMPILER}")
    set(SPIKEGRAD_NVCC_ASKED_FOR ON PARENT_SCOPE)
  elseif(NOT "$ENV{CUDACXX}" STREQUAL "")
    set(candidates "$ENV{CUDACXX}")
    set(SPIKEGRAD_NVCC_ASKED_FOR ON PARENT_SCOPE)
  else()
    find_program(on_path nvcc HINTS ENV CUDA_PATH PATH_SUFFIXES bin NO_CACHE)
    if(on_path)
      list(APPEND candidates "${on_path}")
    endif()
    if(EXISTS /usr/local/cuda/bin/nvcc)
      list(APPEND candidates /usr/local/cuda/bin/nvcc)
    endif()
    foreach(root IN LISTS SPIKEGRAD_NVIDIA_WHEELS)
      if(EXISTS "${root}/bin/nvcc")
        list(APPEND candidates "${root}/bin/nvcc")
      endif()
    endforeach()
  endif()

  set(missing "no nvcc on PATH, in /usr/local/cuda or among the packages of ${Python_EXECUTABLE}")
  foreach(candidate IN LISTS candidates)
    find_program(nvcc "${candidate}" NO_CACHE)
    if(NOT nvcc)
      set(missing "there is no program ${candidate}")
      continue()
    endif()
    execute_process(COMMAND "${nvcc}" --version OUTPUT_VARIABLE version ERROR_QUIET)
    string(REGEX MATCH "V([0-9]+\\.[0-9]+\\.[0-9]+)" version "${version}")
    set(version "${CMAKE_MATCH_1}")
    if(NOT version OR version VERSION_LESS 13)
      set(missing "${nvcc} is of CUDA ${version}, and 13 or newer is needed")
      unset(nvcc)
      continue()
    endif()

    # nvcc may be a wrapper; -v prints the folder of its toolkit. The nvcc of the wheels searches lib64 for libraries,
    # but the wheels have them in lib.
    execute_process(COMMAND "${nvcc}" -v __no_such_file OUTPUT_VARIABLE verbose ERROR_VARIABLE verbose)
    string(REGEX MATCH "TOP=([^\r\n]*)" verbose "${verbose}")
    get_filename_component(root "${CMAKE_MATCH_1}" ABSOLUTE)
    set(flags "")
    if(EXISTS "${root}/lib/libcudart_static.a" AND NOT EXISTS "${root}/lib64/libcudart_static.a")
      set(flags "-L${root}/lib")
    endif()

    set(probe "${CMAKE_BINARY_DIR}/CMakeFiles/cuda_probe")
    file(WRITE "${probe}.cu" "#include <cuda_bf16.h>\n#include <cuda_fp16.h>\n__global__ void kernel() {}\nint main() { kernel<<<1, 1>>>(); return cudaDeviceSynchronize(); }\n")
    execute_process(
      COMMAND "${nvcc}" -ccbin "${CMAKE_CUDA_HOST_COMPILER}" -std=c++17 -gencode arch=compute_100,code=sm_100 ${flags} "${probe}.cu" -o "${probe}"
      RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(failed)
      set(missing "${nvcc} does not compile and link an empty kernel:\n${output}")
      unset(nvcc)
      continue()
    endif()
    set(SPIKEGRAD_NVCC "${nvcc}" PARENT_SCOPE)
    set(SPIKEGRAD_NVCC_FLAGS "${flags}" PARENT_SCOPE)
    return()
  endforeach()
  set(SPIKEGRAD_NVCC "" PARENT_SCOPE)
  set(SPIKEGRAD_NVCC_MISSING "${missing}" PARENT_SCOPE)
endfunction()
