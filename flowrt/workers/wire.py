"""Batches as bytes, from the process that reads to one that works.

A frame is a header, the heads that the other side does not know yet, four columns of numbers, and the payloads one
after the other. Both ends are of one program on one machine: numbers are in its own byte order, heads in `marshal`'s
form. The way back carries 32-bit counts: so many of the oldest messages are done with.
"""

from __future__ import annotations

import marshal
import struct
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

from flowrt.message import Batch, Head, Tensor
from flowrt.values import Struct

HEADS_MAX = 8192
"""Heads that both sides remember; then they begin anew."""
DONE = struct.Struct("=I")
"""The way back: messages released since the last one."""
_HEADER = struct.Struct("=IIIHBx")
"""Messages, bytes of new heads, bytes of payloads, number of the source, flags."""
_TRACKED, _FORGET = 1, 2
_COLUMNS = "IIqd"
"""Which head, length of the payload, time, moment of birth."""
_ROW = sum(array(kind).itemsize for kind in _COLUMNS)
_FIELDS = tuple(name for name in Head.__struct_fields__ if name != "tensors")


class Encoder:
    """Of one connection, whose other end has one `Decoder`."""

    def __init__(self) -> None:
        self._known: dict[Head, int] = {}

    def frame(self, source: int, batch: Batch) -> list[bytes]:
        """The pieces of a frame."""
        flags = _TRACKED if batch.tracker is not None else 0
        known = self._known
        new = [head for head in dict.fromkeys(batch.heads) if head not in known]
        if len(known) + len(new) > HEADS_MAX:
            known.clear()
            flags |= _FORGET
            new = list(dict.fromkeys(batch.heads))
        known.update(zip(new, range(len(known), len(known) + len(new)), strict=True))
        heads = marshal.dumps([_plain(head) for head in new]) if new else b""
        columns: Sequence[Sequence[float]] = (
            [known[head] for head in batch.heads], list(map(len, batch.payloads)), batch.times, batch.born
        )  # fmt: skip
        size = sum(columns[1])
        return [
            _HEADER.pack(len(batch), len(heads), int(size), source, flags),
            heads,
            *(array(kind, column).tobytes() for kind, column in zip(_COLUMNS, columns, strict=True)),
            *batch.payloads,
        ]


class Arrived(Struct, frozen=True):
    """A frame that was read. The batch has no numbers and no tracker yet."""

    source: int
    tracked: bool
    batch: Batch


class Decoder:
    """Reads frames."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """`read(n)` gives n bytes, or fewer at the end."""
        self._read = read
        self._heads: list[Head] = []

    def next(self) -> Arrived | None:
        """The next frame; None at the end, in the middle of a frame too."""
        header = self._read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        count, heads_size, payloads_size, source, flags = _HEADER.unpack(header)
        body = self._read(heads_size + count * _ROW + payloads_size)
        if len(body) < heads_size + count * _ROW + payloads_size:
            return None
        if flags & _FORGET:
            self._heads = []
        if heads_size:
            self._heads += [_head(*values) for values in marshal.loads(body[:heads_size])]  # noqa: S302 - from our parent
        at, columns = heads_size, []
        for kind in _COLUMNS:
            column = array(kind)
            column.frombytes(body[at : at + count * column.itemsize])
            at += count * column.itemsize
            columns.append(column)
        which, lengths, times, born = columns
        ends = accumulate(lengths, initial=at)
        payloads = [body[start:stop] for start, stop in pairwise(ends)]
        heads = list(map(self._heads.__getitem__, which))
        batch = Batch(heads, payloads, times.tolist(), born.tolist(), range(count))
        return Arrived(source, bool(flags & _TRACKED), batch)


def _plain(head: Head) -> tuple[object, ...]:
    tensors = tuple((tensor.name, tensor.type, tensor.shape) for tensor in head.tensors)
    return (tensors, *(getattr(head, name) for name in _FIELDS))


def _head(tensors: Sequence[tuple[str, str, tuple[int, ...]]], *values: object) -> Head:
    made = Head(*values)  # type: ignore[arg-type]
    return made.with_(tensors=tuple(Tensor(*tensor) for tensor in tensors)) if tensors else made
