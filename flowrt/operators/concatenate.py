"""`concatenate`: merges its inputs. Messages pass unchanged, each input's in its own order.

What can still come behind it is what can still come from its slowest input. Where an input's messages may be behind
those of another, because a `delay`, `accumulate` or window leads to it, a message waits until nothing earlier can come
from any input, and all leave in the order of their logical times; an idle input holds nobody up. Elsewhere messages
pass as they come. See [time.md](time.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from flowrt.counters import NodeCounters
from flowrt.errors import FlowrtBug, NodeFault
from flowrt.logicaltime.groups import Groups
from flowrt.logicaltime.stamps import START
from flowrt.message import Batch, Message
from flowrt.operators.accumulate import batch_of
from flowrt.operators.base import Emission, Fault, Operation
from flowrt.quota.quantity import format_bytes
from flowrt.state.journal import Journal
from flowrt.state.records import Records, pack_time, unpack_time

_HELD = 200
"""Bytes the host holds for a message besides its payload, roughly."""
_MESSAGE = b"m"


class ConcatenateOperation(Operation):
    """Merges its inputs."""

    operation_type: Literal["concatenate"]
    module: None = None
    """AIO writes an empty `module:` here."""
    order: Literal["arrival", "time"] | None = None
    """`arrival` passes messages on as they come. `time` keeps each until nothing earlier can come from any input, and
    lets them go in the order of their logical times; what waits is on disk before its source is acknowledged. Unset:
    `time` where an operation that keeps time leads to it and a sink follows that no `accumulate` stands before (which
    would wait anyway), else `arrival`."""


class ConcatenateOperator:
    """Passes batches on."""

    def process(self, batch: Batch) -> Emission:
        return Emission((batch,))

    def restart(self) -> None:
        """Nothing to put in place."""

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to give back."""


class OrderingOperator(ConcatenateOperator):
    """Keeps messages until the frontier has passed them. See `operators/timed.py`."""

    def __init__(self, counters: NodeCounters, memory_max: int) -> None:
        """`memory_max`: bytes that waiting messages may hold; a message beyond it is a fault of kind `memory`."""
        self.journal = Journal()
        self.frontier = START
        self._counters = counters
        self._memory_max = memory_max
        self._records = Records()
        self._waiting: Groups[dict[int, Message]] = Groups()
        self._next = 0
        self._held = 0

    def process(self, batch: Batch) -> Emission:
        kept: list[int] = []
        faults: list[Fault] = []
        for row, (message, seq) in enumerate(zip(batch.rows(), batch.seqs, strict=True)):
            if self._held + len(message.payload) + _HELD > self._memory_max:
                words = f"waiting messages hold {format_bytes(self._held)}, all that resources.memory allows"
                faults.append(Fault(batch.slice(row, row + 1), NodeFault("memory", words)))
                continue
            self._counters.late += message.time < self.frontier  # it leaves at once
            self.journal.put(_key(message.time, self._next), self._records.pack(message))
            self._put(message, self._next)
            kept.append(seq)
        return Emission((), faults=faults, kept=kept)

    def due(self) -> int | None:
        first = self._waiting.first()
        return None if first is None else first + 1

    def ready(self) -> Batch | None:
        return None

    def fold(self, batch: Batch) -> Emission:  # noqa: ARG002 - what TimedOperator asks for
        raise FlowrtBug("a concatenate folds nothing")

    def folded(self, batch: Batch) -> None:
        """Nothing is folded."""

    def closed(self) -> Emission:
        made: list[Message] = []
        for time, messages in self._waiting.passed(self.frontier):
            made += messages.values()
            for number, message in messages.items():
                self._held -= len(message.payload) + _HELD
                self.journal.delete(_key(time, number))
        return Emission((batch_of(made) if made else None,))

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        known: Sequence[bytes] = [key for key in sorted(entries) if key[:1] == _MESSAGE]
        for key, message in [(key, self._records.unpack(entries[key])) for key in known]:
            self._put(message, int.from_bytes(key[12:], "big"), unpack_time(key[1:12]))

    def take_over(self, entries: Mapping[bytes, bytes], *, whole: bool) -> None:  # noqa: ARG002 - it always is
        self.restore(entries)

    def begin_again(self) -> None:
        self.journal.clear()
        self._waiting = Groups()
        self._next = self._held = 0

    def windows(self) -> int:
        return len(self._waiting)

    def memory_bytes(self) -> int:
        return self._held

    def _put(self, message: Message, number: int, time: int | None = None) -> None:
        time = message.time if time is None else time
        group = self._waiting.get(time)
        if group is None:
            group = self._waiting.open(time, {})
        group[number] = message
        self._held += len(message.payload) + _HELD
        self._next = max(self._next, number + 1)


def _key(time: int, number: int) -> bytes:
    return _MESSAGE + pack_time(time) + number.to_bytes(8, "big")
