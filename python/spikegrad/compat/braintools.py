"""The surrogates with the gradient by a parameter that `braintools.surrogate` had before braintools 0.4.0.

    from spikegrad.compat.braintools import GaussianGrad   # was: from braintools.surrogate import GaussianGrad

The spike does not depend on sigma, alpha, h, s or scale. Its gradient by them is 0 in spikegrad and, since version
0.4.0, in braintools. In braintools 0.2 and 0.3 the gradient of the *output* by a parameter is the derivative of
`surrogate_grad(x)` by that parameter. It is not the derivative of any function of the parameters, but code that learns
the shape of its surrogate relies on it. Import from this module to keep such code as it is.

The gradient by x and everything else are the same as in spikegrad. This includes the second derivatives. braintools
before 0.4.0 gives them as 0, and 0.4.0 leaves terms out where the output of one spike reaches another spike.

braintools before 0.2.0 had sigma inverted in the exponent of its Gaussian, but not in front of it. Its
`GaussianGrad(sigma, alpha)` is `GaussianGrad(1 / sigma, alpha / sigma**2)` here.
"""

from __future__ import annotations

from jax import Array, lax
from jax.typing import ArrayLike

from spikegrad import surrogates
from spikegrad.primitives.sloped_spike import sloped_spike
from spikegrad.surrogate_base import Surrogate as _Surrogate

__all__ = [
    "GaussianGrad",
    "MultiGaussianGrad",
    "Sigmoid",
    "Surrogate",
    "gaussian_grad",
    "multi_gaussian_grad",
    "sigmoid",
]


class _OutputFollowsParameters(_Surrogate):
    """The output has gradients with respect to the values other than x on which `surrogate_grad` depends."""

    __slots__ = ()

    def _sloped_spike(self, x: Array) -> Array:
        return sloped_spike(x, self._slope(x), self._slope(lax.stop_gradient(x)))


class Surrogate(_OutputFollowsParameters):
    """`spikegrad.Surrogate` with braintools 0.3's gradient of the output by the other inputs of `surrogate_grad`."""


class _FamilySurrogate(_OutputFollowsParameters, surrogates.FamilySurrogate):
    __slots__ = ()

    def _has_family_spike(self) -> bool:
        # A number has no gradient, so the family's own spike is right for it.
        return all(isinstance(getattr(self, name), float) for name in self._names)


class GaussianGrad(_FamilySurrogate, surrogates.GaussianGrad):
    """`spikegrad.GaussianGrad` with braintools 0.3's gradient of the output by sigma and alpha."""

    __slots__ = ()


class MultiGaussianGrad(_FamilySurrogate, surrogates.MultiGaussianGrad):
    """`spikegrad.MultiGaussianGrad` with braintools 0.3's gradient of the output by h, s, sigma and scale."""

    __slots__ = ()


class Sigmoid(_FamilySurrogate, surrogates.Sigmoid):
    """`spikegrad.Sigmoid` with braintools 0.3's gradient of the output by alpha."""

    __slots__ = ()


def gaussian_grad(x: ArrayLike, sigma: ArrayLike = 0.5, alpha: ArrayLike = 0.5) -> Array:
    """`spikegrad.gaussian_grad` with braintools 0.3's gradient of the output by sigma and alpha."""
    return GaussianGrad(sigma, alpha)(x)


def multi_gaussian_grad(
    x: ArrayLike, h: ArrayLike = 0.15, s: ArrayLike = 6.0, sigma: ArrayLike = 0.5, scale: ArrayLike = 0.5
) -> Array:
    """`spikegrad.multi_gaussian_grad` with braintools 0.3's gradient of the output by h, s, sigma and scale."""
    return MultiGaussianGrad(h, s, sigma, scale)(x)


def sigmoid(x: ArrayLike, alpha: ArrayLike = 4.0) -> Array:
    """`spikegrad.sigmoid` with braintools 0.3's gradient of the output by alpha."""
    return Sigmoid(alpha)(x)
