"""The surrogates: Heaviside steps with a chosen derivative, as functions and as objects."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

from spikegrad.primitives.spike import spike
from spikegrad.primitives.spike_derivative import spike_derivative
from spikegrad.reference import wide_dtype


def _as_input(x: ArrayLike, *, differentiable: bool = False) -> Array:
    # Not of what is an array already: jax 0.8 makes that a conversion, and in vmap mixes up its explicit sharding.
    x = x if isinstance(x, Array) else jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x must be real, since x >= 0 has no meaning otherwise, and has dtype {x.dtype}")
    if x.dtype == jnp.float8_e8m0fnu:
        raise TypeError(f"x has dtype {x.dtype}, which has no 0 and no sign; convert it first")
    if differentiable and not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x must be floating-point to have a derivative, and has dtype {x.dtype}; convert it first")
    return x


def _check_value(name: str, value: Any, *, positive: bool, dtype: Any = np.float64) -> None:
    """Raises where a concrete parameter is out of its range, as given or held in dtype; tracers pass."""
    if isinstance(value, jax.core.Tracer):
        return
    values = np.asarray(value)
    if values.dtype.kind not in "fiu" and not jnp.issubdtype(values.dtype, jnp.floating):
        raise TypeError(f"{name} must be a real number or an array of them, and is {value!r}")
    for held_in, where in ((np.float64, ""), (dtype, f" in {dtype}, in which it is held for this x")):
        with np.errstate(over="ignore", under="ignore"):
            held = values.astype(held_in)
        if not np.all(np.isfinite(held)):
            raise ValueError(f"{name} must be finite{where}, and is {value!r}")
        if positive and not np.all(held > 0):
            raise ValueError(f"{name} must be greater than 0{where}, and is {value!r}")


def _as_parameter(name: str, value: ArrayLike, x: Array, *, positive: bool = False) -> Array:
    """A parameter as the primitives take it: in x's wide dtype, of rank 0 or of x's rank."""
    wide = wide_dtype(x.dtype)
    _check_value(name, value, positive=positive, dtype=wide)
    shape = np.shape(value)
    if len(shape) > x.ndim or any(p not in (1, s) for p, s in zip(shape[::-1], x.shape[::-1], strict=False)):
        raise ValueError(f"{name} of shape {shape} does not broadcast to x of shape {x.shape}")
    parameter = jnp.asarray(value, dtype=wide)
    return jnp.expand_dims(parameter, range(x.ndim - len(shape))) if shape else parameter


def _gaussian_parameters(x: Array, sigma: ArrayLike, alpha: ArrayLike) -> tuple[Array, Array]:
    return _as_parameter("sigma", sigma, x, positive=True), _as_parameter("alpha", alpha, x)


def gaussian_grad(x: ArrayLike, sigma: ArrayLike = 0.5, alpha: ArrayLike = 0.5) -> Array:
    r"""The spike of x, with the Gaussian as its derivative.

    Forward, the Heaviside step: 1 where `x >= 0` (so at `-0.0` too), else 0 (so at NaN too). Its derivative is

    .. math:: g(x) = \frac{\alpha}{\sigma \sqrt{2 \pi}} \exp\left(-\frac{x^2}{2 \sigma^2}\right)

    and the derivatives of that are its true ones, to every order, in forward and reverse mode:
    :math:`g^{(n)}(x) = (-1)^n \mathrm{He}_n(x / \sigma) \, \sigma^{-n} g(x)`. NaN has the derivative NaN, and
    infinities have the derivative 0.

    The spike itself does not depend on sigma and alpha, and its gradient with respect to them is 0. Its derivative
    does, so that hypergradients, through a gradient step that used the surrogate, are exact.

    Args:
        x: the input, any shape, any real dtype; typically membrane minus threshold.
        sigma: the standard deviation, > 0. A number or an array that broadcasts to x; a changed value compiles nothing.
        alpha: the factor in front, finite. Likewise.

    Returns:
        An array of x's shape and dtype. float16, bfloat16, float32 and float64 run on the kernels if sigma and alpha
        are scalars; everything else is computed in `jax.numpy`.

    Raises:
        TypeError: x is complex, or a parameter is no real number.
        ValueError: a parameter does not broadcast to x, or is concrete and out of its range. What is traced cannot be
            checked: there the derivative is NaN.

    References:
        B. Yin, F. Corradi, S. M. Bohté, "Accurate and efficient time-domain classification with adaptive spiking
        recurrent neural networks", Nature Machine Intelligence 3 (2021).

    >>> jax.grad(lambda x: gaussian_grad(x).sum())(jnp.array([-1.0, 0.0, 1.0]))
    Array([0.05399097, 0.3989423 , 0.05399097], dtype=float32)
    """
    x = _as_input(x)
    return spike(x, *_gaussian_parameters(x, sigma, alpha), family="gaussian")


@jax.custom_jvp
def _gaussian_integral(x: Array, sigma: Array, alpha: Array) -> Array:
    valid = (sigma > 0) & jnp.isfinite(sigma) & jnp.isfinite(alpha)
    return jnp.where(valid, alpha * ndtr(jnp.asarray(x, sigma.dtype) / sigma), jnp.nan).astype(x.dtype)


@functools.partial(_gaussian_integral.defjvp, symbolic_zeros=True)
def _gaussian_integral_jvp(primals: Any, tangents: Any) -> tuple[Array, Any]:
    # The tangents of alpha Phi(x / sigma) are those of the derivatives, at order -1.
    x, sigma, alpha = primals
    x_dot, sigma_dot, alpha_dot = tangents
    out = _gaussian_integral(x, sigma, alpha)
    tangent = jnp.zeros_like(out)
    if not isinstance(x_dot, SymbolicZero):
        tangent += spike_derivative(x, x_dot, sigma, alpha, family="gaussian", order=0)
    if not isinstance(sigma_dot, SymbolicZero):
        wide_one, wide_x = jnp.ones((), sigma.dtype), jnp.asarray(x, sigma.dtype)
        first = spike_derivative(wide_x, wide_one, sigma, alpha, family="gaussian", order=1)
        tangent += (first * (sigma * sigma_dot)).astype(x.dtype)
    if not isinstance(alpha_dot, SymbolicZero):
        unit = _gaussian_integral(x, sigma, jnp.ones_like(alpha)).astype(alpha.dtype)
        tangent += (unit * alpha_dot).astype(x.dtype)
    return out, tangent


class GaussianGrad:
    r"""The spike with the Gaussian as its derivative, as an object to call.

    `GaussianGrad(sigma, alpha)(x)` is `gaussian_grad(x, sigma, alpha)`, which see. The object is opaque (no pytree, no
    module: libraries that train whatever arrays they find in a module find none), immutable, picklable, and equal to
    another of the same parameters, so that as a static argument of `jit` it traces once.

    Args:
        sigma: the standard deviation, > 0.
        alpha: the factor in front, finite.

    Raises:
        TypeError: a parameter is no real number.
        ValueError: sigma is not positive or a parameter not finite.

    >>> spike = GaussianGrad(sigma=0.5, alpha=0.5)
    >>> spike(jnp.array([-1.0, 0.0, 1.0]))
    Array([0., 1., 1.], dtype=float32)
    >>> jax.vmap(jax.grad(spike))(jnp.array([-1.0, 0.0, 1.0]))
    Array([0.05399097, 0.3989423 , 0.05399097], dtype=float32)
    """

    __slots__ = ("__weakref__", "alpha", "sigma")  # jit holds what it compiles by weak reference

    sigma: float | Array
    alpha: float | Array

    def __init__(self, sigma: ArrayLike = 0.5, alpha: ArrayLike = 0.5):
        _check_value("sigma", sigma, positive=True)
        _check_value("alpha", alpha, positive=False)
        object.__setattr__(self, "sigma", _as_field(sigma))
        object.__setattr__(self, "alpha", _as_field(alpha))

    def __call__(self, x: ArrayLike) -> Array:
        """The spike of x, in x's shape and dtype."""
        return gaussian_grad(x, self.sigma, self.alpha)

    def surrogate_grad(self, x: ArrayLike) -> Array:
        """The derivative g(x) that stands in for that of the step, in x's shape and dtype; itself differentiable.

        Raises:
            TypeError: x is not floating-point.
        """
        x = _as_input(x, differentiable=True)
        parameters = _gaussian_parameters(x, self.sigma, self.alpha)
        return spike_derivative(x, jnp.ones((), x.dtype), *parameters, family="gaussian", order=0)

    def surrogate_fun(self, x: ArrayLike) -> Array:
        r"""The smooth function whose derivative is `surrogate_grad`: :math:`\alpha \Phi(x / \sigma)`, from 0 to alpha.

        Raises:
            TypeError: x is not floating-point.
        """
        x = _as_input(x, differentiable=True)
        return _gaussian_integral(x, *_gaussian_parameters(x, self.sigma, self.alpha))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; make a new one with the other {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _same(self.sigma, other.sigma) and _same(self.alpha, other.alpha)

    def __hash__(self) -> int:
        for name in ("sigma", "alpha"):
            if not isinstance(getattr(self, name), float):
                raise TypeError(
                    f"{self!r} has an array as its {name} and cannot be hashed, as a static argument of jit has to be; "
                    f"pass {name} as an argument of its own and call gaussian_grad(x, sigma, alpha)"
                )
        return hash((type(self), self.sigma, self.alpha))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.sigma, self.alpha)


def _as_field(value: Any) -> Any:
    """A parameter as an object keeps it: a concrete scalar as a float, a NumPy array as a read-only copy."""
    if isinstance(value, jax.core.Tracer):
        return value
    if np.ndim(value) == 0:
        return float(value)
    if isinstance(value, Array):
        return value
    array = np.array(value)
    array.setflags(write=False)
    return array


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and np.array_equal(a, b)
