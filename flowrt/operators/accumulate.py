"""`accumulate`: a module folds all messages of one logical time into one.

The module is called with what it has folded so far (at first a message with an empty payload, under the topic of the
first one) and the next messages, as often as it takes. The result leaves, at that logical time, once nothing of that
time can come any more. Windows are made by a `delay` before it: without one each message has a time of its own. What is
open is on disk before a message is acknowledged, and survives a stop and a crash. See [time.md](time.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import Literal

from flowrt.counters import NodeCounters
from flowrt.errors import NodeFault
from flowrt.logicaltime.groups import Groups
from flowrt.logicaltime.stamps import START
from flowrt.message import Batch, Head, Message, SharedHeads
from flowrt.operators.base import Emission, Fault, GuestFactory
from flowrt.operators.guest import GuestSlot
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.late import Late, refused
from flowrt.quota.quantity import format_bytes
from flowrt.state.journal import Journal
from flowrt.state.records import Records, pack_time, unpack_time

FOLD_MAX = 64
"""Messages of one time that are folded by one call. A fixed number, whatever batches they came in: the same messages
then give the same result."""
WINDOWS_MAX = 10_000
"""Logical times that may be open at once."""
_HELD = 200
"""Bytes the host holds for a message besides its payload, roughly."""
_MESSAGE, _STAGED = b"m", b"s"
"""First bytes of keys: a message that waits, what has been folded of a time."""


class AccumulateOperation(GuestOperation):
    """Folds all messages of one logical time into one, with a module's `accumulate`."""

    operation_type: Literal["accumulate"]
    late: Late = "advance"
    """What becomes of a message whose time has left already: `advance` folds it into the earliest window that is open,
    `refuse` makes a fault of kind `late` of it, which goes where `onError` says. Either way it is counted."""


class _Window:
    """What is open of one logical time."""

    __slots__ = ("pending", "staged")

    def __init__(self) -> None:
        self.staged: Message | None = None
        self.pending: dict[int, Message] = {}
        """By a number of the node's own, in order of arrival."""


