"""Reading FlatBuffers without their library: only the wire format, and nothing that trusts its input.

Format: FlatBuffers' internals page. A table begins with a signed offset back to its vtable, which has the offset of
each field; vectors and strings begin with their length. Every step is checked against what is there, so that a
truncated or hostile file raises `Malformed` and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from flowrt.nn.protowire import Malformed

_MAX_STEPS = 5_000_000
_MAX_TEXT = 4096


class Buffer:
    """One file, with a bound on the work: offsets may point anywhere, so a small file can name a part many times."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MAX_STEPS

    def number(self, code: str, at: int) -> int:
        """One little-endian integer, spelt as in `struct`."""
        self._left -= 1
        if self._left < 0:
            raise Malformed("it takes more steps to read than any model")
        if at < 0:
            raise Malformed("an offset before the file")
        try:
            (value,) = struct.unpack_from("<" + code, self._data, at)
        except struct.error:
            raise Malformed("an offset beyond the file") from None
        return int(value)

    def root(self) -> Table:
        return Table(self, self.number("I", 0))

    def text(self, at: int) -> str:
        length = self.number("I", at)
        if length > _MAX_TEXT:
            raise Malformed(f"a name of {length} bytes")
        return self._data[at + 4 : at + 4 + length].decode("utf-8", "replace")


class Table:
    """One table; a field that is not there is its default."""

    def __init__(self, buffer: Buffer, at: int) -> None:
        self._buffer = buffer
        self._at = at
        self._vtable = at - buffer.number("i", at)
        self._size = buffer.number("H", self._vtable)

    def number(self, field: int, code: str, default: int = 0) -> int:
        at = self._field(field)
        return default if at is None else self._buffer.number(code, at)

    def text(self, field: int) -> str:
        at = self._reference(field)
        return "" if at is None else self._buffer.text(at)

    def table(self, field: int) -> Table | None:
        at = self._reference(field)
        return None if at is None else Table(self._buffer, at)

    def length(self, field: int) -> int:
        """Elements of a vector; 0 where there is none."""
        at = self._reference(field)
        return 0 if at is None else self._buffer.number("I", at)

    def numbers(self, field: int, code: str) -> list[int]:
        at = self._reference(field)
        if at is None:
            return []
        size = struct.calcsize(code)
        return [self._buffer.number(code, at + 4 + i * size) for i in range(self._buffer.number("I", at))]

    def tables(self, field: int) -> Iterator[Table]:
        at = self._reference(field)
        if at is None:
            return
        for index in range(self._buffer.number("I", at)):
            where = at + 4 + 4 * index
            yield Table(self._buffer, where + self._buffer.number("I", where))

    def _field(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot + 2 > self._size:
            return None
        offset = self._buffer.number("H", self._vtable + slot)
        return self._at + offset if offset else None

    def _reference(self, field: int) -> int | None:
        at = self._field(field)
        return None if at is None else at + self._buffer.number("I", at)
