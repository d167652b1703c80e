"""The spike function for JAX: a Heaviside step whose derivative is a chosen surrogate, on hand-written kernels."""

from importlib.metadata import version as _version

from spikegrad.tested_versions import explained as _explained

try:
    from spikegrad.ffi_targets import FFI_TARGETS
    from spikegrad.kernel_policy import kernels, use_kernels
    from spikegrad.neurons import lif
    from spikegrad.surrogate_base import Surrogate
    from spikegrad.surrogates import (
        GaussianGrad,
        MultiGaussianGrad,
        Sigmoid,
        gaussian_grad,
        multi_gaussian_grad,
        sigmoid,
    )
except (ImportError, AttributeError) as error:
    if (_explanation := _explained(error)) is None:
        raise
    raise _explanation from error

__version__ = _version("spikegrad")

__all__ = [
    "FFI_TARGETS",
    "GaussianGrad",
    "MultiGaussianGrad",
    "Sigmoid",
    "Surrogate",
    "__version__",
    "gaussian_grad",
    "kernels",
    "lif",
    "multi_gaussian_grad",
    "sigmoid",
    "use_kernels",
]
