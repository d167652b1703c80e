"""The operands, results and static parameters of a lif layer.

One table names every operand once. Checks, abstract evaluation, batching, derivative rules and calls follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

from spikegrad.kernel_policy import Policy

T = TypeVar("T")

Kind = Literal["time", "checkpoints", "state", "parameter"]
"""What an operand or a result has along the axis of time.

- "time": all steps; the current's shape.
- "checkpoints": one row for each checkpoint; else the current's shape.
- "state": nothing. A state has the shape of one step.
- "parameter": nothing either. A parameter of the surrogate has rank 0 or broadcasts to a step.

A scalar may stand for every operand but the current and the checkpoints: rank 0 means the same value everywhere.
"""


class Operand(NamedTuple):
    """An operand or a result of a primitive.

    Attributes:
        name: its name in error messages.
        kind: see `Kind`.
        differentiable: whether the primitive has derivatives with respect to it.
        of_neuron: whether it is a parameter of the neuron. The cotangents of these are computed on demand.
    """

    name: str
    kind: Kind
    differentiable: bool = True
    of_neuron: bool = False


V0 = Operand("v0", "state")

LAYER = (
    Operand("current", "time"),
    Operand("decay", "state", of_neuron=True),
    Operand("threshold", "state", of_neuron=True),
    V0,
)

CHECKPOINTS = Operand("checkpoints", "checkpoints", differentiable=False)

SPIKES = Operand("spikes", "time")
V_FINAL = Operand("v_final", "state")
MEMBRANE = Operand("membrane", "time")
RESULTS = (SPIKES, V_FINAL, MEMBRANE)

_OF_SURROGATE = Operand("a parameter of the surrogate", "parameter")

TANGENTS = tuple(Operand(f"the tangent of {name}", kind) for name, kind, *_ in LAYER)
COTANGENTS = tuple(Operand(f"the cotangent of {name}", kind) for name, kind, *_ in RESULTS)


def kinds(operands: Sequence[Operand]) -> list[Kind]:
    return [operand.kind for operand in operands]


@dataclass(frozen=True)
class Signature:
    """The operands and results of one primitive.

    Attributes:
        groups: the named operands, in groups. The parameters of the surrogate follow.
        results: the kinds of the results, given the static parameters.
    """

    groups: tuple[tuple[Operand, ...], ...]
    results: Callable[[Mapping[str, Any]], list[Kind]]

    @property
    def named(self) -> tuple[Operand, ...]:
        """The operands before the parameters of the surrogate."""
        return tuple(operand for group in self.groups for operand in group)

    def span(self, group: int) -> slice:
        """The places of a group's operands."""
        start = sum(map(len, self.groups[:group]))
        return slice(start, start + len(self.groups[group]))

    def split(self, operands: Sequence[T]) -> list[Sequence[T]]:
        """The operands by group; the parameters of the surrogate last."""
        groups = [operands[self.span(i)] for i in range(len(self.groups))]
        return [*groups, operands[len(self.named) :]]

    def kinds(self, operands: Sequence[object]) -> list[Kind]:
        """The kind of each operand."""
        parameters = len(operands) - len(self.named)
        return kinds([*self.named, *[_OF_SURROGATE] * parameters])


class Options(TypedDict):
    """The static parameters of a layer that its caller chooses.

    Attributes:
        every: the number of steps from one checkpoint to the next.
        family: the family of the surrogate.
    """

    step_order: str
    reset: str | None
    detach_reset: bool
    every: int
    family: str


class Layer(Options):
    """The static parameters that the primitives of a layer share.

    Attributes:
        axis: the axis of time.
    """

    axis: int
    kernels: Policy


class KernelLayer(Layer):
    """The static parameters of a layer that calls a kernel.

    Attributes:
        partitionable: whether the program may run on several devices.
    """

    partitionable: bool
