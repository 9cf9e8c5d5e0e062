"""The ends of a graph: a source's way in and a sink's way out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from time import monotonic
from typing import Literal

from flowrt.counters import NodeCounters
from flowrt.endpoints.base import Sink
from flowrt.logicaltime.stamps import own_stamp, with_stamp
from flowrt.message import Batch, Head
from flowrt.operators.base import Emission
from flowrt.runtime.identity import Keys, identified
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import send


class Entrance:
    """Where a source delivers. `deliver` runs on the source's own thread."""

    def __init__(
        self, counters: NodeCounters, overflow: Literal["wait", "newest", "oldest"], limits: Limits | None = None
    ) -> None:
        self.counters = counters
        self._limits = limits if limits is not None and limits.bounded else None
        self.inboxes: Sequence[Inbox] = ()
        """The first inbox of each connection. Set once while the graph is built."""
        self.gate = threading.Lock()
        """Whoever holds it keeps the source waiting: while the nodes behind it are exchanged."""
        self._overflow = overflow
        self.identify = False
        """Whether to give messages an identity, because some sink makes keys of it."""

    def deliver(self, batch: Batch) -> None:
        """Take a batch into the graph. Only messages nobody acknowledges are ever dropped for want of room."""
        with self.gate:
            self._deliver(batch)

    def _deliver(self, batch: Batch) -> None:
        counters = self.counters
        counters.received += len(batch)
        if self.identify:
            batch = identified(batch)
        if self._limits is None:
            self._enter(batch)
            return
        room = self._limits.room(batch)
        if room < len(batch):
            over = batch.slice(room, len(batch))
            counters.drop("limit", len(over))
            if over.tracker is not None:
                over.tracker.settle(over.seqs)
            batch = batch.slice(0, room)
        if len(batch):
            self._enter(batch)
            self._limits.settle(batch)

    def _enter(self, batch: Batch) -> None:
        counters = self.counters
        if self._overflow == "wait" or batch.tracker is not None:
            counters.emitted += len(batch)
            send(batch, [inbox.put for inbox in self.inboxes], counters)
            return
        for inbox in self.inboxes:
            dropped = sum(map(len, inbox.offer(batch, drop_oldest=self._overflow == "oldest")))
            counters.emitted += len(batch)
            if dropped:
                counters.emitted -= dropped
                counters.drop("overflow", dropped)


HEADS_MAX = 4096
"""Heads remembered as they leave: a topic has one, mostly."""


class SinkOperator:
    """Hands batches to an endpoint and notes how long their messages were under way."""

    def __init__(
        self,
        sink: Sink,
        counters: NodeCounters,
        outward: Callable[[Head], Head] | None = None,
        keys: Keys | None = None,
        *,
        stamps: bool = False,
    ) -> None:
        """`outward` gives the head a message leaves with, where that is another; `keys` gives messages their
        idempotency keys; `stamps`: those that have no clock are given one."""
        self._sink = sink
        self._keys = keys
        self._stamps = stamps
        self._counters = counters
        self._outward = None if outward is None else lru_cache(HEADS_MAX)(outward)

    def process(self, batch: Batch) -> Emission:
        if self._keys is not None:
            batch = self._keys.keyed(batch)
        if self._stamps:
            batch = batch.with_payloads(batch.payloads, list(map(_stamped, batch.heads, batch.times)))
        if self._outward is not None:
            batch = batch.with_payloads(batch.payloads, list(map(self._outward, batch.heads)))
        self._sink.send(batch)
        self._counters.sent += len(batch)
        now, born = monotonic(), batch.born
        observe = self._counters.latency.observe
        if born.count(born[0]) == len(born):  # all of one read, as is usual
            observe(now - born[0], len(batch))
        else:
            for moment, count in Counter(born).items():
                observe(now - moment, count)
        return Emission(())

    def restart(self) -> None:
        """Endpoints reconnect by themselves: nothing to put in place."""

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """The graph closes its endpoints, after flushing them."""


def _stamped(head: Head, time: int) -> Head:
    """A head with a clock: its own, or the time at which the message counts."""
    return head if head.timestamp else head.with_(properties=with_stamp(head.properties, own_stamp(time)))
