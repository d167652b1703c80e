"""The spike function for JAX: a Heaviside step whose derivative is a chosen surrogate, on hand-written kernels."""

from importlib.metadata import version as _version

from spikegrad.kernel_switch import kernels, use_kernels
from spikegrad.surrogates import GaussianGrad, gaussian_grad
from spikegrad.targets import FFI_TARGETS

__version__ = _version("spikegrad")

__all__ = ["FFI_TARGETS", "GaussianGrad", "__version__", "gaussian_grad", "kernels", "use_kernels"]
