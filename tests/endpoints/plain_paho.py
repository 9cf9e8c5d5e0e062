"""The same endpoints by plain paho: its socket, its callbacks, a message at a time.

What a careful engineer would write with the library alone. The suite runs over it as over ours, so that what a test
demands of the bulk path is what paho does, and not what we happen to do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Deliver, EndpointCounters, refuse
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.template import parse
from flowrt.errors import NodeFault
from flowrt.events import Emit, EndpointConnected, EndpointLost, EndpointRefused
from flowrt.logicaltime.stamps import parse_stamp
from flowrt.message import Batch, Head
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation

FIVE, THREE = paho.MQTTv5, paho.MQTTv311
_TIMES = count(1)


class PlainEndpoints:
    """Stands where `flowrt.endpoints.registry.Endpoints` does; every source and sink has a client of its own."""

    def __init__(self, options: MqttOptions, emit: Emit) -> None:
        self._options = options
        self._emit = emit
        self._clients = 0

    def source(self, operation: SourceOperation) -> PlainSource:
        return PlainSource(self._options, operation, self._name(), self._emit)

    def sink(self, operation: SinkOperation, on_refused: Any) -> PlainSink:
        return PlainSink(self._options, operation, self._name() + "-out", self._emit, on_refused)

    def _name(self) -> str:
        self._clients += 1
        return f"{self._options.client_id}-{self._clients}" if self._clients > 1 else str(self._options.client_id)


class PlainClient:
    """A paho client, set up as the options say."""

    def __init__(self, options: MqttOptions, client_id: str, emit: Emit) -> None:
        self.counters = EndpointCounters()
        self.five = options.version == "5"
        self.up = threading.Event()
        """Set while the broker is there."""
        self._options = options
        self._emit = emit
        forgets = options.clean_start or (not self.five and not options.session_expiry)
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self.five else forgets,
            protocol=FIVE if self.five else THREE,
            manual_ack=True,
            transport=options.transport,
        )
        if options.transport == "websockets":
            self.client.ws_set_options(options.path)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_connect_fail = lambda *_: self._lost("refused")
        self.client.max_inflight_messages_set(options.max_inflight)
        self.client.max_queued_messages_set(0)
        self.client.reconnect_delay_set(options.reconnect.min, options.reconnect.max)  # type: ignore[arg-type]
        if options.tls is not None:
            tls = options.tls
            self.client.tls_set(*(str(path) if path else None for path in (tls.ca, tls.cert, tls.key)))
        if (who := options.credentials) is not None:
            password = who.password_file.read_text().strip() if who.password_file else None
            self.client.username_pw_set(who.username, password)

    def begin(self) -> None:
        asked: dict[str, Any] = {}
        if self.five:
            properties = paho.Properties(paho.PacketTypes.CONNECT)
            properties.SessionExpiryInterval = int(self._options.session_expiry)
            properties.ReceiveMaximum = self._options.receive_maximum
            asked = {"properties": properties, "clean_start": self._options.clean_start}
        self.client.connect_async(self._options.host, self._options.port_number, int(self._options.keep_alive), **asked)
        self.client.loop_start()

    def broken(self) -> bool:
        return False

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def connected(self) -> None:
        """Called when the broker has accepted the connection."""

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure:
            self._emit(EndpointRefused("plant", self._options.address, str(reason)))
            return
        self._emit(EndpointConnected("plant", self._options.address, self._options.version))
        self.up.set()
        self.connected()

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        self.up.clear()
        if reason.is_failure:
            self._lost(str(reason))

    def _lost(self, reason: str) -> None:
        self._emit(EndpointLost("plant", self._options.address, reason, 0.0))


class PlainSource(PlainClient):
    """Acknowledges by hand, in order, when the tracker releases."""

    def __init__(self, options: MqttOptions, operation: SourceOperation, client_id: str, emit: Emit) -> None:
        super().__init__(options, client_id, emit)
        self._operation = operation
        self._granted = threading.Event()
        self._deliver: Deliver | None = None
        self._stopped = False
        self._owed: deque[tuple[int, int]] = deque()
        self._tracker = Tracker(self._release)
        self._heads: dict[Any, Head] = {}
        self.client.on_message = self._on_message
        self.client.on_subscribe = self._on_subscribe

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        self._deliver = deliver
        self.begin()

    def ready(self) -> bool:
        return self._granted.is_set()

    def stop(self) -> None:
        self._stopped = True

    def connected(self) -> None:
        self._owed.clear()  # the broker sends again what was not acknowledged
        self._tracker = Tracker(self._release)
        qos, keep = self._operation.qos, self._operation.retained == "include"
        asked = SubscribeOptions(qos, retainAsPublished=True, retainHandling=0 if keep else 2)
        self.client.subscribe([(topic, asked if self.five else qos) for topic in self._operation.topics])

    def _on_subscribe(self, _: Any, __: Any, ___: Any, reasons: Any, ____: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            refused = f"the subscription of {', '.join(self._operation.topics)}: {reasons[0]}"
            self._emit(EndpointRefused("plant", self._options.address, refused))
        else:
            self._granted.set()

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        if self._stopped or self._deliver is None:
            return
        if message.retain and self._operation.retained == "ignore":
            self.client.ack(message.mid, message.qos)
            return
        seqs, tracker = range(1), None
        if message.qos:
            self._owed.append((message.mid, message.qos))
            tracker = self._tracker
            seqs = tracker.open(1)
        time = next(_TIMES)
        head = self._head(message)
        self._deliver(Batch([head], [bytes(message.payload)], range(time, time + 1), [monotonic()], seqs, tracker))

    def _head(self, message: paho.MQTTMessage) -> Head:
        given = message.properties
        pairs = tuple(getattr(given, "UserProperty", ()))
        parts = (
            message.topic,
            getattr(given, "ContentType", None),
            pairs,
            getattr(given, "ResponseTopic", None),
            getattr(given, "CorrelationData", None),
        )
        head = Head(*parts, retain=message.retain, timestamp=parse_stamp(dict(pairs).get("__ts", "")))
        return self._heads.setdefault((parts, message.retain), head)

    def _release(self, count: int) -> None:
        for _ in range(count):
            if self._owed:
                self.client.ack(*self._owed.popleft())


class PlainSink(PlainClient):
    """Publishes a message at a time; settles each when paho says that it is through."""

    def __init__(
        self, options: MqttOptions, operation: SinkOperation, client_id: str, emit: Emit, on_refused: Any
    ) -> None:
        super().__init__(options, client_id, emit)
        self._operation = operation
        self._on_refused = on_refused
        self._template = parse(operation.topic)
        self._under_way: dict[int, Batch] = {}
        self._through: dict[int, Any] = {}
        self._changed = threading.Condition()
        self.client.on_publish = self._on_publish

    def start(self) -> None:
        self.begin()

    def ready(self) -> bool:
        return self.client.is_connected()

    def send(self, batch: Batch) -> None:
        self.up.wait(10)  # paho throws away what is published at QoS 0 meanwhile
        for row in range(len(batch)):
            one = batch.slice(row, row + 1)
            head, payload = one.heads[0], one.payloads[0]
            try:
                topic = self._template.fill(head, payload)
            except NodeFault as fault:
                refuse(one, fault, self.counters, self._on_refused)
                continue
            sent = self.client.publish(
                topic, payload, self._operation.qos, self._operation.retain, self._properties(head)
            )
            with self._changed:  # never while paho has its own locks: it calls back under them
                self._under_way[sent.mid] = one
            self._settle_both()
            if not self._operation.qos:
                sent.wait_for_publish(10)

    def flush(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, timeout)

    def _properties(self, head: Head) -> Any:
        if not self.five:
            return None
        properties = paho.Properties(paho.PacketTypes.PUBLISH)
        given = {
            "ContentType": head.content_type or self._operation.content_type,
            "ResponseTopic": head.response_topic,
            "CorrelationData": head.correlation,
            "UserProperty": list(head.properties),
        }
        for name, value in given.items():
            if value:
                setattr(properties, name, value)
        return properties

    def _on_publish(self, _: Any, __: Any, mid: int, reason: Any, ____: Any) -> None:
        with self._changed:
            self._through[mid] = reason
        self._settle_both()

    def _settle_both(self) -> None:
        """What was sent and is through: paho may say so before `publish` has returned."""
        with self._changed:
            both = self._under_way.keys() & self._through.keys()
            ended = [(self._under_way.pop(mid), self._through.pop(mid)) for mid in both]
        for one, reason in ended:
            if reason.is_failure:
                fault = NodeFault("send", f"the broker refused it: {reason}".lower())
                refuse(one, fault, self.counters, self._on_refused)
            elif one.tracker is not None:
                one.tracker.settle(one.seqs)
        with self._changed:
            self._changed.notify_all()
