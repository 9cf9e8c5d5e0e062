"""Messages as the bytes of one frame, and back. Pure.

A frame is what one durable write holds: a header of fixed size, the heads its messages share as JSON, a table with the
head and the length of each message, the payloads. Two checksums: one over the header, so that a reader can step over a
frame whose body is damaged, and one over the body.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

from flowrt.delivery.heads import head_from_json, head_to_json
from flowrt.message import Head
from flowrt.parsing import parsed
from flowrt.values import Struct

MAGIC = b"\xf1spl"
_HEADER = struct.Struct("<4sIIQIQQ")
"""Magic, bytes of the body, its checksum, number of the first message, messages, clock, uptime."""
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size
BODY_BYTES_MAX = 2**31
"""More is a damaged header, not a frame."""
HEADS_MAX = 4096
"""Heads whose JSON is remembered. Memory stays bounded."""


class Damaged(Exception):
    """Bytes that are not what was written."""


class Header(Struct, frozen=True):
    """What a frame says of itself."""

    first: int
    """Number of its first message."""
    count: int
    """Messages, at least one."""
    at: int
    """When it was written, milliseconds since the epoch; 0 for a clock before that."""
    uptime: int
    """The same on the clock that no one sets: milliseconds since the machine's start, its sleep included."""
    body: int
    """Bytes behind the header."""
    checksum: int
    """Of the body."""

    @property
    def end(self) -> int:
        """The number behind its last message's."""
        return self.first + self.count

    @property
    def bytes(self) -> int:
        """Of the whole frame."""
        return HEADER_BYTES + self.body


class Encoder:
    """Makes frames; remembers the JSON of heads it has seen."""

    def __init__(self) -> None:
        self._texts: dict[Head, bytes] = {}

    def frame(self, first: int, heads: Sequence[Head], payloads: Sequence[bytes], *, at: int, uptime: int) -> bytes:
        """One frame; `at` and `uptime` in milliseconds."""
        numbers: dict[Head, int] = {}
        which = [numbers.setdefault(head, len(numbers)) for head in heads]
        texts = b"[" + b",".join(map(self._text, numbers)) + b"]"
        count = len(payloads)
        table = struct.pack(f"<I{2 * count}I", len(texts), *which, *map(len, payloads))
        body = b"".join((table, texts, *payloads))
        header = _HEADER.pack(MAGIC, len(body), crc32(body), first, count, max(at, 0), uptime)
        return b"".join((header, _CHECKSUM.pack(crc32(header)), body))

    def _text(self, head: Head) -> bytes:
        text = self._texts.get(head)
        if text is None:
            if len(self._texts) >= HEADS_MAX:
                self._texts.clear()
            text = self._texts[head] = head_to_json(head, sent=True)
        return text


def read_header(data: bytes) -> Header:
    """The header at the start of `data`. Raises `Damaged`."""
    if len(data) < HEADER_BYTES or data[:4] != MAGIC:
        raise Damaged("no frame begins here")
    packed, told = data[: _HEADER.size], _CHECKSUM.unpack_from(data, _HEADER.size)[0]
    _, body, checksum, first, count, at, uptime = _HEADER.unpack(packed)
    if crc32(packed) != told or not count or body > BODY_BYTES_MAX:
        raise Damaged("the header's checksum is wrong")
    return Header(first, count, at, uptime, body, checksum)


def read_body(header: Header, body: bytes) -> tuple[list[Head], list[bytes]]:
    """Heads and payloads of a frame's messages. Raises `Damaged`."""
    if len(body) != header.body or crc32(body) != header.checksum:
        raise Damaged("the body's checksum is wrong")
    try:
        size, *table = struct.unpack_from(f"<I{2 * header.count}I", body)
        start = 4 + 8 * header.count
        shared = [head_from_json(value) for value in parsed(body[start : start + size])]
        heads = [shared[number] for number in table[: header.count]]
    except (struct.error, ValueError, IndexError, KeyError, TypeError) as error:  # sound by its checksum, yet not ours
        raise Damaged(f"the body is not one of ours: {error}") from error
    payloads, at = [], start + size
    for length in table[header.count :]:
        payloads.append(body[at : at + length])
        at += length
    if at != len(body):
        raise Damaged("the body has another length than its table says")
    return heads, payloads
