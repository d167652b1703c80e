# refuse_unsafe_flags(regex environment...) stops the configuration where a cache variable whose name matches regex, or one
# of these environment variables, holds a flag with which results are wrong or the module crashes on other CPUs.
#
# Refused, not overridden: each flag would need its opposite for the compiler and for the linker. With -ffast-math GCC also
# links crtfastmath.o, which flushes subnormals in the whole process as soon as the module is imported.

# The flags, as regular expressions without the leading dashes.
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
# -march=NAME isn't one of them: CMakeLists.txt overrides it, since distributions set it for every package.
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
    # One list element a flag: nvcc and the linker's driver take several with commas between, and nvcc `--ftz true` too.
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
