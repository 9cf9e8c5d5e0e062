"""Wasmtime's C API as we call it: prototypes without conversions, and what its errors and traps say.

Source: `wasmtime.h` and `wasmtime/*.h` of Wasmtime 50, through the library that wasmtime-py carries. Its Python layer
is used where a graph starts; here stands what a message passes through. Every pointer is a plain address.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any

from wasmtime import _ffi as ffi

from flowrt.values import Struct

_Address = c_void_p

CALLBACK = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_void_p, POINTER(c_uint32), c_size_t)
"""`wasmtime_func_unchecked_callback_t`: environment, caller, values, their number; returns a trap or nothing."""
EPOCH_CALLBACK = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_void_p, POINTER(c_uint64), POINTER(c_uint8))
"""Of `wasmtime_store_epoch_deadline_callback`: context, data, delta, kind; returns an error or nothing."""
VALUE_WORDS = 4
"""A `wasmtime_val_raw_t` is 16 bytes: four words, the value in the lowest."""


def _function(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(result, *arguments)((name, ffi.dll))


# No argument types: the caller passes prepared `c_void_p` objects, which ctypes hands on without looking (0.2 µs less).
call_unchecked = _function("wasmtime_func_call_unchecked", c_void_p)
set_fuel = _function("wasmtime_context_set_fuel", c_void_p, _Address, c_uint64)
set_epoch_deadline = _function("wasmtime_context_set_epoch_deadline", None, _Address, c_uint64)
set_epoch_callback = _function(
    "wasmtime_store_epoch_deadline_callback", None, _Address, EPOCH_CALLBACK, _Address, _Address
)
increment_epoch = _function("wasmtime_engine_increment_epoch", None, _Address)
define_unchecked = _function(
    "wasmtime_linker_define_func_unchecked",
    c_void_p, _Address, c_char_p, c_size_t, c_char_p, c_size_t, _Address, CALLBACK, _Address, _Address,
)  # fmt: skip
instantiate = _function("wasmtime_linker_instantiate", c_void_p, _Address, _Address, _Address, _Address, _Address)
export_get = _function("wasmtime_instance_export_get", c_bool, _Address, _Address, c_char_p, c_size_t, _Address)
new_error = _function("wasmtime_error_new", c_void_p, c_char_p)
new_trap = _function("wasmtime_trap_new", c_void_p, c_char_p, c_size_t)
profiler_new = _function("wasmtime_guestprofiler_new", c_void_p, _Address, _Address, c_uint64, _Address, c_size_t)
profiler_sample = _function("wasmtime_guestprofiler_sample", None, _Address, _Address, c_uint64)
profiler_finish = _function("wasmtime_guestprofiler_finish", c_void_p, _Address, _Address)
bytes_delete = _function("wasm_byte_vec_delete", None, _Address)

_error_message = _function("wasmtime_error_message", None, _Address, _Address)
_error_trace = _function("wasmtime_error_wasm_trace", None, _Address, _Address)
_error_status = _function("wasmtime_error_exit_status", c_bool, _Address, POINTER(c_int))
_error_delete = _function("wasmtime_error_delete", None, _Address)
_trap_message = _function("wasm_trap_message", None, _Address, _Address)
_trap_code = _function("wasmtime_trap_code", c_bool, _Address, POINTER(c_uint8))
_trap_trace = _function("wasm_trap_trace", None, _Address, _Address)
_trap_delete = _function("wasm_trap_delete", None, _Address)
_frames_delete = _function("wasm_frame_vec_delete", None, _Address)
_frame_function = _function("wasm_frame_func_index", c_uint32, _Address)
_frame_offset = _function("wasm_frame_module_offset", c_size_t, _Address)
_frame_name = _function("wasmtime_frame_func_name", c_void_p, _Address)

TRAP_STACK_OVERFLOW, TRAP_UNREACHABLE, TRAP_INTERRUPT, TRAP_OUT_OF_FUEL = 0, 9, 10, 11
_MAX_FRAMES = 32


class Failure(Struct, frozen=True):
    """Why a call into the engine did not return."""

    code: int | None
    """A `wasmtime_trap_code_enum`, or None where the engine gave an error and not a trap."""
    message: str
    """The engine's words, first line."""
    backtrace: str
    """One line a frame of the guest, innermost first."""
    status: int | None = None
    """What a command ended itself with (WASI's `proc_exit`, `wasi:cli/exit`); then it is no failure."""


def take_error(error: int) -> Failure:
    """Read and free a `wasmtime_error_t*`."""
    try:
        status = c_int()
        ended = _error_status(error, ctypes.byref(status))
        return Failure(None, *_words(_error_message, _error_trace, error), status.value if ended else None)
    finally:
        _error_delete(error)


def take_trap(trap: int) -> Failure:
    """Read and free a `wasm_trap_t*`."""
    try:
        code = c_uint8()
        known = _trap_code(trap, ctypes.byref(code))
        return Failure(code.value if known else None, *_words(_trap_message, _trap_trace, trap))
    finally:
        _trap_delete(trap)


def _words(message: Any, trace: Any, pointer: int) -> tuple[str, str]:
    text = ffi.wasm_byte_vec_t()
    message(pointer, ctypes.byref(text))
    try:
        full = ctypes.string_at(text.data, text.size).decode("utf-8", "replace").rstrip("\0") if text.size else ""
    finally:
        bytes_delete(ctypes.byref(text))
    frames = ffi.wasm_frame_vec_t()
    trace(pointer, ctypes.byref(frames))
    try:
        lines = [_frame(ctypes.cast(frames.data[i], c_void_p).value) for i in range(min(frames.size, _MAX_FRAMES))]
    finally:
        _frames_delete(ctypes.byref(frames))
    return _cause(full), "\n".join(lines)


def _cause(message: str) -> str:
    """The engine prints its backtrace before the cause; the cause alone is for people."""
    _, _, cause = message.rpartition("Caused by:\n")
    lines = [line.strip() for line in (cause or message).splitlines() if line.strip()]
    return lines[0].removeprefix("0: ") if lines else ""


def _frame(frame: int | None) -> str:
    name = _frame_name(frame)
    text = "?"
    if name:
        vector = ctypes.cast(name, POINTER(ffi.wasm_byte_vec_t)).contents
        text = ctypes.string_at(vector.data, min(vector.size, 256)).decode("utf-8", "replace")
    return f"{text} (function {_frame_function(frame)}, offset 0x{_frame_offset(frame):x})"
