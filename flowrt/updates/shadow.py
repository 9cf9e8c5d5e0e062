"""A version that runs beside the one that carries traffic: given the same messages, its results compared and forgotten.

It runs on a thread of its own, so that nothing waits for it. What it cannot keep up with it is not given.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from flowrt.errors import GuestTrap, NodeFault
from flowrt.graph.updates import Bounds
from flowrt.message import Batch, Message
from flowrt.operators.base import Emission, Operator
from flowrt.runtime.state import Stateful, state_of
from flowrt.updates.compare import same
from flowrt.updates.stopwatch import Stopwatch
from flowrt.updates.verdict import Tally

WAITING_MAX = 64
"""Batches that may wait for the version beside."""
ROWS_MAX = 64
"""Of a batch, what is compared at most."""

Compared = Callable[[Batch, Emission, bytes | None], None]
"""Takes messages, what the version that carries traffic made of them, and its state before them."""


class Beside:
    """Gives messages to a version beside. `judged` is called after each batch, on its thread."""

    def __init__(
        self,
        operator: Operator,
        tally: Tally,
        bounds: Bounds,
        *,
        begin: Callable[[], None],
        judged: Callable[[], None],
        timed: bool,
        lock: threading.Lock | None = None,
    ) -> None:
        """`timed`: it is the new version that runs beside, whose time and faults count."""
        self.skipped = 0
        """Messages it was not given because it did not keep up."""
        self._operator = operator
        self._tally = tally
        self._tolerance = bounds.tolerance
        self._begin = begin
        self._judged = judged
        self._timed = timed
        self._watch = Stopwatch(tally)
        self._lock = lock or threading.Lock()
        self._queue: queue.Queue[tuple[Batch, Emission, bytes | None] | None] = queue.Queue(WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="flowrt/beside", daemon=True)
        self._thread.start()

    def __call__(self, batch: Batch, emission: Emission, state: bytes | None) -> None:
        """Never waits."""
        try:
            self._queue.put_nowait((batch, emission, state))
        except queue.Full:
            self.skipped += len(batch)

    def caught_up(self) -> bool:
        """Whether it is done with all that it was given."""
        return not self._queue.unfinished_tasks

    def close(self) -> None:
        """Finish the batch it is at and end: no sooner than that may the version be given to anybody else."""
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            with self._lock:
                self._begin()
                self._compare(*item)
            self._queue.task_done()
            self._judged()

    def _compare(self, batch: Batch, emission: Emission, state: bytes | None) -> None:
        tally, operator = self._tally, self._operator
        rows = Batch(batch.heads, batch.payloads, batch.times, batch.born, range(len(batch)), None)
        place = {seq: row for row, seq in enumerate(batch.seqs)}
        if len(place) < len(batch):  # several rows of one message: what became of which cannot be told
            return
        expected = results_of(emission, len(batch), place)
        try:
            if state is not None and isinstance(operator, Stateful) and operator.state is not None:
                operator.resume(state)
            self._watch.begin()
            found = operator.process(rows)
            if self._timed:
                self._watch.end()
                tally.memory = operator.memory_bytes()
        except NodeFault as fault:
            self._failed(rows, fault, sum(1 for results in expected if results is not None))
            return
        results = results_of(found, len(batch), {row: row for row in range(len(batch))})
        if self._timed:
            tally.rows += len(batch)
        for row, (one, other) in enumerate(zip(expected, results, strict=True)):
            self._count(row, one, other)

    def _count(self, row: int, expected: list[Message] | None, found: list[Message] | None) -> None:
        tally = self._tally
        if expected is None and found is None:
            return
        tally.compared += 1
        if found is None and self._timed:
            tally.failed += 1
        alike = (
            expected is not None
            and found is not None
            and len(expected) == len(found)
            and all(same(a, b, self._tolerance) for a, b in zip(expected, found, strict=True))
        )
        if not alike:
            tally.differing += 1
            tally.detail = f"message {row} of a batch: {_shown(expected)} became {_shown(found)}"

    def _failed(self, rows: Batch, fault: NodeFault, handled: int) -> None:
        """It failed on a batch: which messages are to blame is found one by one."""
        if isinstance(fault, GuestTrap):
            try:
                self._operator.restart()
            except NodeFault as again:
                fault = again
        if not self._timed or not handled:
            return
        self._tally.rows += len(rows)
        self._tally.detail = str(fault)
        if isinstance(fault, GuestTrap):
            self._tally.traps += 1
        else:
            self._tally.failed += 1


class Shadowed:
    """The version that carries traffic, with another beside it. Implements `operators.base.Operator`."""

    def __init__(self, operator: Operator, beside: Compared, wanted: int) -> None:
        """The other is given `wanted` messages."""
        self.inner = operator
        self.restart = operator.restart
        self.memory_bytes = operator.memory_bytes
        self.close = operator.close
        self.done = threading.Event()
        """Set when it was given as many."""
        self._beside = beside
        self._wanted = wanted

    def process(self, batch: Batch) -> Emission:
        if self._wanted <= 0:
            return self.inner.process(batch)
        state = state_of(self.inner)
        emission = self.inner.process(batch)
        self._beside(batch, emission, state)
        self._wanted -= len(batch)
        if self._wanted <= 0:
            self.done.set()
        return emission


def results_of(emission: Emission, count: int, place: dict[int, int]) -> list[list[Message] | None]:
    """What became of each message of a batch: its results in order, each with its port as its time; None where it
    failed."""
    results: list[list[Message] | None] = [[] for _ in range(count)]
    for fault in emission.faults:
        for seq in fault.rows.seqs:
            results[place[seq]] = None
    for at, seq, message in _leaving(emission):
        row = results[place[seq]]
        if row is not None:
            row.append(Message(message.head, bytes(message.payload), at))
    return results


def _leaving(emission: Emission) -> Iterator[tuple[int, int, Message]]:
    for at, port in enumerate(emission.ports):
        if port is not None:
            for seq, message in zip(port.seqs, port.rows(), strict=True):
                yield at, seq, message


def _shown(results: list[Message] | None) -> str:
    if results is None:
        return "a fault"
    return ", ".join(repr(message.payload[:60]) for message in results[:3]) or "nothing"
