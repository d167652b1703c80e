"""Finds the compiled modules and registers their FFI targets; the only place that knows either."""

from __future__ import annotations

import jax.ffi

from spikegrad.jax_versions import check_jaxlib

HEAVISIDE = "spikegrad.heaviside.v1"


def derivative_of(family: str) -> str:
    """The target that computes the derivatives of a family."""
    return f"spikegrad.{family}.v1"


def _register() -> tuple[str, ...]:
    check_jaxlib()
    # An import that fails here fails aloud: a package without its kernels is a broken installation.
    from spikegrad import _cpu

    targets = _cpu.targets()
    for name, handler in targets.items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
        jax.ffi.register_ffi_target_as_batch_partitionable(name)
    return tuple(sorted(targets))


FFI_TARGETS: tuple[str, ...] = _register()
"""The names of the custom calls that compiled spikegrad code holds.

`jax.export` refuses to serialise custom calls that it does not know; these come with a version in the name and the
promise that a version keeps its meaning, so they are safe to let through:
`disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(name) for name in spikegrad.FFI_TARGETS]`.
"""
