"""A node with something on disk that has to be there before its messages are settled: what all such nodes share.

Changes gather in a journal and are written together (a *commit*), by the stage's own thread; only then are the messages
settled that they came of.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Stopped
from flowrt.errors import NodeFault, StartError
from flowrt.events import CheckpointSetAside, StoreFailed
from flowrt.operators.base import Operator
from flowrt.quota.backoff import Backoff
from flowrt.runtime.node import Node
from flowrt.state.checkpoints import HEADER, CheckpointStore
from flowrt.state.journal import Journal

COMMIT_SECONDS = 0.25
"""How long a kept message may wait for the next commit, when there are few."""
COMMIT_MESSAGES = 16
"""Unsettled messages for which a commit does not wait: a broker stops delivering at 20, by Mosquitto's defaults."""


class KeepingNode(Node, ABC):
    """See `Node`."""

    def __init__(
        self,
        graph: str,
        name: str,
        operator: Operator,
        *given: Any,
        store: CheckpointStore,
        identity: bytes,
        journal: Journal,
        **options: Any,
    ) -> None:
        """`identity`: what its entries belong to; entries of another are set aside. The rest is `Node`'s."""
        super().__init__(graph, name, operator, *given, **options)
        self.wake: Callable[[], None] = _nothing
        """Called, from any thread, when there is something to commit though nothing came."""
        self._store = store
        self._identity = identity
        self._journal = journal
        self._loaded: dict[bytes, bytes] | None = None
        self._unsettled: list[tuple[Tracker, Sequence[int]]] = []
        self._unsettled_count = 0
        self._dirty_since: float | None = None
        self._given_up = False
        """The disk took nothing until the stop: what changed is in memory only, and goes with it."""

    @abstractmethod
    def resume(self, *, clock_set_back: bool = False) -> None:
        """Begin with what is on disk. Before the first batch. Raises `Stopped`."""

    def take_over(self, old: KeepingNode) -> None:
        """Stand in the place of a node of the same name, whose stage is at rest or the caller: what that keeps, this
        one keeps. Nothing is handed on. Raises `NodeFault`, and then the other goes on."""
        try:
            old.commit()
            entries = self._store.load(self.graph, self.name)
        except (Stopped, StartError) as error:
            raise NodeFault("state", str(error) or "the graph is ending") from error
        self._begin_again()
        self._journal.resume(entries)
        self._journal.put(HEADER, self._identity)
        self._take(old, entries)
        old._journal.clear()
        self._touch()

    def go_on(self) -> None:
        """After `take_over`, on the stage's thread, once everything is connected. Raises `Stopped`."""

    def _begin_again(self) -> None:
        """As if nothing had come."""
        self._journal.clear()

    @abstractmethod
    def _take(self, old: KeepingNode, entries: Mapping[bytes, bytes]) -> None:
        """Take what the other has in memory and on disk. Raises `NodeFault`, and has taken nothing then."""

    def commit_at(self) -> float | None:
        """When the next commit is due, on the monotonic clock; None when there is nothing to put down."""
        if self._dirty_since is None:
            return None
        return self._dirty_since + (0.0 if self._unsettled_count >= COMMIT_MESSAGES else COMMIT_SECONDS)

    def commit(self) -> None:
        """Put down what changed, and settle what was kept. Waits while the disk takes nothing. Raises `Stopped`."""
        if self._journal:
            self._write()
        self._dirty_since = None
        unsettled, self._unsettled, self._unsettled_count = self._unsettled, [], 0
        for tracker, seqs in unsettled:
            tracker.settle(seqs)

    def close(self) -> None:
        """The last commit, once everything behind has had its time to confirm. What the disk does not take stays
        unsettled."""
        if not self._given_up:
            with suppress(Stopped):
                self.commit()

    def _load(self) -> dict[bytes, bytes]:
        """What is on disk, also kept for `_read`. Raises `StartError`."""
        self._loaded = self._store.load(self.graph, self.name)
        return self._loaded

    def _read(self) -> dict[bytes, bytes]:
        """What is on disk. Waits while it cannot be read. Raises `Stopped`."""
        backoff = Backoff(first=0.5, longest=30.0, free=0)
        while self._loaded is None:
            try:
                self._load()
            except StartError as error:
                self._pause_for("checkpoints", str(error), backoff)
        loaded, self._loaded = self._loaded, None
        return loaded

    def _put_aside(self, entries: dict[bytes, bytes], reason: str) -> None:
        """Begin without entries that do not fit, and keep them for a look. Raises `Stopped`."""
        self._journal.clear()
        self.counters.set_aside += len(entries)
        backoff = Backoff(first=0.5, longest=30.0, free=0)
        while True:
            try:
                self._store.put_aside(self.graph, self.name)
                break
            except (StartError, sqlite3.Error) as error:
                self._pause_for("checkpoints", str(error), backoff)
        self._emit(CheckpointSetAside(self.graph, self.name, len(entries), reason))

    def _owe(self, tracker: Tracker, seqs: Sequence[int]) -> None:
        self._unsettled.append((tracker, seqs))
        self._unsettled_count += len(seqs)

    def _touch(self) -> None:
        if self._dirty_since is None:
            self._dirty_since = monotonic()

    def _write(self) -> None:
        changes, counters = self._journal.take(), self.counters
        backoff = Backoff(first=0.5, longest=30.0, free=0)
        while True:
            started = monotonic()
            try:
                self._store.commit(self.graph, self.name, changes)
                counters.checkpoints += 1
                counters.checkpoint_seconds += monotonic() - started
                counters.checkpoint_bytes += sum(map(len, changes.puts.values()))
                return
            except (StartError, sqlite3.Error) as error:
                self._pause_for("checkpoints", str(error), backoff)

    def _pause_for(self, store: str, reason: str, backoff: Backoff) -> None:
        wait = backoff.next(monotonic())
        self._emit(StoreFailed(store, reason, wait))
        if self._stopping.wait(wait):
            self._given_up = True
            raise Stopped


def _nothing() -> None:
    pass
