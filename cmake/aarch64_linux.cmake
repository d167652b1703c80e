# A CMake toolchain file: builds for aarch64 on another processor. The environment variable CXX is the cross compiler.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
# The linker strips: GNU strip refuses files for other processors.
set(CMAKE_STRIP true)
# One optimisation level and stripping everywhere, also in CMake's own checks: for each combination zig compiles its C++
# library again, for a minute.
set(CMAKE_CXX_FLAGS_INIT -O3)
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,-s)
set(CMAKE_MODULE_LINKER_FLAGS_INIT -Wl,-s)
