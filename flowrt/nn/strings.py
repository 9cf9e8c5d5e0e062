"""Tensors of strings as bytes: each element is its length, a little-endian u32, and its bytes, in row-major order."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from flowrt.nn.faults import wrong_shape

_LENGTH = struct.Struct("<I")


def pack(elements: Iterable[bytes]) -> bytes:
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def unpack(data: bytes, at: int, count: int, what: str) -> tuple[list[bytes], int]:
    """`count` elements from `at` on, and where they end. Raises `ModelFault` of kind `shape` when there are fewer."""
    elements: list[bytes] = []
    for number in range(count):
        end = at + _LENGTH.size
        size = _LENGTH.unpack_from(data, at)[0] if end <= len(data) else 0
        if end + size > len(data):
            raise wrong_shape(f"{what}: element {number} of {count} does not fit into the {len(data)} bytes there are")
        elements.append(data[end : end + size])
        at = end + size
    return elements, at
