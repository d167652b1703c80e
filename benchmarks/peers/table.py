"""The libraries and the ways to run them. Each row is measured in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.oracle import Equation

JAX, TORCH = "jax", "torch"
OURS = "spikegrad"


@dataclass(frozen=True)
class Peer:
    """One way to run a library.

    Attributes:
        packages: whose versions the report names, the library itself first.
        module: in `benchmarks.peers`; its function `model`, called with `options`, returns the `Model`.
        framework: whose arrays the model takes: it selects the environment, and `jax_calls` or `torch_calls`.
        surrogate: the library's name of the common surrogate.
    """

    name: str
    packages: tuple[str, ...]
    module: str
    framework: str
    surrogate: str
    equation: Equation = field(default_factory=Equation)
    options: Mapping[str, Any] = field(default_factory=dict)


_SPIKINGJELLY = (("spikingjelly", "torch"), "in_spikingjelly", TORCH, "Sigmoid(alpha=4)", Equation())
_RESETS_LATER = Equation("reset_undecayed", detached=True)
_SNNTORCH = (("snntorch", "torch"), "in_snntorch", TORCH, "sigmoid(slope=4)", _RESETS_LATER)
_NORSE = (("norse", "torch"), "in_norse", TORCH, 'method="tanh", alpha=2', Equation(gain=0.1))

PEERS = (
    Peer(OURS, ("spikegrad", "jax"), "in_spikegrad", JAX, "Sigmoid(4)"),
    Peer("plain jax, scan", ("jax",), "in_plain_jax", JAX, "custom_vjp", options={"unroll": 1}),
    Peer("plain jax, scan, unroll 8", ("jax",), "in_plain_jax", JAX, "custom_vjp", options={"unroll": 8}),
    Peer("spyx", ("spyx", "jax"), "in_spyx", JAX, "axn.tanh(k=2)", Equation("fire_charge")),
    Peer("brainpy.state", ("brainpy", "braintools", "jax"), "in_brainpy_state", JAX, "braintools Sigmoid(4)"),
    Peer("SpikingJelly", *_SPIKINGJELLY, options={"compiled": False}),
    Peer("SpikingJelly, compiled", *_SPIKINGJELLY, options={"compiled": True}),
    Peer("snnTorch", *_SNNTORCH, options={"compiled": False}),
    Peer("snnTorch, compiled", *_SNNTORCH, options={"compiled": True}),
    Peer("Norse", *_NORSE, options={"compiled": False}),
    Peer("Norse, compiled", *_NORSE, options={"compiled": True}),
)
