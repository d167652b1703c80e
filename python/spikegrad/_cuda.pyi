from typing import Any

architectures: str
cuda_version: int
ffi_api_version: tuple[int, int]

def driver_version() -> int: ...
def targets() -> dict[str, dict[str, Any]]: ...
