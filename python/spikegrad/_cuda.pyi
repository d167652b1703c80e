from typing import Any

architectures: str
ffi_api_version: tuple[int, int]

def targets() -> dict[str, dict[str, Any]]: ...
