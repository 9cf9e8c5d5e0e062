"""The contracts of endpoints: how messages enter a graph and leave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from flowrt.errors import NodeFault
from flowrt.message import Batch
from flowrt.operators.source import SourceOperation

Deliver = Callable[[Batch], None]
"""Takes a batch into the graph. Blocks while the first inbox is full: that is how back-pressure reaches the source.
Raises `Stopped` once the graph drains."""


class Stopped(Exception):
    """The graph takes nothing more; a source that sees it ends its reading."""


class EndpointCounters:
    """Plain integers that hot paths touch; the metrics collector reads them when Prometheus asks."""

    __slots__ = (
        "breaker_opens",
        "bytes_in",
        "bytes_out",
        "connected",
        "connects",
        "drained",
        "dropped",
        "messages_in",
        "messages_out",
        "refused",
        "silent",
        "spool_age",
        "spool_bytes",
        "spool_messages",
        "spooled",
        "unguarded",
    )

    def __init__(self) -> None:
        self.connected = 0
        self.connects = 0
        self.messages_in = 0
        self.messages_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.refused = 0
        """Messages the other side refused for good (an MQTT 5 reason code of 0x80 or above)."""
        self.silent = 0
        """Connections that were given up because the other side owed an answer and said nothing."""
        self.unguarded = 0
        """Messages read at QoS 0: nobody sends them again."""
        self.spooled = 0
        """Messages that went to disk because the other side was away or slow."""
        self.drained = 0
        """Messages sent from there."""
        self.spool_messages = 0
        """Messages on disk at present."""
        self.spool_bytes = 0
        """What they take there."""
        self.spool_age = 0.0
        """Seconds that the oldest of them has been there."""
        self.breaker_opens = 0
        """How often a sink stopped sending because its messages were turned away."""
        self.dropped: dict[str, int] = {}
        """By reason, a member of `flowrt.events.DROPS`."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that ended early."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count


class Source(Protocol):
    """Reads messages for one `source` operation, on threads of its own."""

    counters: EndpointCounters

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        """Begin. Returns at once: what is down is retried for ever. `ended` is called once by a source that has an
        end (a file) after its last batch, never by one that has none."""

    def ready(self) -> bool:
        """Whether every subscription is acknowledged (or the file is open)."""

    def broken(self) -> bool:
        """Whether a thread of it has ended although nobody asked it to: a fault of ours, which only a restart mends."""

    def stop(self) -> None:
        """Read nothing more, but stay able to acknowledge. Safe to call twice."""

    def close(self) -> None:
        """Disconnect, after what was settled has been acknowledged. Safe to call twice."""


@runtime_checkable
class Noting(Protocol):
    """A source that can say which messages come again."""

    def note(self) -> None:
        """Keep a `Note` of each message at its tracker, from the next one on."""


@runtime_checkable
class Resubscribing(Protocol):
    """A source that can read other topics while it runs, and whose connection outlives it."""

    def resubscribe(self, operation: SourceOperation) -> None:
        """Read what this says from now on, over the same connection; what both name is not interrupted. Returns at
        once."""

    def leave(self) -> None:
        """Read nothing more, for good; others go on over the same connection. Returns at once."""


class Sink(Protocol):
    """Sends the messages of one `sink` operation. `send` is called by one thread at a time."""

    counters: EndpointCounters

    def start(self) -> None:
        """Begin connecting. Returns at once."""

    def ready(self) -> bool:
        """Whether it is connected."""

    def broken(self) -> bool:
        """As for a source."""

    def send(self, batch: Batch) -> None:
        """Take responsibility for a batch: each row is settled at its tracker once the other side has it for good.
        Blocks while the other side is away or its window is full. Raises `NodeFault` when nothing of the batch was
        taken, and `Stopped` when `close` gave up waiting."""

    def flush(self, timeout: float) -> bool:
        """Wait until everything taken is settled; False when `timeout` seconds were not enough."""

    def empty(self) -> bool:
        """Whether nothing is left on disk that it is to send."""

    def close(self) -> None:
        """Disconnect. What is not settled stays unacknowledged at its source. Safe to call twice."""


class Spoolable(Sink, Protocol):
    """A sink that a spool can stand in for."""

    def offer(self, batch: Batch, patience: float) -> Batch | None:
        """As `send`, but for `patience` seconds only; the rows that were not taken by then, or None."""

    def when_lost(self, then: Callable[[], None]) -> None:
        """Have `then` called whenever the other side has gone, by a thread that it must not hold up. Before `start`."""

    def hand_over(self, keep: Callable[[Batch], Batch]) -> None:
        """Have everything under way kept: `keep` makes rows durable and gives them back with the numbers and the
        tracker by which they are settled from now on. Their sources are told that they are done with; rows that it
        gives back as they were are left alone. Called while nobody sends. Raises what `keep` does; what was kept
        before that stays kept."""


def refuse(
    rows: Batch, fault: NodeFault, counters: EndpointCounters, on_refused: Callable[[Batch, NodeFault], None] | None
) -> None:
    """What every sink does with rows that will never be out: they become `on_refused`'s, or are counted and settled."""
    counters.refused += len(rows)
    if on_refused is not None:
        on_refused(rows, fault)
        return
    counters.drop("refused", len(rows))
    if rows.tracker is not None:
        rows.tracker.settle(rows.seqs)
