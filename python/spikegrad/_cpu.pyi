from typing import Any

ffi_api_version: tuple[int, int]
instruction_set: str
jaxlib_of_headers: str

def targets() -> dict[str, Any]: ...
