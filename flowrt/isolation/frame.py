"""Batches and what became of them, as bytes in memory that two processes share.

A part of JSON says how many of what follow: columns of numbers, then payloads one after the other. Nothing is
unpickled, and whatever the other side wrote is checked after it was copied: the child is not trusted.

    u32 length of the JSON | JSON | for each block: rows u32[n], sizes u32[n], heads u32[n], times u64[n], payloads
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from flowrt.message import TENSOR_BYTES, Head, Tensor
from flowrt.values import Struct

HEADS_MAX = 4096
"""Heads remembered on either side; beyond it all are forgotten and told anew."""
LARGE_BYTES = 1 << 16
"""From here on copying costs more than a slice of its own for each payload."""
_LENGTH = struct.Struct("<I")


class BadFrame(Exception):
    """What the other side wrote is no frame, or does not fit."""


class Block(Struct, frozen=True):
    """Some messages as columns. `rows` are indices into the batch they derive from."""

    rows: Sequence[int]
    heads: Sequence[int]
    """Indices into the heads that were told."""
    times: Sequence[int]
    payloads: Sequence[bytes]


def write(room: memoryview, about: Mapping[str, Any], blocks: Sequence[Block | None]) -> None:
    """Write a frame at the start of `room`. Raises `BadFrame` when it does not fit."""
    counts = [None if block is None else len(block.payloads) for block in blocks]
    text = json.dumps({**about, "blocks": counts}).encode()
    parts: list[bytes] = [_LENGTH.pack(len(text)), text]
    for block in blocks:
        if block is not None:
            parts += [
                array("I", block.rows).tobytes(),
                array("I", map(len, block.payloads)).tobytes(),
                array("I", block.heads).tobytes(),
                array("Q", block.times).tobytes(),
                *block.payloads,
            ]
    size = sum(map(len, parts))
    if size > len(room):
        raise BadFrame(f"{size} bytes do not fit into the {len(room)} that are shared")
    if size < LARGE_BYTES:
        room[:size] = b"".join(parts)
        return
    at = 0
    for part in parts:  # each copied once
        room[at : at + len(part)] = part
        at += len(part)


def read(room: memoryview) -> tuple[dict[str, Any], list[Block | None]]:
    """The frame at the start of `room`. Raises `BadFrame`."""
    reader = _Reader(room)
    try:
        about = json.loads(reader.take(_LENGTH.unpack(reader.take(4))[0]))
        counts = about["blocks"]
        if not all(count is None or (type(count) is int and count >= 0) for count in counts):
            raise BadFrame("a block has an impossible count")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadFrame("its description cannot be read") from error
    return about, [None if count is None else _block(reader, count) for count in counts]


def _block(reader: _Reader, count: int) -> Block:
    rows, sizes = reader.numbers("I", count), reader.numbers("I", count)
    heads, times = reader.numbers("I", count), reader.numbers("Q", count)
    if sum(sizes) >= LARGE_BYTES:
        return Block(rows, heads, times, list(map(reader.take, sizes)))
    data, payloads, at = reader.take(sum(sizes)), [], 0
    for size in sizes:
        payloads.append(data[at : at + size])
        at += size
    return Block(rows, heads, times, payloads)


class _Reader:
    """Copies first and looks afterwards: the other side may write meanwhile."""

    def __init__(self, room: memoryview) -> None:
        self._room = room
        self._at = 0

    def take(self, size: int) -> bytes:
        if size > len(self._room) - self._at:
            raise BadFrame("it ends beyond what is shared")
        self._at += size
        return bytes(self._room[self._at - size : self._at])

    def numbers(self, kind: str, count: int) -> array[int]:
        found = array(kind)
        found.frombytes(self.take(count * found.itemsize))
        return found


def head_to_json(head: Head) -> list[Any]:
    return [
        head.topic, head.content_type, head.properties, head.response_topic,
        None if head.correlation is None else head.correlation.hex(), head.schema, head.retain, head.timestamp,
        [(tensor.name, tensor.type, tensor.shape) for tensor in head.tensors],
    ]  # fmt: skip


def head_from_json(value: Any) -> Head:
    """Raises `BadFrame`."""
    match value:
        case [
            str(topic), str() | None as content_type, list(properties), str() | None as response,
            str() | None as correlation, str() | None as schema, bool(retain), list() | None as timestamp,
            list(tensors),
        ]:  # fmt: skip
            try:
                return Head(
                    topic, content_type, tuple(map(_pair, properties)), response,
                    None if correlation is None else bytes.fromhex(correlation), schema, retain,
                    None if timestamp is None else _clock(timestamp), tuple(map(_tensor, tensors)),
                )  # fmt: skip
            except ValueError as error:
                raise BadFrame("a head's correlation is not hexadecimal") from error
    raise BadFrame("a head is not what a head is")


def _pair(value: Any) -> tuple[str, str]:
    match value:
        case [str(key), str(text)]:
            return key, text
    raise BadFrame("a property is not two texts")


def _clock(value: Any) -> tuple[int, int, str]:
    match value:
        case [int(milliseconds), int(counter), str(node)]:
            return milliseconds, counter, node
    raise BadFrame("a timestamp is not what it is")


def _tensor(value: Any) -> Tensor:
    match value:
        case [str(name), str(kind), list(shape)] if kind in TENSOR_BYTES and all(type(n) is int for n in shape):
            return Tensor(name, kind, tuple(shape))
    raise BadFrame("a tensor is not what it is")
