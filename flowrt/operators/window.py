"""What runs a `transform` with a window: messages folded into one document, by figures.

Messages count in the order in which they arrive, as AIO's do, by their logical times. What is open is on disk as the
messages themselves: an operator that begins again takes them once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Protocol

from flowrt.counters import NodeCounters
from flowrt.errors import NodeFault
from flowrt.logicaltime.stamps import START, logical, milliseconds
from flowrt.message import Batch, Head, Message, SharedHeads
from flowrt.operators.accumulate import batch_of
from flowrt.operators.base import Emission, Fault
from flowrt.quota.quantity import format_bytes
from flowrt.state.journal import Journal
from flowrt.state.records import Records
from flowrt.transforms.documents import encode
from flowrt.transforms.figures import Closed

CONTENT_TYPE = "application/json"
_HELD = 400
"""Bytes the host holds for a message besides its payload, roughly."""
_MESSAGE = b"m"
"""First byte of keys."""


class Windows(Protocol):
    """What `WindowTransform` and `SlidingTransform` are."""

    @property
    def due(self) -> float | None: ...

    @property
    def held(self) -> int: ...

    def take(self, payload: bytes, head: Head, now: float) -> list[Closed]: ...

    def close_due(self, now: float) -> list[Closed]: ...


class WindowOperator:
    """See `operators/timed.py`."""

    def __init__(self, make: Callable[[], Windows], memory_max: int, counters: NodeCounters) -> None:
        """`memory_max`: bytes that the open window may hold; a message beyond it is a fault of kind `memory`."""
        self.journal = Journal()
        self.frontier = START
        self._make = make
        self._windows = make()
        self._memory_max = memory_max
        self._counters = counters
        self._records = Records()
        self._open: deque[tuple[bytes, int]] = deque()
        """Keys and sizes of the messages that are on disk."""
        self._held = 0
        self._next = 0
        self._now = START
        """The latest time of a message so far."""
        self._head = Head("")
        """Of the last message."""
        self._heads = SharedHeads()
        self._left: list[Message] = []
        self._faults: list[Fault] = []

    def process(self, batch: Batch) -> Emission:
        faults: list[Fault] = []
        kept: Sequence[int] = batch.seqs
        failed: set[int] = set()
        for row, message in enumerate(batch.rows()):
            try:
                self._take(message)
            except NodeFault as fault:
                faults.append(Fault(batch.slice(row, row + 1), fault))
                failed.add(row)
        if failed:
            kept = [seq for row, seq in enumerate(batch.seqs) if row not in failed]
        out = self._out()
        return Emission(out.ports, faults=[*faults, *out.faults], kept=kept)

    def due(self) -> int | None:
        if self._left or self._faults:  # of what was taken over
            return START
        due = self._windows.due
        return None if due is None else logical(ceil(due * 1000))

    def ready(self) -> Batch | None:
        """Messages are folded as they come."""
        return None

    def fold(self, batch: Batch) -> Emission:  # noqa: ARG002 - never asked
        return Emission(())

    def folded(self, batch: Batch) -> None:
        """Never asked."""

    def closed(self) -> Emission:
        self._close_until(self.frontier)
        return self._out()

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        self._refold(entries, close=False)
        while (due := self._windows.due) is not None and logical(ceil(due * 1000)) <= self.frontier:
            self._windows.close_due(due)  # it was given before: its last messages are also in windows that slide on
        self._forget_unheld()

    def take_over(self, entries: Mapping[bytes, bytes], *, whole: bool) -> None:
        self._refold(entries, close=True)
        if whole and self._faults:
            raise ValueError(f"a message of the open window is none for it: {self._faults[0].error}")

    def begin_again(self) -> None:
        self.journal.clear()
        self._windows = self._make()
        self._open.clear()
        self._left, self._faults = [], []
        self._held, self._next, self._now = 0, 0, START

    def _refold(self, entries: Mapping[bytes, bytes], *, close: bool) -> None:
        """`close`: windows that end between two of the messages, which others kept open."""
        known = [key for key in sorted(entries) if key[:1] == _MESSAGE]
        unpacked = [self._records.unpack(entries[key]) for key in known]  # all of them before anything is changed
        for key, message in zip(known, unpacked, strict=True):
            self._next = int.from_bytes(key[1:], "big") + 1
            if close:
                self._close_until(message.time)
            try:
                self._fold(message, key)
            except NodeFault as fault:  # a record it was enriched with has changed
                self._faults.append(Fault(batch_of([message]), fault))
                self.journal.delete(key)

    def windows(self) -> int:
        return int(self._windows.due is not None)

    def restart(self) -> None:
        """Nothing to put in place: a message that fails leaves nothing behind."""

    def memory_bytes(self) -> int:
        return self._held

    def close(self) -> None:
        """Nothing to give back."""

    def _take(self, message: Message) -> None:
        size = len(message.payload) + _HELD
        if message.time < self.frontier:
            self._counters.late += 1
        time = max(self._now, message.time, self.frontier)
        self._close_until(time)
        if self._held + size > self._memory_max:
            words = f"the open window holds {format_bytes(self._held)}, all that resources.memory allows"
            raise NodeFault("memory", words)
        message = Message(message.head, message.payload, time)
        key = _MESSAGE + self._next.to_bytes(8, "big")
        self._fold(message, key)
        self._next += 1
        if self._open and self._open[-1][0] == key:
            self.journal.put(key, self._records.pack(message))

    def _fold(self, message: Message, key: bytes) -> None:
        """Take a message into the open window, or into the next. Raises `NodeFault` for one that it cannot read."""
        self._now = max(self._now, message.time)
        closed = self._windows.take(message.payload, message.head, milliseconds(message.time) / 1000)
        self._head = message.head
        self._open.append((key, len(message.payload) + _HELD))
        self._held += self._open[-1][1]
        self._leave(closed, message.time)

    def _close_until(self, time: int) -> None:
        """Close what has ended by then."""
        now = milliseconds(time) / 1000
        while (due := self._windows.due) is not None and due <= now:
            self._leave(self._windows.close_due(now), logical(ceil(due * 1000)))
        if self._windows.due is None:
            self._now = START

    def _leave(self, closed: Sequence[Closed], time: int) -> None:
        """What windows gave at that time; the messages that none needs any more are forgotten."""
        head = self._heads.same(Head(self._head.topic, CONTENT_TYPE))
        for found in closed:
            try:
                self._left.append(Message(head, _payload(found), time))
            except NodeFault as fault:
                self._faults.append(Fault(batch_of([Message(head, b"", time)]), fault))
        self._forget_unheld()

    def _forget_unheld(self) -> None:
        while len(self._open) > self._windows.held:
            key, size = self._open.popleft()
            self._held -= size
            self.journal.delete(key)

    def _out(self) -> Emission:
        left, faults = self._left, self._faults
        self._left, self._faults = [], []
        return Emission((batch_of(left) if left else None,), faults=faults)


def _payload(closed: Closed) -> bytes:
    """What a window gave, as JSON. Raises the fault of one that gave none."""
    if isinstance(closed, NodeFault):
        raise closed
    return encode(closed)
