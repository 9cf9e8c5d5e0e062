"""The tables of a module, counted at the most they may grow to: the engine does not say when one grows.

Source: the WebAssembly core specification 2.0, 5.5.7 (the table section).
"""

from __future__ import annotations

from flowrt.values import Struct

TABLES = 16
TABLE_ELEMENTS = 1 << 16
"""Of a table: more functions than any module we know has."""
_ELEMENT_BYTES = 8
_PART = 8
"""A table without a bound of its own gets an eighth of the node's memory, divided among such tables."""
_SECTION = 4
_HAS_INITIAL_VALUE = b"\x40\x00"


class Tables(Struct, frozen=True):
    """What bounds the tables of an instance, and what they may come to."""

    count: int = TABLES
    elements: int = TABLE_ELEMENTS
    """Bound of each."""
    bytes: int = 0
    """All together."""


ANY_TABLES = Tables()


def tables_of(code: bytes, memory: int) -> Tables:
    """The tables of a module that the engine has accepted, in a node with a quota of `memory` bytes.

    What may grow is charged as if it had: then growing needs no permission, and the quota holds."""
    sizes = _sizes(code)
    growing = sum(most is None or most > least for least, most in sizes)
    bound = min(TABLE_ELEMENTS, memory // _PART // _ELEMENT_BYTES // growing) if growing else 0
    bound = min(TABLE_ELEMENTS, max([bound, *(least for least, _ in sizes)]))
    size = sum(bound if most is None else min(bound, most) for _, most in sizes) * _ELEMENT_BYTES
    return Tables(TABLES, bound, size)


def _sizes(code: bytes) -> list[tuple[int, int | None]]:
    """The least and the most elements of each table."""
    at = 8
    while at < len(code):
        kind = code[at]
        size, at = _number(code, at + 1)
        if kind == _SECTION:
            return _read(code, at)
        at += size
    return []


def _read(code: bytes, at: int) -> list[tuple[int, int | None]]:
    count, at = _number(code, at)
    sizes: list[tuple[int, int | None]] = []
    for _ in range(count):
        if code[at : at + 2] == _HAS_INITIAL_VALUE:
            # An expression of unknown length follows: whatever comes is counted as able to grow.
            return [*sizes, *[(0, None)] * (count - len(sizes))]
        flags = code[at + 1]
        least, at = _number(code, at + 2)
        most = None
        if flags & 1:
            most, at = _number(code, at)
        sizes.append((least, most))
    return sizes


def _number(code: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where the next thing stands."""
    value = shift = 0
    while True:
        byte = code[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
