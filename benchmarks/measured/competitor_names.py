"""The names of competitors. Reports need them without jax and spikegrad."""

GAUSSIAN, MULTI_GAUSSIAN, SIGMOID = "GaussianGrad", "MultiGaussianGrad", "Sigmoid"
SURROGATES = (GAUSSIAN, MULTI_GAUSSIAN, SIGMOID)

AUTO, KERNELS, FUSED = "auto", "kernels", "fused"
FORMULA, BRAINTOOLS = "jax.numpy", "braintools"
