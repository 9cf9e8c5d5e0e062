"""Where messages of a test enter a graph and leave it, in the place of its endpoints."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Deliver, EndpointCounters, refuse
from flowrt.endpoints.registry import Refused
from flowrt.endpoints.template import parse
from flowrt.errors import NodeFault
from flowrt.graphtest.trial import Left, Outcome
from flowrt.graphtest.virtual import VirtualTime
from flowrt.message import Batch, Head
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation


class TrialSource:
    """A source that the executor feeds, from its own thread."""

    def __init__(self, time: VirtualTime) -> None:
        self.counters = EndpointCounters()
        self._time = time
        self._tracker = Tracker(lambda _: None)

    def open_count(self) -> int:
        """Messages that entered and have not come to their end."""
        return self._tracker.open_count

    def batch(self, heads: list[Head], payloads: list[bytes]) -> Batch:
        """Messages that arrive now, as a batch of this source's."""
        count = len(payloads)
        self.counters.messages_in += count
        born = [monotonic()] * count
        return Batch(heads, payloads, self._time.stamps(count), born, self._tracker.open(count), self._tracker)

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        """The executor delivers."""

    def ready(self) -> bool:
        return True

    def broken(self) -> bool:
        return False

    def stop(self) -> None:
        """Nothing reads."""

    def close(self) -> None:
        """Nothing is open."""


class TrialSink:
    """Keeps what leaves the graph, under the topic its operation makes, and acknowledges at once."""

    def __init__(
        self, operation: SinkOperation, on_refused: Refused | None, kept: list[Left], time: VirtualTime
    ) -> None:
        self.counters = EndpointCounters()
        self._template = parse(operation.topic)
        self._content_type = operation.content_type
        self._on_refused = on_refused
        self._kept = kept
        self._time = time

    def send(self, batch: Batch) -> None:
        for row, (head, payload) in enumerate(zip(batch.heads, batch.payloads, strict=True)):
            alone = batch.slice(row, row + 1)
            try:
                topic = self._template.fill(head, payload)
            except NodeFault as fault:
                refuse(alone, fault, self.counters, self._on_refused)
                continue
            made = head.with_(topic=topic, content_type=head.content_type or self._content_type)
            self._kept.append(Left(self._time.elapsed(), made, payload))
            self.counters.messages_out += 1
            if alone.tracker is not None:
                alone.tracker.settle(alone.seqs)

    def start(self) -> None:
        """Always there."""

    def ready(self) -> bool:
        return True

    def broken(self) -> bool:
        return False

    def empty(self) -> bool:
        return True

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - nothing here takes time
        return True

    def close(self) -> None:
        """Nothing is open."""


class TrialEndpoints:
    """The ends of a graph under test: `Surroundings(open_endpoints=TrialEndpoints(outcome, time).open)`."""

    def __init__(self, outcome: Outcome, time: VirtualTime) -> None:
        self.sources: dict[str, TrialSource] = {}
        self.operations: dict[str, SourceOperation] = {}
        self._outcome = outcome
        self._time = time

    def open(self, _graph: str, _options: object, **_: object) -> TrialEndpoints:
        return self

    def source(self, operation: SourceOperation) -> TrialSource:
        self.operations[operation.name] = operation
        return self.sources.setdefault(operation.name, TrialSource(self._time))

    def sink(self, operation: SinkOperation, on_refused: Refused | None = None) -> TrialSink:
        return TrialSink(operation, on_refused, self._outcome.out.setdefault(operation.name, []), self._time)
