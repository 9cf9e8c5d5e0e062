"""What sinks have sent at QoS 1 or 2 and the broker has not confirmed. Plain data: the caller holds the lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowrt.endpoints.mqtt.frames import Envelope
from flowrt.message import Batch
from flowrt.values import Struct, field

if TYPE_CHECKING:
    from flowrt.endpoints.mqtt.sink import MqttSink

FIRST_ID, END_ID = 1024, 65000
"""Packet identifiers of sinks, the end not included: clear of paho's own, which begin at 1, and of birth messages."""
SENT, RECEIVED, DONE = 0, 1, 2
"""States of a row: sent; taken over by the broker (QoS 2, PUBREC); confirmed or refused."""


class Chunk(Struct):
    """Rows of one sink, sent together: row *i* has the packet identifier `first + i`."""

    sink: MqttSink
    batch: Batch
    envelopes: Sequence[Envelope] | Envelope
    qos: int
    first: int
    states: bytearray = field(default_factory=bytearray)
    left: int = 0

    def __post_init__(self) -> None:
        self.left = len(self.batch)
        self.states = bytearray(self.left)

    def ids(self) -> range:
        return range(self.first, self.first + len(self.states))

    def unconfirmed(self) -> list[int]:
        """Rows that are under way."""
        return [row for row, now in enumerate(self.states) if now != DONE]

    def rows(self, state: int) -> list[int]:
        """Rows in a state."""
        return [row for row, now in enumerate(self.states) if now == state]


class Window:
    """Chunks under way, in the order of sending."""

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()
        self.count = 0
        """Messages under way."""
        self._next = FIRST_ID

    def ids_free(self, wanted: int) -> int:
        """How many consecutive packet identifiers can be had now, at most `wanted`."""
        if self._next == END_ID:
            self._next = FIRST_ID
        free = min(wanted, END_ID - self._next)
        if self.chunks:
            ahead = self.chunks[0].first - self._next
            free = min(free, ahead) if ahead >= 0 else free
        return free

    def add(self, sink: MqttSink, batch: Batch, envelopes: Sequence[Envelope] | Envelope, qos: int) -> Chunk:
        """Note rows as sent; there are as many identifiers free."""
        chunk = Chunk(sink, batch, envelopes, qos, self._next)
        self._next += len(batch)
        self.chunks.append(chunk)
        self.count += len(batch)
        return chunk

    def find(self, packet_id: int) -> Chunk | None:
        """The chunk under way that a packet identifier belongs to. Brokers confirm in order: mostly the first."""
        for chunk in self.chunks:
            if chunk.first <= packet_id < chunk.first + len(chunk.states):
                return chunk
        return None

    def confirm(self, ids: Sequence[int]) -> list[tuple[Chunk, int, int]]:
        """Mark rows as done; each run of them as chunk, first row and the row behind the last. Unknown identifiers and
        repeated ones are passed over."""
        runs: list[tuple[Chunk, int, int]] = []
        at = 0
        while at < len(ids):
            chunk = self.find(ids[at])
            if chunk is None:
                at += 1
                continue
            row = ids[at] - chunk.first
            stop = row + self._run_length(ids, at, len(chunk.states) - row)
            at += stop - row
            if any(chunk.states[row:stop]) and (stop - row > 1 or chunk.states[row] == DONE):
                runs += [(chunk, one, one + 1) for one in range(row, stop) if chunk.states[one] != DONE]
            else:
                runs.append((chunk, row, stop))
            self._mark(chunk, row, stop)
        while self.chunks and not self.chunks[0].left:
            self.chunks.popleft()
        return runs

    def _mark(self, chunk: Chunk, row: int, stop: int) -> None:
        fresh = stop - row - chunk.states.count(DONE, row, stop)
        chunk.states[row:stop] = bytes((DONE,)) * (stop - row)
        chunk.left -= fresh
        self.count -= fresh

    @staticmethod
    def _run_length(ids: Sequence[int], at: int, most: int) -> int:
        """How many identifiers from `at` on are consecutive, at most `most`."""
        most = min(most, len(ids) - at)
        first = ids[at]
        if list(ids[at : at + most]) == list(range(first, first + most)):
            return most
        length = 1
        while length < most and ids[at + length] == first + length:
            length += 1
        return length
