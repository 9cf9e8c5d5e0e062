"""Messages as bytes, for checkpoints: a checksum, the logical time, the head as JSON, the payload.

A head is written once and remembered: messages of a topic share theirs.
"""

from __future__ import annotations

import json
from struct import Struct
from zlib import crc32

from flowrt.message import Head, Message, Tensor
from flowrt.parsing import parsed

_FRONT = Struct("<I11sI")
"""Checksum of what follows; the logical time, big-endian; the length of the head's text."""
_SUM = 4
_REMEMBERED = 1024


class Records:
    """Packs and unpacks; one a node."""

    def __init__(self) -> None:
        self._texts: dict[Head, bytes] = {}
        self._heads: dict[bytes, Head] = {}

    def pack(self, message: Message) -> bytes:
        text = self._texts.get(message.head)
        if text is None:
            text = _to_text(message.head)
            if len(self._texts) >= _REMEMBERED:
                self._texts.clear()
            self._texts[message.head] = text
        record = _FRONT.pack(0, pack_time(message.time), len(text)) + text + message.payload
        return crc32(record[_SUM:]).to_bytes(_SUM, "little") + record[_SUM:]

    def unpack(self, record: bytes) -> Message:
        """Raises ValueError for bytes that `pack` did not give."""
        if len(record) < _FRONT.size or crc32(record[_SUM:]) != int.from_bytes(record[:_SUM], "little"):
            raise ValueError("a record whose checksum does not fit")
        _, time, size = _FRONT.unpack_from(record)
        text, payload = record[_FRONT.size : _FRONT.size + size], record[_FRONT.size + size :]
        head = self._heads.get(text)
        if head is None:
            head = _from_text(text)
            if len(self._heads) >= _REMEMBERED:
                self._heads.clear()
            self._heads[text] = head
        return Message(head, payload, unpack_time(time))


def pack_time(time: int) -> bytes:
    """As part of a key: keys then sort as times do."""
    return time.to_bytes(11, "big")


def unpack_time(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _to_text(head: Head) -> bytes:
    fields = {
        "topic": head.topic,
        "contentType": head.content_type,
        "properties": head.properties,
        "responseTopic": head.response_topic,
        "correlation": head.correlation.hex() if head.correlation is not None else None,
        "schema": head.schema,
        "retain": head.retain,
        "timestamp": head.timestamp,
        "tensors": [(tensor.name, tensor.type, tensor.shape) for tensor in head.tensors],
    }
    return json.dumps({key: value for key, value in fields.items() if value}).encode("ascii")


def _from_text(text: bytes) -> Head:
    try:
        fields = parsed(text)
        stamp = fields.get("timestamp")
        return Head(
            fields.get("topic", ""),
            fields.get("contentType"),
            tuple((key, value) for key, value in fields.get("properties", ())),
            fields.get("responseTopic"),
            bytes.fromhex(fields["correlation"]) if "correlation" in fields else None,
            fields.get("schema"),
            bool(fields.get("retain")),
            (stamp[0], stamp[1], stamp[2]) if stamp is not None else None,
            tuple(Tensor(name, kind, tuple(shape)) for name, kind, shape in fields.get("tensors", ())),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"a head that is none: {error}") from error
