"""An MQTT endpoint of a running graph: what its sources and sinks share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.mqtt.incoming import Incoming
from flowrt.endpoints.mqtt.outgoing import Outgoing
from flowrt.endpoints.mqtt.remembered import session_file
from flowrt.endpoints.mqtt.sink import MqttSink
from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.errors import NodeFault
from flowrt.events import Emit
from flowrt.message import Batch
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation


class MqttEndpoint:
    """One connection for sources, one for sinks, so that a source that stops reading because the graph is full never
    stops the confirmations that a sink waits for. Neither connects before something is started on it.

    Brokers send a message once for each of a session's filters that match, or once for all of them, as they like. So
    sources whose filters overlap do not share a session: each further one has a connection of its own, with `-2`, `-3`
    … behind the client id.
    """

    def __init__(self, name: str, options: MqttOptions, emit: Emit, state: Path | None = None) -> None:
        self._name = name
        self._options = options
        self._emit = emit
        self._state = state
        self._incoming: list[Incoming] = []
        self._outgoing = Outgoing(name, options, emit)

    def source(self, operation: SourceOperation) -> MqttSource:
        self._incoming = [one for one in self._incoming if not one.closing]
        connection = next((one for one in self._incoming if not one.overlaps(operation.topics)), None)
        if connection is None:
            connection = self._connect()
        source = MqttSource(connection, operation)
        connection.sources.append(source)
        return source

    def sink(self, operation: SinkOperation, on_refused: Callable[[Batch, NodeFault], None] | None) -> MqttSink:
        """Raises ValueError for a topic template that does not parse."""
        if self._outgoing.closing:  # its last sink has gone
            self._outgoing = Outgoing(self._name, self._options, self._emit)
        sink = MqttSink(self._outgoing, operation, on_refused)
        self._outgoing.sinks.append(sink)
        self._outgoing.announces = not self._incoming
        return sink

    def _connect(self) -> Incoming:
        number = len(self._incoming) + 1
        client_id = f"{self._options.client_id}-{number}" if number > 1 else str(self._options.client_id)
        remembered = session_file(self._state, client_id) if self._state else None
        connection = Incoming(self._name, self._options, client_id, self._emit, remembered)
        connection.announces = number == 1
        self._outgoing.announces = False
        self._incoming.append(connection)
        return connection
