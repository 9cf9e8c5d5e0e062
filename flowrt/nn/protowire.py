"""Reading protocol buffers without their library: only the wire format, and nothing that trusts its input.

Format: protobuf's encoding guide (varints, and records of tag and value). Groups, which no current schema uses, are
refused. Lengths are checked against what is there, so that a truncated or hostile file raises `Malformed` and nothing
else, and costs no more than its own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_PACKED_MAX = 1024

Field: TypeAlias = "tuple[int, int, int | memoryview]"
"""Number, wire type, value; a varint is unsigned, everything else a view of its bytes."""


class Malformed(ValueError):
    """These bytes are no message."""


class Reader:
    """Reads one file, with a bound on the work: a hostile file of nothing but tiny fields must not cost minutes."""

    def __init__(self, fields: int = 2_000_000) -> None:
        """`fields` bounds how many fields are looked at in all: 2 million take a second or two, and a model of 50,000
        operators has half of that."""
        self._left = fields

    def fields(self, data: memoryview) -> Iterator[Field]:
        """The fields of one message, in order, without going into any of them."""
        at, end = 0, len(data)
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise Malformed("it has more fields than any model")
            tag, at = _varint(data, at, end)
            number, wire = tag >> 3, tag & 7
            if wire == VARINT:
                value, at = _varint(data, at, end)
                yield number, wire, value
                continue
            if wire == BYTES:
                size, at = _varint(data, at, end)
            elif wire in _FIXED:
                size = _FIXED[wire]
            else:
                raise Malformed(f"wire type {wire}")
            if number == 0 or size > end - at:
                raise Malformed("a field reaches beyond its message")
            yield number, wire, data[at : at + size]
            at += size

    def messages(self, data: memoryview, wanted: int) -> Iterator[memoryview]:
        """The occurrences of one length-delimited field."""
        for number, _, value in self.fields(data):
            if number == wanted and isinstance(value, memoryview):
                yield value


def packed(data: memoryview) -> list[int]:
    """The varints of a packed field, which must be short: shapes are."""
    if len(data) > _PACKED_MAX:
        raise Malformed(f"a packed field of {len(data)} bytes")
    at, numbers = 0, []
    while at < len(data):
        number, at = _varint(data, at, len(data))
        numbers.append(number)
    return numbers


def integers(data: memoryview) -> NDArray[np.int64]:
    """The varints of a packed field of any length, as int64."""
    import numpy as np

    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if not octets.size:
        return np.empty(0, np.int64)
    if not ends.size or ends[-1] != octets.size - 1:
        raise Malformed("a number without an end")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise Malformed("a number without an end")
    values = np.zeros(starts.size, np.uint64)
    for place in range(int(lengths.max())):
        more = lengths > place
        digits = (octets[starts[more] + place] & 0x7F).astype(np.uint64)
        values[more] |= digits << np.uint64(7 * place)
    return values.view(np.int64)


def signed(value: int) -> int:
    """A varint read as int64."""
    return value - (1 << 64) if value >> 63 else value


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise Malformed("a number without an end")
