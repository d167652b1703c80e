"""A layer with a surrogate that has no kernel: `lax.scan`, compiled once for equal programs.

Outside `jit`, `lax.scan` compiles each new step function, and jax keeps the compiled program: about 2 MiB a call that
`jax.clear_caches` does not free. So every call traces the layer, which takes some milliseconds, and calls the compiled
program of an equal trace.

A surrogate may depend on anything: attributes of attributes, closures, global variables. The trace has what the
surrogate made of them, so a kept program is never out of date. Arrays and tracers that the surrogate refers to are
arguments of the program. So the kept programs hold neither them nor the surrogate.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var, jaxpr_as_fun

from spikegrad import fused

KEPT_PROGRAMS = 32
"""The compiled programs that are kept, each some 2 MiB."""


def lif_scan(
    surrogate: Callable[[Array], Array], *operands: Array, step_order: str, reset: str | None, detach_reset: bool
) -> list[Array]:
    """Return spikes, final membrane and the membrane of each step, for a spike that JAX can trace.

    The operands are current, decay, threshold and v0, as `fused.lif` takes them.
    """

    def lif_scan(*operands: Array) -> tuple[Array, ...]:
        return fused.lif(surrogate, *operands, step_order=step_order, reset=reset, detach_reset=detach_reset)[:3]

    program = jax.make_jaxpr(lif_scan)(*operands)
    try:
        run = _kept(_Program(program.jaxpr))
    except _NotComparableError:
        run = _compiled(program.jaxpr)
    return run(program.consts, *operands)


def _compiled(jaxpr: Jaxpr) -> Callable[..., list[Array]]:
    def lif_scan(consts: list[Any], *operands: Array) -> list[Array]:
        return jaxpr_as_fun(ClosedJaxpr(jaxpr, consts))(*operands)

    return jax.jit(lif_scan)


class _Program:
    """A jaxpr as a key: equal to every jaxpr with the same equations."""

    def __init__(self, jaxpr: Jaxpr):
        self.jaxpr = jaxpr
        self._key = _key_of_jaxpr(jaxpr)
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Program) and self._key == other._key


@functools.lru_cache(maxsize=KEPT_PROGRAMS)
def _kept(program: _Program) -> Callable[..., list[Array]]:
    return _compiled(program.jaxpr)


class _NotComparableError(Exception):
    """A jaxpr has a part whose equality cannot be told, such as the rule of a `jax.custom_jvp`."""


def _key_of_jaxpr(jaxpr: Jaxpr) -> Hashable:
    numbers: dict[Var, int] = {}

    def key_of_atom(atom: Any) -> Hashable:
        if isinstance(atom, Literal):
            return atom.aval, np.asarray(atom.val).tobytes()
        return numbers.setdefault(atom, len(numbers)), atom.aval

    return (
        tuple(map(key_of_atom, (*jaxpr.constvars, *jaxpr.invars))),
        len(jaxpr.constvars),
        tuple(
            (
                equation.primitive,
                _key_of_param(equation.params),
                tuple(map(key_of_atom, equation.invars)),
                tuple(map(key_of_atom, equation.outvars)),
            )
            for equation in jaxpr.eqns
        ),
        tuple(map(key_of_atom, jaxpr.outvars)),
    )


def _key_of_param(param: Any) -> Hashable:
    if isinstance(param, ClosedJaxpr):
        return _key_of_jaxpr(param.jaxpr), tuple(map(_key_of_param, param.consts))
    if isinstance(param, Jaxpr):
        return _key_of_jaxpr(param)
    if isinstance(param, dict):
        return tuple((name, _key_of_param(value)) for name, value in sorted(param.items()))
    if isinstance(param, (tuple, list)):
        return type(param), tuple(map(_key_of_param, param))
    if isinstance(param, (float, complex, np.generic)):
        return type(param), np.asarray(param).tobytes()  # tells -0.0 from 0.0
    is_mesh = isinstance(param, (jax.sharding.Mesh, jax.sharding.AbstractMesh))
    is_function = callable(param) and not isinstance(param, type) and not is_mesh
    if is_function or hasattr(param, "call_wrapped"):
        raise _NotComparableError
    try:
        hash(param)
    except TypeError:
        raise _NotComparableError from None
    return type(param), param
