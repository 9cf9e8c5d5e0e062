"""The working side: sources that read what they are dealt, beside the graph's own sinks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Deliver, EndpointCounters, Sink, Source, Stopped
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.registry import Endpoints, Refused
from flowrt.events import Emit
from flowrt.graph.plan import Plan
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.options import Options
from flowrt.workers.wire import DONE, Decoder

SourceKey = tuple[str, str]
"""A graph's name and a source's."""


def source_keys(plans: Sequence[Plan]) -> list[SourceKey]:
    """Every source, in the order that both sides count them in."""
    return [
        (plan.name, node.name)
        for plan in plans
        for node in plan.nodes.values()
        if isinstance(node.operation, SourceOperation)
    ]


class FeedSource:
    """See `flowrt.endpoints.base.Source`. It ends when nothing more is dealt."""

    def __init__(self, feed: FeedReader) -> None:
        self.counters = EndpointCounters()
        self.deliver: Deliver | None = None
        self.ended: Callable[[], None] | None = None
        self._feed = feed

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        self.deliver, self.ended = deliver, ended
        self._feed.start()

    def ready(self) -> bool:
        return self.deliver is not None

    def broken(self) -> bool:
        return self._feed.broken()

    def stop(self) -> None:
        """The reading process has stopped before."""

    def close(self) -> None:
        """The connection stays: what is done with later is said, until the process ends."""


class FeedReader:
    """Reads from the dealer on a thread of its own, and says what is done with."""

    def __init__(self, connection: socket.socket, keys: Sequence[SourceKey]) -> None:
        self._connection = connection
        self._sources = {key: FeedSource(self) for key in keys}
        self._tracker = Tracker(self._released)
        self._thread = threading.Thread(target=self._run, name="flowrt/feed", daemon=True)
        self._finished = False

    def source(self, key: SourceKey) -> FeedSource:
        return self._sources[key]

    def start(self) -> None:
        """Begin once every source is started: what comes must find its taker."""
        if all(source.ready() for source in self._sources.values()):
            self._thread.start()

    def broken(self) -> bool:
        return self._thread.ident is not None and not self._thread.is_alive() and not self._finished

    def _run(self) -> None:
        sources = list(self._sources.values())
        with self._connection.makefile("rb", buffering=1 << 18) as stream:
            decoder = Decoder(stream.read)
            try:
                while (arrived := decoder.next()) is not None:
                    batch, source = arrived.batch, sources[arrived.source]
                    if arrived.tracked:
                        batch.tracker = self._tracker
                        batch.seqs = self._tracker.open(len(batch))
                    if source.deliver is not None:
                        source.deliver(batch)
            except (OSError, Stopped):  # the dealer died, or this graph drains: it is all dealt again
                pass
        self._finished = True
        for source in sources:
            if source.ended is not None:
                source.ended()

    def _released(self, count: int) -> None:
        try:
            self._connection.sendall(DONE.pack(count))
        except OSError:
            return  # the dealer is gone, and with it whoever waits


class WorkerEnds:
    """Opens the ends of one graph in a worker: sources that are fed, sinks with a client id of their own."""

    def __init__(
        self,
        reader: FeedReader,
        number: int,
        graph: str,
        options: Mapping[str, Options],
        sources: frozenset[str],
        *,
        emit: Emit,
        state: Path | None = None,
    ) -> None:
        """`sources`: names of the endpoints that the dealer has connections to."""
        self._reader = reader
        self._graph = graph
        mine = {name: _own(found, number, name in sources) for name, found in options.items()}
        self._ends = Endpoints(f"{graph}-w{number}", mine, emit=emit, state=state)

    def source(self, operation: SourceOperation) -> Source:
        return self._reader.source((self._graph, operation.name))

    def sink(self, operation: SinkOperation, on_refused: Refused | None = None) -> Sink:
        return self._ends.sink(operation, on_refused)


def _own(options: Options, number: int, announced: bool) -> Options:  # noqa: FBT001 - private
    """Where the dealer is connected too, it says who is there and who is gone; else the first worker does."""
    if not isinstance(options, MqttOptions):
        return options
    changes: dict[str, object] = {}
    if options.client_id is not None:
        changes["client_id"] = f"{options.client_id}-w{number}"
    if announced or number:
        changes |= {"birth": None, "will": None}
    return options.model_copy(update=changes)
