"""The compiled modules and the FFI targets: finds the modules and registers their targets."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from types import ModuleType

import jax.ffi

from spikegrad.tested_versions import check_jaxlib

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


def _cuda_module() -> tuple[ModuleType | None, str]:
    """The module with the CUDA kernels; or None, and why its kernels can't run and what helps."""
    if importlib.util.find_spec("spikegrad._cuda") is None:
        return None, (
            "this build has no CUDA module. Install spikegrad again where a CUDA 13 compiler is found, or let pip "
            "download one: SPIKEGRAD_CUDA=wheels pip install ."
        )
    try:
        module = importlib.import_module("spikegrad._cuda")
    except ImportError as error:
        raise ImportError(
            f"this spikegrad was built with CUDA kernels, but their module does not load: {error}. "
            "Reinstall it, or build it without them: SPIKEGRAD_CUDA=OFF (see README)."
        ) from error
    return too_old_for(module.cuda_version, module.driver_version()) or (module, "")


def too_old_for(cuda: int, driver: int) -> tuple[None, str] | None:
    """Why a driver can't run kernels that were built with a version of CUDA, or None if it can.

    Args:
        cuda: the version of CUDA that the kernels were built with, as 1000 * major + 10 * minor.
        driver: the newest version of CUDA that the driver supports, likewise; 0 without a driver.
    """
    major, supported = cuda // 1000, f"{driver // 1000}.{driver % 1000 // 10}"
    if driver == 0 or driver // 1000 >= major:
        return None
    return None, (
        f"the GPU's driver supports CUDA up to {supported}, and the kernels need a driver for CUDA {major} "
        "(version 580 or newer). Update the driver"
    )


def has_kernels(platform: str) -> bool:
    """Whether the kernels of a platform of `PLATFORMS` are registered. Warns once where they are not."""
    if platform == "cpu" or CUDA is not None:
        return True
    if not _warned:
        _warned.append(platform)
        warnings.warn(
            f"a program for a GPU runs without spikegrad's kernels, in plain HLO: {_NO_CUDA}. "
            "To run without the kernels and without this warning: spikegrad.use_kernels(False).",
            stacklevel=2,
        )
    return False


def _register() -> tuple[str, ...]:
    # Let this import fail: a package without its CPU kernels is a broken installation.
    from spikegrad import _cpu

    check_jaxlib(_cpu.jaxlib_of_headers, _cpu.ffi_api_version)
    targets = _cpu.targets()
    for name, handler in targets.items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
        jax.ffi.register_ffi_target_as_batch_partitionable(name)
    if CUDA is not None:
        for name, stages in CUDA.targets().items():
            jax.ffi.register_ffi_target(name, stages, platform="CUDA")
    return tuple(sorted(targets))


CUDA, _NO_CUDA = _cuda_module()

_warned: list[str] = []

PLATFORMS = ("cpu", "cuda")
"""The platforms for which kernels are written."""

FFI_TARGETS: tuple[str, ...] = _register()
"""The names of the custom calls in compiled programs.

`jax.export` refuses to serialise custom calls that it does not know. Each name here has a version, and a version never
changes its meaning. So it is safe to let them through:
`disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(name) for name in spikegrad.FFI_TARGETS]`.
"""
