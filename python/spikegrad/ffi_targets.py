"""The compiled modules and the FFI targets: finds the modules and registers their targets."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import jax.ffi

from spikegrad.jax_versions import check_jaxlib

HEAVISIDE = "spikegrad.heaviside.v1"
LIF = "spikegrad.lif.v2"


def derivative_of(family: str) -> str:
    """The target that computes the derivatives of a family."""
    return f"spikegrad.{family}.v1"


def lif_tangent_of(family: str) -> str:
    """The target of a layer's tangents, for a surrogate of a family."""
    return f"spikegrad.lif_tangent.{family}.v3"


def lif_cotangent_of(family: str) -> str:
    """The target of a layer's cotangents, for a surrogate of a family."""
    return f"spikegrad.lif_cotangent.{family}.v2"


def _cuda_module() -> ModuleType | None:
    """The module with the CUDA kernels, or None in a CPU-only build."""
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
    # Let this import fail: a package without its CPU kernels is a broken installation.
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
"""The names of the custom calls in compiled programs.

`jax.export` refuses to serialise custom calls that it does not know. Each name here has a version, and a version never
changes its meaning. So it is safe to let them through:
`disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(name) for name in spikegrad.FFI_TARGETS]`.
"""
