"""Finds the compiled modules and registers their FFI targets; the only place that knows either."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import jax.ffi

from spikegrad.jax_versions import check_jaxlib

HEAVISIDE = "spikegrad.heaviside.v1"
LIF = "spikegrad.lif.v1"


def derivative_of(family: str) -> str:
    """The target that computes the derivatives of a family."""
    return f"spikegrad.{family}.v1"


def lif_tangent_of(family: str) -> str:
    """The target that carries tangents through a layer whose spike has the derivatives of a family."""
    return f"spikegrad.lif_tangent.{family}.v2"


def lif_cotangent_of(family: str) -> str:
    """The target that carries cotangents back through such a layer."""
    return f"spikegrad.lif_cotangent.{family}.v1"


def _cuda_module() -> ModuleType | None:
    """The module with the CUDA kernels, or None where the package was built without."""
    if importlib.util.find_spec("spikegrad._cuda") is None:
        return None
    try:
        return importlib.import_module("spikegrad._cuda")
    except ImportError as error:
        raise ImportError(
            f"this spikegrad was built with CUDA kernels, but their module does not load: {error}. "
            "Reinstall it, or build it without them: SPIKEGRAD_CUDA=OFF (see README)."
        ) from error


def _register() -> tuple[str, ...]:
    # An import that fails here fails aloud: a package without its kernels is a broken installation.
    from spikegrad import _cpu

    check_jaxlib(_cpu.jaxlib_of_headers)
    targets = _cpu.targets()
    for name, handler in targets.items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
        jax.ffi.register_ffi_target_as_batch_partitionable(name)
    if CUDA is not None:
        for name, stages in CUDA.targets().items():
            jax.ffi.register_ffi_target(name, stages, platform="CUDA")
    return tuple(sorted(targets))


CUDA = _cuda_module()

PLATFORMS = ("cpu",) if CUDA is None else ("cpu", "cuda")
"""The platforms for which there are kernels."""

FFI_TARGETS: tuple[str, ...] = _register()
"""The names of the custom calls that compiled spikegrad code holds.

`jax.export` refuses to serialise custom calls that it does not know; these come with a version in the name and the
promise that a version keeps its meaning, so they are safe to let through:
`disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(name) for name in spikegrad.FFI_TARGETS]`.
"""
