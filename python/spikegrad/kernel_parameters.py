"""`kernel_parameters`: whether a layer can run on the kernels with a given surrogate, and with which parameters."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Mapping
from typing import Any

from jax import Array
from jax.core import ShapedArray

from spikegrad.primitives.families import FAMILIES
from spikegrad.surrogate_base import Surrogate
from spikegrad.surrogates import FamilySurrogate, GaussianGrad, MultiGaussianGrad, Sigmoid

BRAINTOOLS_RELEASES = ("0.2", "0.3", "0.4")
"""The releases of braintools whose formulas are ours. Before 0.2 its Gaussian had sigma inverted."""

_OURS = {cls.__name__: cls for cls in (GaussianGrad, MultiGaussianGrad, Sigmoid)}


def kernel_parameters(surrogate: Any, x: Array | ShapedArray) -> tuple[str, tuple[Array, ...]] | None:
    """Return the kernel family of a layer's surrogate and its parameters, or None if the layer needs `lax.scan`.

    For a `Surrogate`, this is the result of its method of the same name, unless a subclass overrides the derivative
    below that method. The objects of `braintools.surrogate` that have the formulas of `GaussianGrad`,
    `MultiGaussianGrad` and `Sigmoid` are recognised too. For all other callables the result is None.

    Args:
        surrogate: what the layer was given.
        x: the surrogate's input or its abstract value, as for `Surrogate.kernel_parameters`.

    Raises:
        ValueError: the surrogate's `kernel_parameters` names an unknown family.
    """
    if isinstance(surrogate, Surrogate):
        return None if _derivative_is_overridden(surrogate) else _checked(surrogate, surrogate.kernel_parameters(x))
    # Parameters out of our range, such as a negative sigma: braintools accepts them, so the layer runs as a scan.
    try:
        equal = _as_ours(surrogate)
        return None if equal is None else equal.kernel_parameters(x)
    except (TypeError, ValueError):
        return None


def _derivative_is_overridden(surrogate: Surrogate) -> bool:
    """Whether `surrogate_grad` or `__call__` is overridden below the `kernel_parameters` in force.

    The order is the instance, its class, and the further classes of the MRO. Without this check, `lif` would use the
    derivative of the base class for a subclass that overrides `surrogate_grad` alone.
    """
    namespaces: list[Mapping[str, Any]] = [getattr(surrogate, "__dict__", {}), *map(vars, type(surrogate).__mro__)]
    for namespace in namespaces:
        if "kernel_parameters" in namespace:
            return False
        if "surrogate_grad" in namespace or "__call__" in namespace:
            return True
    return False


def _checked(
    surrogate: Surrogate, kernel: tuple[str, tuple[Array, ...]] | None
) -> tuple[str, tuple[Array, ...]] | None:
    if kernel is not None and kernel[0] not in tuple(FAMILIES):
        allowed = ", ".join(map(repr, FAMILIES))
        name = type(surrogate).__name__
        raise ValueError(f"{name}.kernel_parameters must name one of the families {allowed}, and names {kernel[0]!r}")
    return kernel


def _as_ours(surrogate: Any) -> FamilySurrogate | None:
    """The surrogate of this package that equals an object of braintools; None for every other object.

    A subclass, an attribute besides the parameters and a replaced method can change the derivative. They return None.
    """
    cls = type(surrogate)
    ours = _OURS.get(cls.__name__)
    # Look the module up instead of importing it: an object of braintools exists only where it was imported.
    braintools, module = (sys.modules.get(name) for name in ("braintools", "braintools.surrogate"))
    if ours is None or getattr(module, cls.__name__, None) is not cls:
        return None
    if ".".join(str(getattr(braintools, "__version__", "")).split(".")[:2]) not in BRAINTOOLS_RELEASES:
        return None
    for method in (cls.__call__, cls.surrogate_grad):
        if not str(getattr(method, "__module__", "")).startswith("braintools.surrogate."):
            return None
    parameters = vars(surrogate)
    numeric = all(isinstance(value, numbers.Real) for value in parameters.values())
    return ours(**parameters) if numeric and parameters.keys() == set(ours.fields) else None
