"""Wasmtime's C API for components, as far as a message passes through it.

Source: `wasmtime/component/*.h` of Wasmtime 50. Every pointer is a plain address (see `flowrt.wasm.capi`).
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char_p, c_size_t, c_ssize_t, c_uint32, c_void_p
from typing import Any

from wasmtime import _ffi as ffi

FUNCTION = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t)
"""`wasmtime_component_func_callback_t`: data, context, type, arguments, their number, results, their number."""
DESTRUCTOR = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_uint32)
"""`wasmtime_component_resource_destructor_t`: data, context, representation."""

STREAM_WRITE = ctypes.CFUNCTYPE(c_ssize_t, c_void_p, c_void_p, c_size_t)
"""Of `wasi_config_set_stdout_custom`: data, bytes, their number; returns how many were taken, or a negative errno."""


def _function(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(result, *arguments)((name, ffi.dll))


# Without argument types: callers pass prepared `c_void_p` objects.
call = _function("wasmtime_component_func_call", c_void_p)
value_delete = _function("wasmtime_component_val_delete", None)

instantiate = _function("wasmtime_component_linker_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
add_function = _function(
    "wasmtime_component_linker_instance_add_func",
    c_void_p, c_void_p, c_char_p, c_size_t, FUNCTION, c_void_p, c_void_p,
)  # fmt: skip
add_resource = _function(
    "wasmtime_component_linker_instance_add_resource",
    c_void_p, c_void_p, c_char_p, c_size_t, c_void_p, DESTRUCTOR, c_void_p, c_void_p,
)  # fmt: skip
set_stdout = _function("wasi_config_set_stdout_custom", None, c_void_p, STREAM_WRITE, c_void_p, c_void_p)
set_stderr = _function("wasi_config_set_stderr_custom", None, c_void_p, STREAM_WRITE, c_void_p, c_void_p)
list_new = _function("wasmtime_component_vallist_new_uninit", None, c_void_p, c_size_t)
tuple_new = _function("wasmtime_component_valtuple_new_uninit", None, c_void_p, c_size_t)
record_new = _function("wasmtime_component_valrecord_new_uninit", None, c_void_p, c_size_t)
name_new = _function("wasm_byte_vec_new", None, c_void_p, c_size_t, c_char_p)
value_new = _function("wasmtime_component_val_new", c_void_p, c_void_p)

host_new = _function("wasmtime_component_resource_host_new", c_void_p, c_bool, c_uint32, c_uint32)
host_delete = _function("wasmtime_component_resource_host_delete", None, c_void_p)
host_number = _function("wasmtime_component_resource_host_rep", c_uint32, c_void_p)
host_kind = _function("wasmtime_component_resource_host_type", c_uint32, c_void_p)
host_to_any = _function("wasmtime_component_resource_host_to_any", c_void_p, c_void_p, c_void_p, c_void_p)
any_to_host = _function("wasmtime_component_resource_any_to_host", c_void_p, c_void_p, c_void_p, c_void_p)
any_drop = _function("wasmtime_component_resource_any_drop", c_void_p, c_void_p, c_void_p)
any_delete = _function("wasmtime_component_resource_any_delete", None, c_void_p)