class AccumulateOperator:
    """Runs a guest's `accumulate`. See `operators/timed.py`."""

    def __init__(self, factory: GuestFactory, late: Late, counters: NodeCounters, memory_max: int) -> None:
        """`memory_max`: bytes that open windows may hold; a message beyond it is a fault of kind `memory`."""
        self.journal = Journal()
        self._slot = GuestSlot(factory)
        self._late = late
        self._counters = counters
        self._memory_max = memory_max
        self._records = Records()
        self._windows: Groups[_Window] = Groups()
        self._full: dict[int, None] = {}
        """Times with enough messages for a call."""
        self.frontier = START
        self._next = 0
        self._held = 0
        self._heads = SharedHeads()
        self.restart = self._slot.restart
        self.close = self._slot.close

    def process(self, batch: Batch) -> Emission:
        faults: list[Fault] = []
        kept: Sequence[int] = batch.seqs
        if min(batch.times) >= self.frontier and self._has_room(batch):
            for message, time in zip(batch.rows(), batch.times, strict=True):
                self._keep(message, time)
            return Emission((), kept=kept)
        kept = []
        for row, message in enumerate(batch.rows()):
            fault = self._admit(message)
            if fault is None:
                kept.append(batch.seqs[row])
            else:
                faults.append(Fault(batch.slice(row, row + 1), fault))
        return Emission((), faults=faults, kept=kept)

    def due(self) -> int | None:
        first = self._windows.first()
        return None if first is None else first + 1

    def ready(self) -> Batch | None:
        if self._full:
            return self._next_of(next(iter(self._full)))
        first = self._windows.first()
        if first is None or first >= self.frontier:
            return None
        for time in self._windows.times_before(self.frontier):
            window = self._windows.get(time)
            if window is not None and window.pending:
                return self._next_of(time)
        return None

    def fold(self, batch: Batch) -> Emission:
        time = batch.times[0]
        window = self._windows.get(time)
        if window is None:
            raise NodeFault("internal", "a window is folded that is not open")
        staged = window.staged or Message(self._first_head(batch.heads[0]), b"", time)
        made = self._slot.guest.accumulate(staged, batch)
        self._slot.checkpoint()
        self._held += len(made.payload) - (len(window.staged.payload) if window.staged is not None else -_HELD)
        window.staged = made
        self.journal.put(_STAGED + pack_time(time), self._records.pack(made))
        return Emission(())

    def folded(self, batch: Batch) -> None:
        time = batch.times[0]
        window = self._windows.get(time)
        if window is None:
            return
        for number in batch.seqs:
            message = window.pending.pop(number, None)
            if message is not None:
                self._held -= len(message.payload) + _HELD
                self.journal.delete(_key(time, number))
        if len(window.pending) < FOLD_MAX:
            self._full.pop(time, None)

    def closed(self) -> Emission:
        made: list[Message] = []
        for time, window in self._windows.passed(self.frontier):
            if window.staged is not None:  # all of it may have been refused
                made.append(window.staged)
                self._held -= len(window.staged.payload) + _HELD
                self.journal.delete(_STAGED + pack_time(time))
        return Emission((batch_of(made),)) if made else Emission((None,))

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        known = [key for key in sorted(entries) if key[:1] in (_MESSAGE, _STAGED)]
        unpacked = [self._records.unpack(entries[key]) for key in known]  # all of them before anything is changed
        for key, message in zip(known, unpacked, strict=True):
            time = unpack_time(key[1:12])
            window = self._windows.get(time) or self._windows.open(time, _Window())
            if key[:1] == _STAGED:
                window.staged = message
            else:
                number = int.from_bytes(key[12:], "big")
                window.pending[number] = message
                self._next = max(self._next, number + 1)
                if len(window.pending) >= FOLD_MAX:
                    self._full[time] = None
            self._held += len(message.payload) + _HELD

    def take_over(self, entries: Mapping[bytes, bytes], *, whole: bool) -> None:  # noqa: ARG002 - it always is
        self.restore(entries)

    def begin_again(self) -> None:
        self.journal.clear()
        self._windows = Groups()
        self._full.clear()
        self._next = self._held = 0

    def windows(self) -> int:
        return len(self._windows)

    def memory_bytes(self) -> int:
        return self._slot.memory_bytes() + self._held

    def _has_room(self, batch: Batch) -> bool:
        size = batch.counted() + len(batch) * _HELD
        return self._held + size <= self._memory_max and len(self._windows) + len(batch) <= WINDOWS_MAX

    def _admit(self, message: Message) -> NodeFault | None:
        """Keep one message, or why not."""
        time = message.time
        if time < self.frontier:
            self._counters.late += 1
            if self._late == "refuse":
                return refused(time, self.frontier)
            first = self._windows.first()
            time = self.frontier if first is None else max(first, self.frontier)
        if self._held + len(message.payload) + _HELD > self._memory_max:
            words = f"open windows hold {format_bytes(self._held)}, all that resources.memory allows"
            return NodeFault("memory", words)
        if self._windows.get(time) is None and len(self._windows) >= WINDOWS_MAX:
            return NodeFault("memory", f"{WINDOWS_MAX} windows are open, and there can be no more")
        self._keep(message, time)
        return None

    def _keep(self, message: Message, time: int) -> None:
        window = self._windows.get(time) or self._windows.open(time, _Window())
        number = self._next
        self._next += 1
        window.pending[number] = message
        self._held += len(message.payload) + _HELD
        self.journal.put(_key(time, number), self._records.pack(message))
        if len(window.pending) == FOLD_MAX:
            self._full[time] = None

    def _first_head(self, head: Head) -> Head:
        return self._heads.same(Head(head.topic, head.content_type))

    def _next_of(self, time: int) -> Batch:
        """The next messages of a window. They answer for nobody: the node's own number stands in their place."""
        window = self._windows.get(time)
        pending = {} if window is None else dict(islice(window.pending.items(), FOLD_MAX))
        messages = list(pending.values())
        return Batch(
            [message.head for message in messages],
            [message.payload for message in messages],
            [time] * len(messages),
            [0.0] * len(messages),
            list(pending),
        )


def batch_of(messages: Sequence[Message]) -> Batch:
    """Messages that a node made of itself. They are born now: how long a window was open is nobody's delay."""
    return Batch(
        [message.head for message in messages],
        [message.payload for message in messages],
        [message.time for message in messages],
        [monotonic()] * len(messages),
        range(len(messages)),
    )


def _key(time: int, number: int) -> bytes:
    return _MESSAGE + pack_time(time) + number.to_bytes(8, "big")
