"""The versions of jax that spikegrad was tested with, and what happens with others."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import jaxlib

OLDEST = (0, 8, 0)
FIRST_UNTESTED = (0, 13, 0)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


_REMEDY = f'Install a newer spikegrad, or an older jax: pip install "jax<{_text(FIRST_UNTESTED)}".'


def is_untested(version: str = jaxlib.__version__) -> bool:
    """Whether a jaxlib is newer than every one that spikegrad was tested with."""
    return _numbers(version) >= FIRST_UNTESTED


def running_ffi_api() -> tuple[int, int] | None:
    """The FFI version of the installed jaxlib by its own headers, or None if it comes without them."""
    header = Path(jaxlib.__file__).parent / "include" / "xla" / "ffi" / "api" / "c_api.h"
    if not header.exists():
        return None
    numbers = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header.read_text()))
    return int(numbers["MAJOR"]), int(numbers["MINOR"])


def check_jaxlib(
    jaxlib_of_headers: str,
    ffi_api: tuple[int, int],
    version: str = jaxlib.__version__,
    running: tuple[int, int] | None = None,
) -> None:
    """Raise ImportError where the modules can't work with this jaxlib, and warn where it is untested.

    This check must run before any handler is registered. XLA checks a handler's FFI version when the backend starts,
    and one refused handler stops the whole backend.

    Args:
        jaxlib_of_headers: the jaxlib with whose headers the modules were built.
        ffi_api: the FFI version of these headers.
        version: the installed jaxlib.
        running: the FFI version of the installed jaxlib, by default by its own headers.
    """
    oldest = max(OLDEST, _numbers(jaxlib_of_headers))
    if _numbers(version) < oldest:
        raise ImportError(
            f"this spikegrad was built with the headers of jaxlib {jaxlib_of_headers}. It needs jaxlib {_text(oldest)} "
            f'or newer, and found jaxlib {version}. Install a newer one: pip install "jax>={_text(oldest)}".'
        )
    if not is_untested(version):
        return
    running = running or running_ffi_api()
    if running and (running[0] != ffi_api[0] or running < ffi_api):
        raise ImportError(
            f"this spikegrad was built for version {_text(ffi_api)} of XLA's FFI, and jaxlib {version} has version "
            f"{_text(running)}. {_REMEDY}"
        )
    warnings.warn(
        f"spikegrad was tested with jax {_text(OLDEST)} up to, not including, {_text(FIRST_UNTESTED)}, and found "
        f"jaxlib {version}. If something fails: {_REMEDY}",
        stacklevel=2,
    )


def explained(error: Exception) -> ImportError | None:
    """The error of an import with its remedy, if jaxlib is untested."""
    if not is_untested():
        return None
    return ImportError(
        f"spikegrad does not work with jaxlib {jaxlib.__version__}, which is newer than its tests: {error}. {_REMEDY}"
    )
