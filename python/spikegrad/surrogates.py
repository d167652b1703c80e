"""The surrogates: Heaviside steps with a chosen derivative, as functions and as objects."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Self

import jax.numpy as jnp
from jax import Array
from jax.core import ShapedArray
from jax.typing import ArrayLike

from spikegrad.parameters import as_field, as_input, as_number_or_array, as_parameter, check_value, same_field
from spikegrad.primitives.spike import spike
from spikegrad.primitives.spike_derivative import spike_derivative
from spikegrad.surrogate_base import Surrogate


def _gaussian_parameters(x: Array | ShapedArray, sigma: ArrayLike, alpha: ArrayLike) -> tuple[Array, ...]:
    weight, sigma = as_parameter("alpha", alpha, x), as_parameter("sigma", sigma, x, positive=True)
    return weight, as_parameter("mu", 0.0, x), sigma


def gaussian_grad(x: ArrayLike, sigma: ArrayLike = 0.5, alpha: ArrayLike = 0.5) -> Array:
    """The spike of x, with the Gaussian as its derivative.

    The value is the Heaviside step: 1 where `x >= 0` (also at -0.0), else 0 (also at NaN). The derivative is the
    Gaussian

        g(x) = alpha / (sigma sqrt(2 pi)) exp(-x^2 / (2 sigma^2))

    Higher derivatives are the true derivatives of g, to every order, in forward and reverse mode. With He_n the Hermite
    polynomials,

        g^(n)(x) = (-1)^n He_n(x / sigma) / sigma^n g(x)

    The derivative is NaN at NaN, and 0 at infinities.

    The spike does not depend on sigma and alpha, so its gradient with respect to them is 0. Its derivative does depend
    on them. So hypergradients, through a gradient step that used the surrogate, are exact.

    Args:
        x: the input, any shape, any real dtype; typically membrane minus threshold. Integers and booleans become
            float32 (float64 where x64 is on).
        sigma: the standard deviation, > 0. A number or an array that broadcasts to x. A changed value does not
            recompile.
        alpha: the factor in front, finite. A number or an array, as for sigma.

    Returns:
        An array of x's shape and floating dtype. For float16, bfloat16, float32 and float64 with scalar parameters the
        kernel policy (`spikegrad.use_kernels`) decides whether a kernel is called. Everything else is plain HLO.

    Raises:
        TypeError: x is complex, or a parameter is no real number.
        ValueError: a parameter does not broadcast to x, or is concrete and out of its range. A sigma, s or sigmoid's
            alpha must be a positive normal number in the dtype that holds it: at least 1.1754944e-38 in float32. A bad
            traced parameter can't be detected at trace time. It gives NaN.

    References:
        B. Yin, F. Corradi, S. M. Bohté, "Accurate and efficient time-domain classification with adaptive spiking
        recurrent neural networks", Nature Machine Intelligence 3 (2021).

    >>> jax.grad(lambda x: gaussian_grad(x).sum())(jnp.array([-1.0, 0.0, 1.0])).round(4)
    Array([0.054 , 0.3989, 0.054 ], dtype=float32)
    """
    x = as_input(x)
    return spike(x, *_gaussian_parameters(x, sigma, alpha), family="gaussian_mixture")


def _multi_gaussian_parameters(
    x: Array | ShapedArray, h: ArrayLike, s: ArrayLike, sigma: ArrayLike, scale: ArrayLike
) -> tuple[Array, ...]:
    given: Mapping[str, Any] = {"h": h, "s": s, "sigma": sigma, "scale": scale}
    given = {name: as_number_or_array(name, value) for name, value in given.items()}
    positive = ("s", "sigma")
    for name, value in given.items():
        check_value(name, value, positive=name in positive)
    given = {name: as_field(value) for name, value in given.items()}
    # Of plain numbers, what follows is formed in float64 and rounded once; of arrays and tracers, in x's wide dtype.
    if not all(isinstance(value, float) for value in given.values()):
        given = {name: as_parameter(name, value, x, positive=name in positive) for name, value in given.items()}
    h, s, sigma, scale = given.values()
    middle, side = as_parameter("scale * (1 + h)", scale * (1 + h), x), as_parameter("-scale * h", -scale * h, x)
    narrow = as_parameter("sigma", sigma, x, positive=True)
    wide = as_parameter("s * sigma", s * sigma, x, positive=True)
    centre, left = as_parameter("mu", 0.0, x), as_parameter("-sigma", -sigma, x)
    return middle, centre, narrow, side, narrow, wide, side, left, wide


def multi_gaussian_grad(
    x: ArrayLike, h: ArrayLike = 0.15, s: ArrayLike = 6.0, sigma: ArrayLike = 0.5, scale: ArrayLike = 0.5
) -> Array:
    """The spike of x, with the multi-Gaussian as its derivative: a Gaussian with a shallow trough on either side.

    The value is the Heaviside step: 1 where `x >= 0`, else 0. With N(x; mu, sigma) the density of the normal
    distribution, the derivative is

        g(x) = scale [(1 + h) N(x; 0, sigma) - h N(x; sigma, s sigma) - h N(x; -sigma, s sigma)]

    The kernels compute it in one pass over memory. Everything else is as for `gaussian_grad`.

    Args:
        x: the input, any shape, any real dtype.
        h: the weight of the two negative Gaussians, finite; with 0 it is `gaussian_grad(x, sigma, scale)`.
        s: the standard deviation of the negative Gaussians, in units of sigma, > 0.
        sigma: the standard deviation of the middle Gaussian, and the distance of the others from 0, > 0.
        scale: the factor in front, finite. Each parameter is a number or an array that broadcasts to x. A changed value
            does not recompile.

    Returns:
        An array of x's shape and floating dtype.

    Raises:
        TypeError: x is complex, or a parameter is no real number.
        ValueError: a parameter does not broadcast to x, or is concrete and out of its range (a traced one gives NaN).

    References:
        B. Yin, F. Corradi, S. M. Bohté, "Accurate and efficient time-domain classification with adaptive spiking
        recurrent neural networks", Nature Machine Intelligence 3 (2021).

    >>> jax.vmap(jax.grad(multi_gaussian_grad))(jnp.array([0.0, 0.5, 1.0, 2.0])).round(4)
    Array([ 0.4391,  0.2589,  0.0435, -0.0157], dtype=float32)
    """
    x = as_input(x)
    return spike(x, *_multi_gaussian_parameters(x, h, s, sigma, scale), family="gaussian_mixture")


def _sigmoid_parameters(x: Array | ShapedArray, alpha: ArrayLike) -> tuple[Array, ...]:
    return (as_parameter("alpha", alpha, x, positive=True),)


def sigmoid(x: ArrayLike, alpha: ArrayLike = 4.0) -> Array:
    """The spike of x, with the derivative of the logistic function as its derivative.

    The value is the Heaviside step: 1 where `x >= 0`, else 0. The derivative is

        g(x) = alpha s (1 - s),  s = 1 / (1 + exp(-alpha x))

    Everything else is as for `gaussian_grad`.

    Args:
        x: the input, any shape, any real dtype.
        alpha: the steepness, > 0. A number or an array that broadcasts to x. A changed value does not recompile.

    Returns:
        An array of x's shape and floating dtype.

    Raises:
        TypeError: x is complex, or alpha is no real number.
        ValueError: alpha does not broadcast to x, or is concrete and not positive and finite (a traced one gives NaN).

    >>> jax.vmap(jax.grad(sigmoid))(jnp.array([0.0, 0.5, 1.0])).round(4)
    Array([1.    , 0.42  , 0.0707], dtype=float32)
    """
    x = as_input(x)
    return spike(x, *_sigmoid_parameters(x, alpha), family="sigmoid")


class FamilySurrogate(Surrogate):
    """A surrogate whose family has kernels: opaque, immutable and picklable. Objects with equal parameters are equal.

    The docstring of `GaussianGrad` says what a subclass may change.
    """

    __slots__ = ("_is_made",)

    fields: ClassVar[tuple[str, ...]]  # in the order of repr

    _family: ClassVar[str]
    _names: ClassVar[tuple[str, ...]]
    _positive: ClassVar[frozenset[str]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse dataclasses: they replace `__init__` and `__eq__` by methods that skip the parameters."""
        if dataclasses.is_dataclass(cls):
            raise TypeError(
                f"{cls.__name__} is a dataclass, and a subclass of GaussianGrad, MultiGaussianGrad or Sigmoid cannot "
                "be one; derive the dataclass from spikegrad.Surrogate, or write __init__ in place of the decorator"
            )
        return super().__new__(cls)

    def __init__(self, **parameters: ArrayLike):
        if hasattr(self, "_is_made"):
            raise AttributeError(f"{type(self).__name__} is immutable; make a new one instead of calling __init__")
        for name, given in parameters.items():
            value = as_number_or_array(name, given)
            check_value(name, value, positive=name in self._positive)
            object.__setattr__(self, name, as_field(value))

    def __init_subclass__(cls, **options: Any) -> None:
        """Make instances immutable when the `__init__` of their own class has returned."""
        super().__init_subclass__(**options)
        definer = next(base for base in cls.__mro__ if "__init__" in vars(base))
        if definer is not cls and issubclass(definer, FamilySurrogate):
            return  # its __init__ seals already

        def inherited(self: FamilySurrogate, *args: Any, **kwargs: Any) -> None:
            # Not `definer.__init__`: in a subclass of cls another class can come next in the MRO.
            super(cls, self).__init__(*args, **kwargs)

        init = cls.__init__ if definer is cls else inherited

        @functools.wraps(cls.__init__)
        def init_and_seal(self: FamilySurrogate, *args: Any, **kwargs: Any) -> None:
            init(self, *args, **kwargs)
            if type(self).__init__ is init_and_seal:
                object.__setattr__(self, "_is_made", True)

        cls.__init__ = init_and_seal  # type: ignore[method-assign]

    def _parameters(self, x: Array | ShapedArray) -> tuple[Array, ...]:
        raise NotImplementedError

    def _has_family_spike(self) -> bool:
        """Whether the output has the gradient 0 with respect to the parameters, as the primitive `spike` has."""
        return True

    def _overrides_grad(self) -> bool:
        return getattr(self.surrogate_grad, "__func__", None) is not FamilySurrogate.surrogate_grad

    def __call__(self, x: ArrayLike) -> Array:
        """The spike of x, in x's shape and floating dtype."""
        x = as_input(x)
        if self._overrides_grad() or not self._has_family_spike():
            return self._sloped_spike(x)
        return spike(x, *self._parameters(x), family=self._family)

    def kernel_parameters(self, x: Array | ShapedArray) -> tuple[str, tuple[Array, ...]] | None:
        return (self._family, self._parameters(x)) if self._has_family_spike() else None

    def surrogate_grad(self, x: ArrayLike) -> Array:
        """The derivative g(x) that replaces the derivative of the step, in x's shape and dtype; differentiable.

        Raises:
            TypeError: x is complex.
        """
        return self._derivative(x, order=0)

    def surrogate_fun(self, x: ArrayLike) -> Array:
        """The smooth function whose derivative is `surrogate_grad`, 0 at -infinity, in x's shape and dtype.

        Raises:
            TypeError: x is complex.
        """
        return self._derivative(x, order=-1)

    def _derivative(self, x: ArrayLike, order: int) -> Array:
        x = as_input(x)
        return spike_derivative(x, jnp.ones((), x.dtype), *self._parameters(x), family=self._family, order=order)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._names or hasattr(self, "_is_made"):
            raise AttributeError(f"{type(self).__name__} is immutable; make a new one with the other {name}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._names or hasattr(self, "_is_made"):
            raise AttributeError(f"{type(self).__name__} is immutable")
        object.__delattr__(self, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in self.fields)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(same_field(getattr(self, name), getattr(other, name)) for name in self.fields)

    def __hash__(self) -> int:
        values = [getattr(self, name) for name in self.fields]
        for name, value in zip(self.fields, values, strict=True):
            if not isinstance(value, Hashable) or isinstance(value, Array):
                raise TypeError(
                    f"{self!r} has an array as its {name} and cannot be hashed, as a static argument of jit has to be; "
                    f"pass {name} as an argument of its own, and make the surrogate inside"
                )
        return hash((type(self), *values))

    def __setstate__(self, state: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
        for fields in state:
            for name, value in (fields or {}).items():
                object.__setattr__(self, name, as_field(value) if name in self._names else value)


class GaussianGrad(FamilySurrogate):
    """The spike with the Gaussian as its derivative, as an object to call.

    `GaussianGrad(sigma, alpha)(x)` equals `gaussian_grad(x, sigma, alpha)`. The object is immutable and picklable. It
    is neither a pytree nor a module, so a library that trains the arrays of a module finds none in it. Two objects with
    equal parameters are equal, and as static arguments of `jit` they trace once.

    `surrogate_fun` is `alpha Phi(x / sigma)`, from 0 to alpha, with Phi the normal distribution function.

    Args:
        sigma: the standard deviation, > 0.
        alpha: the factor in front, finite.

    Raises:
        TypeError: a parameter is no real number.
        ValueError: sigma is not positive or a parameter not finite.

    >>> spike = GaussianGrad(sigma=0.5, alpha=0.5)
    >>> spike(jnp.array([-1.0, 0.0, 1.0]))
    Array([0., 1., 1.], dtype=float32)
    >>> jax.vmap(jax.grad(spike))(jnp.array([-1.0, 0.0, 1.0])).round(4)
    Array([0.054 , 0.3989, 0.054 ], dtype=float32)

    A subclass may override `surrogate_grad`. The spike then has that derivative, computed in `jax.numpy`, at every
    order and inside `lif` too. The spike does not use `surrogate_fun`: override both, or only the one you need.

    A subclass may set attributes of its own in `__init__`; afterwards they are immutable like the parameters. Equality,
    hash and repr use the names in the class attribute `fields`, by default the parameters. Add each attribute that
    changes the derivative, since a function compiled by `jit` with a static surrogate serves every equal one. Copies
    and pickles keep all attributes.

    A subclass cannot be a dataclass: making an instance raises a TypeError. Derive the dataclass from
    `spikegrad.Surrogate`, or write `__init__` as here:

    >>> class Damped(GaussianGrad):
    ...     fields = (*GaussianGrad.fields, "gain")
    ...
    ...     def __init__(self, gain, **parameters):
    ...         super().__init__(**parameters)
    ...         self.gain = gain
    ...
    ...     def surrogate_grad(self, x):
    ...         return self.gain * super().surrogate_grad(x)
    >>> Damped(0.5)
    Damped(alpha=0.5, sigma=0.5, gain=0.5)
    >>> jax.grad(Damped(0.5))(0.0).round(4)
    Array(0.1995, dtype=float32, weak_type=True)
    """

    __slots__ = ("alpha", "sigma")

    sigma: float | Array
    alpha: float | Array

    _family = "gaussian_mixture"
    fields = _names = ("alpha", "sigma")
    _positive = frozenset({"sigma"})

    def __init__(self, sigma: ArrayLike = 0.5, alpha: ArrayLike = 0.5):
        super().__init__(sigma=sigma, alpha=alpha)

    def _parameters(self, x: Array | ShapedArray) -> tuple[Array, ...]:
        return _gaussian_parameters(x, self.sigma, self.alpha)


class MultiGaussianGrad(FamilySurrogate):
    """The spike with the multi-Gaussian as its derivative, as an object to call.

    `MultiGaussianGrad(h, s, sigma, scale)(x)` equals `multi_gaussian_grad(x, h, s, sigma, scale)`. The object has the
    same properties as a `GaussianGrad`, and subclasses follow the same rules.

    `surrogate_fun` is the same sum with normal distribution functions in place of the densities, from 0 to
    `scale * (1 - h)`.

    Args:
        h: the weight of the two negative Gaussians, finite.
        s: the standard deviation of the negative Gaussians, in units of sigma, > 0.
        sigma: the standard deviation of the middle Gaussian, and the distance of the others from 0, > 0.
        scale: the factor in front, finite.

    Raises:
        TypeError: a parameter is no real number.
        ValueError: s or sigma is not positive or a parameter not finite.

    >>> MultiGaussianGrad().surrogate_grad(jnp.array([0.0, 0.5, 1.0, 2.0])).round(4)
    Array([ 0.4391,  0.2589,  0.0435, -0.0157], dtype=float32)
    """

    __slots__ = ("h", "s", "scale", "sigma")

    h: float | Array
    s: float | Array
    sigma: float | Array
    scale: float | Array

    _family = "gaussian_mixture"
    fields = _names = ("h", "s", "sigma", "scale")
    _positive = frozenset({"s", "sigma"})

    def __init__(self, h: ArrayLike = 0.15, s: ArrayLike = 6.0, sigma: ArrayLike = 0.5, scale: ArrayLike = 0.5):
        super().__init__(h=h, s=s, sigma=sigma, scale=scale)

    def _parameters(self, x: Array | ShapedArray) -> tuple[Array, ...]:
        return _multi_gaussian_parameters(x, self.h, self.s, self.sigma, self.scale)


class Sigmoid(FamilySurrogate):
    """The spike with the derivative of the logistic function as its derivative, as an object to call.

    `Sigmoid(alpha)(x)` equals `sigmoid(x, alpha)`. The object has the same properties as a `GaussianGrad`, and
    subclasses follow the same rules.

    `surrogate_fun` is the logistic function `1 / (1 + exp(-alpha x))`.

    Args:
        alpha: the steepness, > 0.

    Raises:
        TypeError: alpha is no real number.
        ValueError: alpha is not positive and finite.

    >>> Sigmoid().surrogate_grad(jnp.array([0.0, 0.5, 1.0])).round(4)
    Array([1.    , 0.42  , 0.0707], dtype=float32)
    """

    __slots__ = ("alpha",)

    alpha: float | Array

    _family = "sigmoid"
    fields = _names = ("alpha",)
    _positive = frozenset({"alpha"})

    def __init__(self, alpha: ArrayLike = 4.0):
        super().__init__(alpha=alpha)

    def _parameters(self, x: Array | ShapedArray) -> tuple[Array, ...]:
        return _sigmoid_parameters(x, self.alpha)
