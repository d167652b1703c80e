"""`Surrogate`: the base class of every surrogate, also of a user's own ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import ShapedArray
from jax.typing import ArrayLike

from spikegrad.parameters import as_input
from spikegrad.primitives.sloped_spike import sloped_spike


class Surrogate:
    """A Heaviside step whose derivative a subclass defines.

    Write `surrogate_grad(x)` in `jax.numpy`, elementwise and in x's dtype, and call the object. Its value is the step,
    and its derivative is `surrogate_grad`. JAX differentiates `surrogate_grad` further, to every order and in forward
    and reverse mode. Under `jit` XLA fuses the derivative with the operations around it, and removes it from programs
    without differentiation. For float16, bfloat16, float32 and float64 the kernel policy (`spikegrad.use_kernels`)
    decides whether the step calls a kernel. Every other dtype has plain HLO.

    Other values in `surrogate_grad`, such as traced attributes, have the gradient 0 through the spike. Through the
    spike's derivative they have their true gradient.

    For parameters, use a frozen dataclass: objects with equal parameters are equal, and as static arguments of `jit`
    they trace once.

    `surrogate_fun(x)`, the smooth function whose derivative is `surrogate_grad`, is optional: nothing here calls it.

    The triangle of S. K. Esser et al., "Convolutional networks for fast, energy-efficient neuromorphic computing",
    PNAS 113 (2016), and the derivative of the fast sigmoid of F. Zenke, S. Ganguli, "SuperSpike", Neural Computation 30
    (2018):

    >>> class Triangle(Surrogate):
    ...     def surrogate_grad(self, x):
    ...         return jnp.maximum(0, 1 - jnp.abs(x))
    >>> @dataclass(frozen=True)
    ... class FastSigmoid(Surrogate):
    ...     slope: float = 25.0
    ...
    ...     def surrogate_grad(self, x):
    ...         return 1 / (1 + self.slope * jnp.abs(x)) ** 2
    >>> x = jnp.array([-0.5, 0.0, 2.0])
    >>> Triangle()(x)
    Array([0., 1., 1.], dtype=float32)
    >>> jax.grad(lambda x: Triangle()(x).sum())(x)
    Array([0.5, 1. , 0. ], dtype=float32)
    """

    __slots__ = ("__weakref__",)  # jit holds what it compiles by weak reference

    def __call__(self, x: ArrayLike) -> Array:
        """The spike of x: 1 where `x >= 0`, else 0, in x's shape and dtype.

        Integers and booleans become float32 (float64 where x64 is on) before `surrogate_grad` is called with them.

        Raises:
            TypeError: x is complex or no number, or `surrogate_grad` has another dtype than x. A weakly typed result,
                such as `jnp.where(jnp.abs(x) > 1, 0.0, 1.0)`, is cast to x's dtype.
            ValueError: `surrogate_grad` has another shape than x.
        """
        return self._sloped_spike(as_input(x))

    def kernel_parameters(self, x: Array | ShapedArray) -> tuple[str, tuple[Array, ...]] | None:
        """Return the kernel family of the spike and its parameters, or None where the spike has no kernel family.

        Override this method to let layers such as `spikegrad.lif` use a kernel family. The derivative of the family
        must equal `surrogate_grad`; this is not checked. With None, the default, a layer calls the surrogate itself
        inside `lax.scan`.

        The method counts only if no class below the one that defines it overrides `surrogate_grad` or `__call__`. Below
        means earlier in the MRO; attributes of the instance come first. So a subclass that overrides only
        `surrogate_grad` runs inside `lax.scan`, with its own derivative. A subclass that changes the derivative in
        another way, such as by a method that `surrogate_grad` calls, must override `kernel_parameters` too.

        Args:
            x: the input that the spike will have, or its abstract value. The parameters get its wide dtype (float32, or
                float64 where x is), and rank 0 or its rank.

        Returns:
            The name of a family in `spikegrad.primitives.families.FAMILIES` and the operands after x of the primitive
            `spike`; or None. Layers raise a ValueError for an unknown name.
        """
        return None

    def _sloped_spike(self, x: Array) -> Array:
        return sloped_spike(x, self._slope(x))

    def _slope(self, x: Array) -> Array:
        slope = jnp.asarray(self.surrogate_grad(x))
        if slope.shape != x.shape:
            raise ValueError(f"{type(self).__name__}.surrogate_grad made {slope.shape} of x of shape {x.shape}")
        if jax.typeof(slope).weak_type and not jnp.issubdtype(slope.dtype, jnp.complexfloating):
            return slope.astype(x.dtype)
        if slope.dtype != x.dtype:
            raise TypeError(f"{type(self).__name__}.surrogate_grad made {slope.dtype} of x of dtype {x.dtype}")
        return slope

    def surrogate_grad(self, x: Array) -> Array:
        """The derivative that replaces the derivative of the step, in x's shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define surrogate_grad(x)")

    def surrogate_fun(self, x: Array) -> Array:
        """The smooth function whose derivative is `surrogate_grad`, in x's shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} does not define surrogate_fun(x)")
