"""Values that the engine takes over: what a host function answers. Their inner parts are the engine's allocations."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence

from flowrt.wasm.component import capi
from flowrt.wasm.component.values import (
    ENTRY,
    ENUM,
    LIST,
    OPTION,
    RECORD,
    RESOURCE,
    RESULT,
    SIZE,
    STRING,
    TUPLE,
    VARIANT,
    fill_bytes,
    memory,
)  # fmt: skip

_PAIR = struct.Struct("<QQ")


def string(text: str) -> bytes:
    return struct.pack("<B7x", STRING) + _name(text) + bytes(8)


def enum(case: str) -> bytes:
    return struct.pack("<B7x", ENUM) + _name(case) + bytes(8)


def resource(address: int) -> bytes:
    """Of `ComponentStore.make`; the engine then frees it."""
    return struct.pack("<B7xQ16x", RESOURCE, address)


def sequence(*items: bytes) -> bytes:
    """A list of values."""
    return _several(LIST, capi.list_new, items)


def pair(*items: bytes) -> bytes:
    """A tuple."""
    return _several(TUPLE, capi.tuple_new, items)


def byte_list(data: bytes) -> bytes:
    """A `list<u8>`."""
    made = ctypes.create_string_buffer(16)
    capi.list_new(ctypes.addressof(made), len(data))
    if data:
        fill_bytes(memory(_PAIR.unpack(made.raw)[1], SIZE * len(data)), data)
    return struct.pack("<B7x", LIST) + made.raw + bytes(8)


def record(**fields: bytes) -> bytes:
    """Fields by name, `_` for `-`."""
    made = ctypes.create_string_buffer(16)
    capi.record_new(ctypes.addressof(made), len(fields))
    room = memory(_PAIR.unpack(made.raw)[1], ENTRY * len(fields))
    for start, (name, value) in zip(range(0, len(room), ENTRY), fields.items(), strict=True):
        room[start : start + ENTRY] = _name(name.replace("_", "-")) + value
    return struct.pack("<B7x", RECORD) + made.raw + bytes(8)


def variant(case: str, value: bytes | None = None) -> bytes:
    return struct.pack("<B7x", VARIANT) + _name(case) + struct.pack("<Q", _box(value))


def option(value: bytes | None) -> bytes:
    return struct.pack("<B7xQ16x", OPTION, _box(value))


def result(*, ok: bool, value: bytes | None = None) -> bytes:
    return struct.pack("<B7xB7xQ8x", RESULT, ok, _box(value))


def _several(kind: int, make: Callable[[int, int], None], items: Sequence[bytes]) -> bytes:
    made = ctypes.create_string_buffer(16)
    make(ctypes.addressof(made), len(items))
    if items:
        memory(_PAIR.unpack(made.raw)[1], SIZE * len(items))[:] = b"".join(items)
    return struct.pack("<B7x", kind) + made.raw + bytes(8)


def _box(value: bytes | None) -> int:
    """The address of a value on the engine's heap, or 0 for none."""
    if value is None:
        return 0
    block = ctypes.create_string_buffer(value, SIZE)
    return int(capi.value_new(ctypes.addressof(block)))


def _name(text: str) -> bytes:
    made, data = ctypes.create_string_buffer(16), text.encode()
    capi.name_new(ctypes.addressof(made), len(data), data)
    return made.raw
