"""One `source` operation of an MQTT endpoint. It shares a connection with the endpoint's other sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from flowrt.endpoints.base import Deliver, EndpointCounters
from flowrt.message import Batch
from flowrt.operators.source import SourceOperation

if TYPE_CHECKING:
    from flowrt.endpoints.mqtt.incoming import Incoming


class MqttSource:
    """See `flowrt.endpoints.base.Source`."""

    def __init__(self, connection: Incoming, operation: SourceOperation) -> None:
        self.counters = EndpointCounters()
        self.filters: Sequence[str] = ()
        self._read(operation)
        self.stopped = False
        self.closed = False
        self._connection = connection
        self._deliver: Deliver | None = None
        self._last_time = 0

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:  # noqa: ARG002 - a broker has no end
        self._deliver = deliver
        self._connection.start()

    @property
    def started(self) -> bool:
        return self._deliver is not None

    def broken(self) -> bool:
        return self._connection.broken()

    def ready(self) -> bool:
        return self._connection.granted(self.filters)

    def note(self) -> None:
        """See `flowrt.endpoints.base.Noting`."""
        self._connection.noting = True

    def resubscribe(self, operation: SourceOperation) -> None:
        """See `flowrt.endpoints.base.Resubscribing`."""
        self._read(operation)
        self._connection.filters_changed()

    def leave(self) -> None:
        """See `flowrt.endpoints.base.Resubscribing`."""
        self.filters = ()
        self.stopped = self.closed = True
        self._connection.source_left()

    def _read(self, operation: SourceOperation) -> None:
        self.filters = operation.topics
        self.qos = operation.qos
        self.wants_retained = operation.retained == "include"

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.stopped = self.closed = True
        self._connection.source_closed()

    def deliver(self, batch: Batch) -> None:
        """Hand on messages that just came, with their times. Raises `Stopped`."""
        count = len(batch)
        self.counters.messages_in += count
        self.counters.bytes_in += batch.counted()
        if batch.tracker is None:
            self.counters.unguarded += count
        if self.stopped or self._deliver is None:
            return
        start = max(self._last_time + 1, (time_ns() // 1_000_000) << 20)
        self._last_time = start + count - 1
        batch.times = range(start, start + count)
        batch.born = [monotonic()] * count
        self._deliver(batch)
