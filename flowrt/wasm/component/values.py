"""The engine's value trees as bytes in memory: built once and filled in, or read where the engine left them.

A `wasmtime_component_val_t` is 32 bytes: its kind, then what it holds or where that lies. Names (of fields and cases)
are texts. Source: `wasmtime/component/val.h` of Wasmtime 50, 64-bit little-endian. Readers follow addresses, so they
are used only on values whose type has been compared with the one expected (`signature.py`).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from typing import Any

SIZE = 32
"""Bytes of a value."""
ENTRY = 48
"""Bytes of a record's field: its name (size, address) and its value."""
BOOL, U8, U32, S64, U64, F64, STRING, LIST, RECORD, TUPLE, VARIANT, ENUM, OPTION, RESULT, RESOURCE = (
    0, 2, 6, 7, 8, 10, 12, 13, 14, 15, 16, 17, 18, 19, 21,
)  # fmt: skip
"""`wasmtime_component_valkind_t`, as far as they occur."""

_PLAIN = struct.Struct("<B7xQ16x")
_PAIR = struct.Struct("<B7xQQ8x")
_TRIPLE = struct.Struct("<B7xQQQ")
_at = ctypes.CFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype = ctypes.py_object
_view.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_WRITABLE = 0x200


def memory(address: int, size: int) -> memoryview:
    """Bytes in place, writable; the caller knows that they are there."""
    return _view(address, size, _WRITABLE).cast("B") if size else memoryview(bytearray())


class Arena:
    """Bytes at addresses that stay: the inner parts of a tree of ours."""

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self._names: dict[str, tuple[int, int]] = {}

    def put(self, data: bytes | bytearray) -> int:
        """The address of a copy of `data`."""
        block = ctypes.create_string_buffer(bytes(data), max(len(data), 1))
        self._kept.append(block)
        return ctypes.addressof(block)

    def name(self, text: str) -> tuple[int, int]:
        """Size and address of a text, put down once."""
        if text not in self._names:
            data = text.encode()
            self._names[text] = len(data), self.put(data)
        return self._names[text]

    def string(self, text: str) -> bytes:
        data = text.encode()
        return _PAIR.pack(STRING, len(data), self.put(data))

    def sequence(self, *items: bytes) -> bytes:
        return _PAIR.pack(LIST, len(items), self.put(b"".join(items)))

    def byte_list(self, data: bytes) -> bytes:
        """A `list<u8>`."""
        cells = bytearray(SIZE * len(data))
        fill_bytes(memoryview(cells), data)
        return _PAIR.pack(LIST, len(data), self.put(cells))

    def pair(self, *items: bytes) -> bytes:
        return _PAIR.pack(TUPLE, len(items), self.put(b"".join(items)))

    def record(self, **fields: bytes) -> bytes:
        """Fields by name, `_` for `-`."""
        return _PAIR.pack(RECORD, len(fields), self.put(self.entries(fields)))

    def entries(self, fields: Mapping[str, bytes]) -> bytes:
        """A record's fields, to be put down by the caller who wants to change them."""
        return b"".join(
            struct.pack("<QQ", *self.name(name.replace("_", "-"))) + value for name, value in fields.items()
        )

    def record_at(self, address: int, count: int) -> bytes:
        """A record whose fields lie there."""
        return _PAIR.pack(RECORD, count, address)

    def variant(self, case: str, value: bytes) -> bytes:
        return self.variant_at(case, self.put(value))

    def variant_at(self, case: str, address: int) -> bytes:
        """A variant whose payload lies there."""
        return _TRIPLE.pack(VARIANT, *self.name(case), address)

    def option(self, value: bytes | None) -> bytes:
        return _PLAIN.pack(OPTION, 0 if value is None else self.put(value))


def number(kind: int, value: int) -> bytes:
    return _PLAIN.pack(kind, value)


def fill_bytes(cells: memoryview, data: bytes | memoryview) -> None:
    """Make values of bytes: `cells` has 32 bytes for each."""
    cells[0::SIZE] = bytes((U8,)) * len(data)
    cells[8::SIZE] = data


# Readers. `value` is the 32 bytes of a value; the payload of a variant, option or result is followed by address.


def value_at(address: int) -> bytes:
    return _at(address, SIZE)  # type: ignore[no-any-return]


def values_at(address: int, count: int) -> list[bytes]:
    """Consecutive values: arguments, or the items of a list or tuple."""
    block: bytes = _at(address, SIZE * count)
    return [block[start : start + SIZE] for start in range(0, len(block), SIZE)]


def as_int(value: bytes) -> int:
    """A `u32` or `u64`."""
    return int.from_bytes(value[8 : 12 if value[0] == U32 else 16], "little")


def as_bool(value: bytes) -> bool:
    return value[8] != 0


def as_float(value: bytes) -> float:
    return struct.unpack_from("<d", value, 8)[0]  # type: ignore[no-any-return]


def as_data(value: bytes, limit: int | None = None) -> bytes:
    """The bytes of a `string` or the name of an `enum` case, at most `limit` of them."""
    size, address = struct.unpack_from("<QQ", value, 8)
    if limit is not None and size > limit:
        size = limit
    return _at(address, size) if size else b""


def as_text(value: bytes, limit: int | None = None) -> str:
    """A text, cut to so many bytes. The engine has checked that it is UTF-8."""
    return as_data(value, limit).decode("utf-8", "ignore")


def length(value: bytes) -> int:
    """Items of a list, or bytes of a text."""
    return int.from_bytes(value[8:16], "little")


def as_bytes(value: bytes) -> bytes:
    """A `list<u8>`."""
    size, address = struct.unpack_from("<QQ", value, 8)
    return bytes(memory(address + 8, SIZE * size - 8)[::SIZE]) if size else b""


def as_items(value: bytes) -> list[bytes]:
    """The items of a list or tuple."""
    size, address = struct.unpack_from("<QQ", value, 8)
    return values_at(address, size) if size else []


def as_fields(value: bytes) -> list[bytes]:
    """The values of a record's fields, in the order of its type."""
    size, address = struct.unpack_from("<QQ", value, 8)
    block: bytes = _at(address, ENTRY * size)
    return [block[start : start + SIZE] for start in range(16, len(block), ENTRY)]


def as_case(value: bytes) -> tuple[bytes, bytes]:
    """A variant's case by name, and its payload; empty when it has none."""
    size, name, payload = struct.unpack_from("<QQQ", value, 8)
    return _at(name, size), value_at(payload) if payload else b""


def as_option(value: bytes) -> bytes | None:
    address = int.from_bytes(value[8:16], "little")
    return value_at(address) if address else None


def as_result(value: bytes) -> tuple[bool, bytes]:
    """Whether a result is ok, and its payload; empty when it has none."""
    address = int.from_bytes(value[16:24], "little")
    return value[8] != 0, value_at(address) if address else b""


def as_resource(value: bytes) -> int:
    """The address of a resource."""
    return int.from_bytes(value[8:16], "little")
