"""What becomes of the rows a node could not handle: `onError`."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from time import monotonic

from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import DeadLetter, DeadLetters
from flowrt.errors import GuestTrap, NodeFault, StartError
from flowrt.events import Emit, MessagesDropped, NodeFaulted, StoreFailed
from flowrt.message import Batch
from flowrt.operators.base import Fault, OnError
from flowrt.quota.backoff import Backoff
from flowrt.values import replace

Publish = Callable[[Batch], None]
BACKTRACE_MAX = 2000
"""Characters of a backtrace that a published letter carries; the store has it whole."""


class FaultHandler:
    """Counts, logs, keeps and settles faulted rows. Safe from any thread: a sink's endpoint reports refusals itself."""

    def __init__(
        self,
        graph: str,
        node: str,
        on_error: OnError,
        counters: NodeCounters,
        letters: DeadLetters,
        stopping: threading.Event,
        emit: Emit,
        *,
        digest: str = "",
        publish: Publish | None = None,
    ) -> None:
        self._graph = graph
        self._node = node
        self._on_error = on_error
        self._counters = counters
        self._letters = letters
        self._stopping = stopping
        self._emit = emit
        self._digest = digest
        self._publish = publish
        self._lock = threading.Lock()
        self.quota: Callable[[], str] = str
        """Tells what the node holds and has used, for who reads its letters."""

    def count(self, error: NodeFault, rows: int = 0) -> None:
        """One fault more of its kind; `rows` messages were in it."""
        with self._lock:
            self._counters.fault(error.kind, max(rows, 1))

    def refuse(self, rows: Batch, error: NodeFault) -> None:
        """What a sink calls for messages that the other side refused for good."""
        self.handle(Fault(rows, error))

    def handle(self, *faults: Fault) -> None:
        """Bring rows to their end. They are settled when they are kept durably, or dropped on purpose. All of them are
        kept by one write: a flash does not wear out by a bad batch."""
        dropping = self._on_error.policy == "drop"
        outcome = "dropped" if dropping else "dead-lettered"
        for rows, error in ((fault.rows, fault.error) for fault in faults):
            self.count(error, len(rows))
            self._emit(
                NodeFaulted(self._graph, self._node, error.kind, error.detail, len(rows), outcome, _backtrace(error))
            )
        if dropping:
            with self._lock:
                self._counters.drop("onError", sum(len(fault.rows) for fault in faults))
        elif not self._keep(faults):
            return
        for tracker, of_one in groupby(faults, lambda fault: fault.rows.tracker):
            if tracker is not None:
                tracker.settle([seq for fault in of_one for seq in fault.rows.seqs])

    def _keep(self, faults: Sequence[Fault]) -> bool:
        """Put rows into the store; False when it could not be before the stop: then they stay unacknowledged."""
        quota = self.quota()
        letters = [letter for fault in faults for letter in self._letters_of(fault, quota)]
        backoff = Backoff(first=0.5, longest=30.0, free=0)
        while True:
            try:
                evicted, dropped = self._letters.add(letters)
                break
            except (StartError, sqlite3.Error) as cause:
                wait = backoff.next(monotonic())
                self._emit(StoreFailed("dead letters", str(cause), wait))
                if self._stopping.wait(wait):
                    return False
        with self._lock:
            self._counters.dead_lettered += len(letters) - dropped
            if evicted:
                self._counters.drop("deadLetterFull", evicted)
            if dropped:
                self._counters.drop("letterDropped", dropped)
        if evicted:
            self._emit(MessagesDropped("dead letters", "deadLetterFull", evicted))
        if self._publish is not None:
            for fault in faults:
                with self._lock:
                    self._publish(self._annotated(fault.rows, fault.error, quota))
        return True

    def _letters_of(self, fault: Fault, quota: str) -> Iterator[DeadLetter]:
        rows, error = fault.rows, fault.error
        where = (self._graph, self._node, error.kind, error.detail, _backtrace(error), self._digest)
        origin = rows.tracker.letter if rows.tracker is not None else 0
        return (DeadLetter(*where, message, quota=quota, origin=origin) for message in rows.rows())

    def _annotated(self, rows: Batch, error: NodeFault, quota: str) -> Batch:
        """The rows with the reason in their user properties; they no longer answer for anything at the tracker."""
        reason = (
            ("flowrt.graph", self._graph),
            ("flowrt.node", self._node),
            ("flowrt.fault", error.kind),
            ("flowrt.detail", error.detail),
            ("flowrt.module", self._digest),
            ("flowrt.backtrace", _backtrace(error)[:BACKTRACE_MAX]),
            ("flowrt.quota", quota),
        )
        heads = [replace(head, properties=head.properties + reason) for head in rows.heads]
        return replace(rows, heads=heads, tracker=None)


def _backtrace(error: NodeFault) -> str:
    return error.backtrace if isinstance(error, GuestTrap) else ""
