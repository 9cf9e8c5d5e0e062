"""An MQTT endpoint of a running graph: what its sources and sinks share."""

from __future__ import annotations

from collections.abc import Callable

from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.mqtt.incoming import Incoming
from flowrt.endpoints.mqtt.outgoing import Outgoing
from flowrt.endpoints.mqtt.sink import MqttSink
from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.errors import NodeFault
from flowrt.events import Emit
from flowrt.message import Batch
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation


class MqttEndpoint:
    """One connection for sources, one for sinks, so that a source that stops reading because the graph is full never
    stops the confirmations that a sink waits for. Neither connects before something is started on it."""

    def __init__(self, name: str, options: MqttOptions, emit: Emit) -> None:
        self._incoming = Incoming(name, options, emit)
        self._outgoing = Outgoing(name, options, emit)

    def source(self, operation: SourceOperation) -> MqttSource:
        source = MqttSource(self._incoming, operation)
        self._incoming.sources.append(source)
        self._incoming.announces, self._outgoing.announces = True, False
        return source

    def sink(self, operation: SinkOperation, on_refused: Callable[[Batch, NodeFault], None] | None) -> MqttSink:
        """Raises ValueError for a topic template that does not parse."""
        sink = MqttSink(self._outgoing, operation, on_refused)
        self._outgoing.sinks.append(sink)
        self._outgoing.announces = not self._incoming.announces
        return sink
