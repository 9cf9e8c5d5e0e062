"""Messages on their way into a component: value trees made once a head, of which each message changes a few words."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from flowrt.logicaltime.stamps import NODE_ID, own_stamp
from flowrt.message import Head
from flowrt.wasm.component.pictures import Picture, picture_of
from flowrt.wasm.component.values import ENTRY, LIST, RESOURCE, SIZE, U8, U32, U64, Arena, memory, number

BYTES_MAX = 128
"""Payloads up to this cross as bytes, larger ones as a `buffer`: making a handle costs as much as so many bytes."""
_REMEMBERED = 1024
_REMEMBERED_BYTES = 1024
"""Longest texts of a head that is remembered: bytes take 32 times their room in a tree, so 32 MiB at most."""
_ROOM = 4096

Timestamp = tuple[int, int, str]
"""Milliseconds since the epoch, counter, node id."""


class Sent(NamedTuple):
    """What a guest sees of a head: what comes back equal has not been changed."""

    timestamp: Timestamp
    topic: bytes
    content_type: str | None
    properties: tuple[tuple[str, str], ...]
    schema: str | None


class _Tree:
    """One head as a `data-model`. `value` is its value; the time and the payload are written into it."""

    def __init__(self, head: Head, payload: int) -> None:
        arena = Arena()
        self.head = head
        self.topic = head.topic.encode("utf-8", "surrogatepass")
        node = head.timestamp[2] if head.timestamp else NODE_ID
        self._arena = arena
        self._clock = _Clock(arena, arena.variant("string", arena.string(node)))
        self._names = {"bytes": arena.name("bytes"), "buffer": arena.name("buffer")}
        self._case = "bytes"
        picture = picture_of(head)
        if picture is not None:
            self._snapshot(picture, payload)
            return
        fields = {
            "timestamp": self._clock.value,
            "topic": arena.variant("bytes", arena.byte_list(self.topic)),
            "content_type": arena.option(_text(arena, head.content_type)),
            "payload": arena.variant_at("bytes", payload),
            "properties": arena.record(
                user_properties=arena.sequence(*(_pair(arena, *pair) for pair in head.properties))
            ),
            "schema": arena.option(_schema(arena, head.schema)),
        }
        self._finish("message", fields, "payload")

    def _snapshot(self, picture: Picture, payload: int) -> None:
        arena = self._arena
        fields = {
            "timestamp": self._clock.value,
            "format": arena.variant("string", arena.string(picture.format)),
            "width": number(U32, picture.width),
            "height": number(U32, picture.height),
            "frame": arena.variant_at("bytes", payload),
        }
        self._finish("snapshot", fields, "frame")

    def _finish(self, case: str, fields: dict[str, bytes], payload: str) -> None:
        """`payload`: the field whose form `fill` writes."""
        entries = self._arena.put(self._arena.entries(fields))
        self._words = memory(entries, ENTRY * len(fields)).cast("Q")
        # The name of a field's case, two words, stands behind its own name, two, and the kind of its value, one.
        self._at = ENTRY // 8 * list(fields).index(payload) + 3
        self.value = self._arena.variant(case, self._arena.record_at(entries, len(fields)))

    def fill(self, time: int, case: str) -> Timestamp:
        """Put the time down (unless the sender gave one) and the form of the payload."""
        timestamp = self.head.timestamp or own_stamp(time)
        self._clock.set(timestamp[0], timestamp[1])
        if case != self._case:
            self._case = case
            self._words[self._at : self._at + 2] = _words(*self._names[case])
        return timestamp


class _Clock:
    """A record of seconds and nanoseconds, a counter and a node id."""

    def __init__(self, arena: Arena, node: bytes) -> None:
        seconds = arena.put(arena.entries({"secs": number(U64, 0), "nanos": number(U32, 0)}))
        inner = arena.record_at(seconds, 2)
        outer = arena.put(arena.entries({"timestamp": inner, "counter": number(U64, 0), "node_id": node}))
        self.value = arena.record_at(outer, 3)
        self._seconds = memory(seconds, 2 * ENTRY).cast("Q")
        self._outer = memory(outer, 3 * ENTRY).cast("Q")

    def set(self, milliseconds: int, counter: int) -> None:
        # The value of a field begins 16 bytes into it, and what it holds 8 bytes further: word 3 of the first field.
        seconds, rest = divmod(milliseconds, 1000)
        self._seconds[3] = seconds
        self._seconds[9] = rest * 1_000_000
        self._outer[9] = counter


class Sender:
    """The arguments of `process` of one instance: a logical time (for `branch`), a message, the time again (for
    `delay`)."""

    def __init__(self, remembered: int = _REMEMBERED, room: int = _ROOM) -> None:
        """`remembered`: heads whose trees are kept; `room`: bytes of a payload that need nothing more at first."""
        self._remembered = remembered
        self._arguments = ctypes.create_string_buffer(3 * SIZE)
        self._room = memory(ctypes.addressof(self._arguments), 3 * SIZE)
        self.clock_address = ctypes.addressof(self._arguments)
        self.message_address = self.clock_address + SIZE
        self._arena = Arena()
        self._time = _Clock(self._arena, self._arena.string(NODE_ID))
        self._room[:SIZE] = self._room[2 * SIZE :] = self._time.value
        payload = self._arena.put(number(LIST, 0))
        self._payload_address = payload
        self._payload = memory(payload, SIZE).cast("Q")
        self._cells_made(room)
        self._trees: dict[Head, _Tree] = {}

    def time(self, time: int) -> None:
        """Set the logical time."""
        self._time.set(time >> 20, time & 0xFFFFF)

    def message(self, head: Head, payload: bytes, time: int, resource: int = 0) -> Sent:
        """Set the message: its payload as bytes, or the resource at that address."""
        tree = self._trees.get(head) or self._plant(head)
        timestamp = tree.fill(time, "buffer" if resource else "bytes")
        self._room[SIZE : 2 * SIZE] = tree.value
        if resource:
            self._payload[0], self._payload[1] = RESOURCE, resource
        else:
            size = len(payload)
            if size > self._capacity:
                self._cells_made(size)
            self._cells[8 : 8 + SIZE * size : SIZE] = payload
            self._payload[0], self._payload[1], self._payload[2] = LIST, size, self._cells_address
        return Sent(timestamp, tree.topic, head.content_type, head.properties, head.schema)

    @property
    def value(self) -> bytes:
        """The message as one value, for a list of several senders' messages; good until the next `message`."""
        return bytes(self._room[SIZE : 2 * SIZE])

    def _plant(self, head: Head) -> _Tree:
        tree = _Tree(head, self._payload_address)
        texts = sum(len(key) + len(value) for key, value in head.properties)
        if len(tree.topic) + texts + len(head.schema or "") > _REMEMBERED_BYTES:
            self._spare = tree  # it must outlive the call
        else:
            if len(self._trees) >= self._remembered:
                self._trees.clear()
            self._trees[head] = tree
        return tree

    def _cells_made(self, capacity: int) -> None:
        self._capacity = capacity
        block = ctypes.create_string_buffer(SIZE * capacity)
        self._cells_address, self._block = ctypes.addressof(block), block
        self._cells = memory(self._cells_address, SIZE * capacity)
        self._cells[0::SIZE] = bytes((U8,)) * capacity


def _words(size: int, address: int) -> memoryview:
    return memoryview(size.to_bytes(8, "little") + address.to_bytes(8, "little")).cast("Q")


def _text(arena: Arena, text: str | None) -> bytes | None:
    return None if text is None else arena.variant("string", arena.string(text))


def _pair(arena: Arena, key: str, value: str) -> bytes:
    return arena.pair(arena.variant("string", arena.string(key)), arena.variant("string", arena.string(value)))


def _schema(arena: Arena, schema: str | None) -> bytes | None:
    if schema is None:
        return None
    return arena.variant("registry-reference", arena.variant("string", arena.string(schema)))
