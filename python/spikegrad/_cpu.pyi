from typing import Any

ffi_api_version: tuple[int, int]
instruction_set: str

def targets() -> dict[str, Any]: ...
