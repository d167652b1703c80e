"""The names of what is compared. A report of rows needs them, and neither jax nor spikegrad."""

GAUSSIAN, MULTI_GAUSSIAN, SIGMOID = "GaussianGrad", "MultiGaussianGrad", "Sigmoid"
SURROGATES = (GAUSSIAN, MULTI_GAUSSIAN, SIGMOID)

AUTO, KERNELS, FUSED = "auto", "kernels", "fused"
FORMULA, BRAINTOOLS = "jax.numpy", "braintools"
