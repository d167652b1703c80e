# refuse_unsafe_flags(regex environment...) stops the configuration if it finds a flag that gives wrong results or a
# module that crashes on other CPUs. It checks all cache variables whose name matches regex, and these environment
# variables.
#
# Flags are rejected, not overridden: an override would need the opposite of each flag for the compiler and for the
# linker. With -ffast-math GCC also links crtfastmath.o, which flushes subnormals in the whole process once the module
# is imported.

# Regular expressions for flags, without the leading dashes.
set(SPIKEGRAD_FLAGS_THAT_CHANGE_RESULTS
  # GCC and Clang
  Ofast optimize=fast f?fast-math funsafe-math-optimizations fassociative-math freciprocal-math ffinite-math-only
  fno-signed-zeros ffp-contract=fast.* fsingle-precision-constant mdaz-ftz mfpmath=.*387.* mfpmath=both
  # Clang and Intel's compilers
  fast ftz fapprox-func fno-honor-nans fno-honor-infinities f?fp-model=fast.* ffp-model=aggressive ffp-eval-method=.*
  fdenormal-fp-math.*=preserve-sign.* fdenormal-fp-math.*=positive-zero.* menable-no-nans menable-no-infs
  menable-unsafe-fp-math
  # nvcc
  use_fast_math ftz=true prec-div=false prec-sqrt=false fmad=true)
# -march=NAME is allowed, since distributions set it for every package. CMakeLists.txt overrides it.
set(SPIKEGRAD_FLAGS_THAT_NEED_A_CPU
  "march=native.*" "mcpu=native.*" "mavx[0-9a-z]*" "mavx10.*" "msse4[0-9a.]*" mssse3 "mfma4?" mf16c
  "mbmi2?" mlzcnt mpopcnt mmovbe)

function(refuse_unsafe_flags regex)
  list(JOIN SPIKEGRAD_FLAGS_THAT_CHANGE_RESULTS "|" change_results)
  list(JOIN SPIKEGRAD_FLAGS_THAT_NEED_A_CPU "|" need_a_cpu)
  get_cmake_property(variables CACHE_VARIABLES)
  list(FILTER variables INCLUDE REGEX "${regex}")
  set(refused "")
  foreach(variable IN LISTS ARGN variables)
    if(variable IN_LIST ARGN)
      set(flags "$ENV{${variable}}")
    else()
      set(flags "${${variable}}")
    endif()
    # Split into single flags. nvcc and the linker's driver accept several with commas, and nvcc also accepts `--ftz
    # true`.
    string(REGEX REPLACE "(-Xcompiler|--compiler-options)=|[ \t\r\n\"'\\\\,]+" ";" flags "${flags}")
    string(REGEX REPLACE "(--?(ftz|prec-div|prec-sqrt|fmad|fp-model));+([^-])" "\\1=\\3" flags "${flags}")
    foreach(flag IN LISTS flags)
      if(flag MATCHES "^--?(${change_results})$")
        string(APPEND refused "  ${flag} in ${variable}: results would be wrong\n")
      elseif(flag MATCHES "^--?(${need_a_cpu})$")
        string(APPEND refused "  ${flag} in ${variable}: the module would crash on other CPUs (AVX2 and AVX-512 are selected at run time)\n")
      endif()
    endforeach()
  endforeach()
  if(refused)
    message(FATAL_ERROR "spikegrad can't be built with these compiler flags:\n${refused}Remove them there and build again.")
  endif()
endfunction()
