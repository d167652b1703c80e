// The kernels' one source, which the include path gives the launch shim in place of CUDA.
#include "cuda/kernels.cu"
