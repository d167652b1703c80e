#include "cuda/lif_kernels.cu"
