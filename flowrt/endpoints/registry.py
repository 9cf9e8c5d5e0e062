"""The kinds of endpoints, and how a graph's are opened. Importing this imports no MQTT library."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from flowrt.endpoints.base import Sink, Source, Spoolable
from flowrt.endpoints.file_config import FileOptions
from flowrt.endpoints.kafka.config import KafkaOptions
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.errors import FlowrtBug, NodeFault
from flowrt.events import Emit, SessionLeft, StoreFailed
from flowrt.message import Batch
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.options import Options

if TYPE_CHECKING:
    from flowrt.endpoints.mqtt.endpoint import MqttEndpoint

ENDPOINTS: dict[str, type[Options]] = {"mqtt": MqttOptions, "file": FileOptions, "kafka": KafkaOptions}
"""What stands beside an endpoint's name in YAML, and its options."""

POSITIONS = "positions"
"""The folder of what file sources remember, in the state folder."""
SPOOLS = "spool"
"""The folder of all spools, in the state folder."""

Refused = Callable[[Batch, NodeFault], None]
"""Takes rows that the other side refused for good; from then on they are the taker's to settle."""


def spool_folder(state: Path, graph: str, sink: str) -> Path:
    """Where the spool of a sink is; the names may hold anything."""
    return state / SPOOLS / quote(graph, safe="") / quote(sink, safe="")


def has_spool(operation: SinkOperation, endpoint: Options | None) -> bool:
    """Whether a sink of that endpoint keeps on disk what it cannot send."""
    return bool(operation.qos) and operation.spool.enabled and isinstance(endpoint, MqttOptions | KafkaOptions)


class Endpoints:
    """The endpoints of one running graph. Sources and sinks of an MQTT endpoint share its two connections."""

    def __init__(
        self,
        graph: str,
        options: Mapping[str, Options],
        *,
        emit: Emit,
        broker: tuple[str, int] | None = None,
        state: Path | None = None,
    ) -> None:
        """`broker` takes the place of every MQTT endpoint's; `state` is a folder for what must survive a restart."""
        self._graph = graph
        self._options = options
        self._emit = emit
        self._broker = broker
        self._state = state
        self._mqtt: dict[str, MqttEndpoint] = {}

    def learn(self, options: Mapping[str, Options]) -> None:
        """More endpoints, for what is opened from here on. Those that are in use stay as they are."""
        self._options = {**self._options, **options}

    def source(self, operation: SourceOperation) -> Source:
        """A source that is not started. Raises `StartError` for a file that cannot be read."""
        name = operation.endpoint or ""
        match self._options.get(name):
            case FileOptions() as options:
                from flowrt.endpoints.file import FileSource

                position = self._state and self._state / POSITIONS / quote(f"{self._graph}/{operation.name}", safe="")
                return FileSource(name, options, operation, self._emit, position)
            case MqttOptions() as options:
                return self._endpoint(name, options).source(operation)
            case KafkaOptions() as options:
                from flowrt.endpoints.kafka.source import KafkaSource

                group = options.group or f"flowrt-{self._graph}-{name}"
                return KafkaSource(name, options, operation, group, self._emit)
        raise FlowrtBug(f"source '{operation.name}' has no endpoint of a known kind: '{name}'")

    def sink(self, operation: SinkOperation, on_refused: Refused | None = None) -> Sink:
        """A sink that is not started. Without `on_refused`, what the other side refuses is counted and forgotten."""
        name = operation.endpoint or ""
        match self._options.get(name):
            case FileOptions() as options:
                from flowrt.endpoints.file import FileSink

                return FileSink(name, options, on_refused, self._emit)
            case MqttOptions() as options:
                return self._spooled(operation, on_refused, partial(self._endpoint(name, options).sink, operation))
            case KafkaOptions() as options:
                from flowrt.endpoints.kafka.sink import KafkaSink

                return self._spooled(
                    operation, on_refused, lambda refused: KafkaSink(name, options, operation, refused, self._emit)
                )
        raise FlowrtBug(f"sink '{operation.name}' has no endpoint of a known kind: '{name}'")

    def _spooled(
        self, operation: SinkOperation, on_refused: Refused | None, make: Callable[[Refused | None], Spoolable]
    ) -> Sink:
        """A sink with a spool behind it, where it is to have one. Of a sink for dead letters' copies nobody hears."""
        endpoint = self._options.get(operation.endpoint or "")
        if on_refused is None or self._state is None or not has_spool(operation, endpoint):
            return make(on_refused)
        from flowrt.endpoints.spooled import SpooledSink

        folder = spool_folder(self._state, self._graph, operation.name)
        spooled = SpooledSink(operation.endpoint or "", operation, folder, self._emit)
        spooled.connect(make(spooled.refused(on_refused)))
        return spooled

    def _endpoint(self, name: str, options: MqttOptions) -> MqttEndpoint:
        if name not in self._mqtt:
            from flowrt.endpoints.mqtt.endpoint import MqttEndpoint

            changes: dict[str, object] = {}
            if self._broker is not None:
                host, port = self._broker
                changes |= {"host": host, "port": port, "tls": None, "credentials": None, "transport": "tcp"}
                # The embedded broker knows 3.1.1 only, and leaves a CONNECT of MQTT 5 without an answer.
                changes |= {"proxy": None, "version": "3.1.1"}
            if options.client_id is None:
                changes["client_id"] = f"flowrt-{socket.gethostname()}-{self._graph}-{name}"
            used = options.model_copy(update=changes)
            self._mqtt[name] = MqttEndpoint(name, used, self._emit, self._state)
            self._say_what_is_left(name, used)
        return self._mqtt[name]

    def _say_what_is_left(self, name: str, options: MqttOptions) -> None:
        """A new client id has a new session: the old one's messages stay at the broker until they expire."""
        from flowrt.endpoints.mqtt.remembered import left_behind

        if self._state is None or self._broker is not None:
            return
        try:
            left = left_behind(self._state, f"{self._graph}/{name}", str(options.client_id))
        except OSError as error:
            self._emit(StoreFailed("client ids", error.strerror or str(error), 0.0))
            return
        if left is not None and options.session_expiry:
            filters = ", ".join(sorted(left[1])) or "nothing"
            self._emit(SessionLeft(name, options.address, left[0], str(options.client_id), filters))
