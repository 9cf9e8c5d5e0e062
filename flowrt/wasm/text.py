"""WebAssembly text to binary."""

from __future__ import annotations

import wasmtime


def to_binary(text: str) -> bytes:
    """The binary of a module or component. Raises ValueError in the translator's words."""
    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise ValueError(str(error)) from error
