"""Fakes for tests of graphs and operators: shipped, so that everyone uses the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Deliver, EndpointCounters, Stopped
from flowrt.message import Batch, Head, Message
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation

_HEAD = Head("test/topic")


def batch_of(
    payloads: Sequence[bytes],
    *,
    topics: Sequence[str] | None = None,
    tracker: Tracker | None = None,
    time: int = 0,
) -> Batch:
    """A batch as a source would make it. With a tracker its messages are opened there."""
    count = len(payloads)
    shared = {topic: Head(topic) for topic in topics or ()}
    heads = [_HEAD] * count if topics is None else [shared[topic] for topic in topics]
    seqs = tracker.open(count) if tracker is not None else range(count)
    return Batch(heads, list(payloads), range(time, time + count), [0.0] * count, seqs, tracker)


class ListSource:
    """Delivers given batches of payloads, each acknowledged or not, then ends."""

    def __init__(self, batches: Sequence[Sequence[bytes]], *, topic: str = "test/topic", ends: bool = True) -> None:
        self.counters = EndpointCounters()
        self.acknowledged = 0
        """Messages released so far, always the oldest ones."""
        self._batches = batches
        self._topic = topic
        self._ends = ends
        self._tracker = Tracker(self._release)
        self._thread: threading.Thread | None = None

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=self._run, args=(deliver, ended), daemon=True)
        self._thread.start()

    def ready(self) -> bool:
        return True

    def broken(self) -> bool:
        return False

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.join(5)

    def close(self) -> None:
        """Nothing to give back."""

    def _run(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        for payloads in self._batches:
            self.counters.messages_in += len(payloads)
            deliver(batch_of(payloads, topics=[self._topic] * len(payloads), tracker=self._tracker))
        if self._ends:
            ended()

    def _release(self, count: int) -> None:
        self.acknowledged += count


class FakeEndpoints:
    """Stands in for a graph's endpoints: one source of given batches, and a sink of its own for each sink operation.

    `Surroundings(open_endpoints=FakeEndpoints([[b"…"]]).open)`.
    """

    def __init__(
        self,
        batches: Sequence[Sequence[bytes]],
        *,
        topic: str = "test/topic",
        at_once: bool = True,
        away: Sequence[str] = (),
    ) -> None:
        self.sources: dict[str, ListSource] = {}
        self.sinks: dict[str, ListSink] = {}
        self._batches = batches
        self._topic = topic
        self._at_once = at_once
        self._away = away

    def open(self, _graph: str, _options: object, **_: object) -> FakeEndpoints:
        return self

    def source(self, operation: SourceOperation) -> ListSource:
        return self.sources.setdefault(operation.name, ListSource(self._batches, topic=self._topic))

    def sink(self, operation: SinkOperation, _on_refused: object = None) -> ListSink:
        return self.sinks.setdefault(operation.name, ListSink(at_once=self._at_once, away=operation.name in self._away))


class ListSink:
    """Keeps what it is given; acknowledges at once, or when `acknowledge` is called. One that is `away` takes nothing:
    `send` waits until `close`."""

    def __init__(self, *, at_once: bool = True, away: bool = False) -> None:
        self.counters = EndpointCounters()
        self.messages: list[Message] = []
        self._at_once = at_once
        self._away = away
        self._closed = threading.Event()
        self._held: list[Batch] = []
        self._changed = threading.Condition()

    def start(self) -> None:
        """Always there."""

    def ready(self) -> bool:
        return True

    def broken(self) -> bool:
        return False

    def send(self, batch: Batch) -> None:
        if self._away:
            self._closed.wait()
            raise Stopped
        with self._changed:
            self.counters.messages_out += len(batch)
            self.messages.extend(batch.rows())
            self._held.append(batch)
            self._changed.notify_all()
        if self._at_once:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Settle all that was sent."""
        with self._changed:
            held, self._held = self._held, []
        for batch in held:
            if batch.tracker is not None:
                batch.tracker.settle(batch.seqs)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Message]:
        """The messages, once there are `count` of them. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise TimeoutError(f"{len(self.messages)} of {count} messages came in {timeout} s")
            return list(self.messages)

    def empty(self) -> bool:
        """It keeps nothing on disk."""
        return True

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - nothing here takes time
        return not self._held

    def close(self) -> None:
        self._closed.set()
