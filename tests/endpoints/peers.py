"""What the tests of endpoints talk to: a plain paho client at the other side, a graph that keeps what it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from brokers import Broker
from plain_paho import PlainEndpoints

from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.registry import Endpoints
from flowrt.message import Batch, Head, Message
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation

PATIENCE = 45.0
"""Seconds until a test gives up."""


def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition; TimeoutError after `PATIENCE`."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(what or "the condition did not come true")
        time.sleep(0.005)


class Version(str):
    """A version of MQTT, and whose path is under test: ours, or plain paho's."""

    plain: bool

    def __new__(cls, number: str, *, plain: bool = False) -> Version:
        made = super().__new__(cls, number)
        made.plain = plain
        return made


class Peer:
    """The other side: publishes, and keeps what it subscribed to."""

    def __init__(self, broker: Broker, *topics: str, qos: int = 2, client_id: str = "", clean: bool = True) -> None:
        self.messages: list[paho.MQTTMessage] = []
        subscribed = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, reconnect_on_failure=True
        )
        self._client.on_message = lambda _, __, message: self.messages.append(message)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_connect = lambda *_: [self._client.subscribe(topic, qos) for topic in topics]
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        self._client.connect(broker.host, broker.port, clean_start=clean)
        self._client.loop_start()
        if topics:
            assert subscribed.wait(PATIENCE)
        else:
            eventually(self._client.is_connected)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False, **properties: Any) -> None:
        """Returns when the broker has it."""
        given = paho.Properties(paho.PacketTypes.PUBLISH) if properties else None
        for name, value in properties.items():
            setattr(given, name, value)
        self._client.publish(topic, payload, qos, retain, given).wait_for_publish(PATIENCE)

    def expect(self, count: int) -> list[bytes]:
        """The payloads, once there are `count`."""
        eventually(lambda: len(self.messages) >= count, f"{len(self.messages)} of {count} messages came")
        return [message.payload for message in self.messages]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Graph:
    """Takes batches; settles them at once, or when told to."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.messages: list[Message] = []
        self.batches: list[Batch] = []
        self.at_once = at_once
        self._changed = threading.Condition()

    def deliver(self, batch: Batch) -> None:
        with self._changed:
            self.batches.append(batch)
            self.messages.extend(batch.rows())
            self._changed.notify_all()
        if self.at_once:
            settle(batch)

    def settle_all(self) -> None:
        with self._changed:
            batches, self.batches = self.batches, []
        for batch in batches:
            settle(batch)

    def expect(self, count: int) -> list[bytes]:
        """The payloads, once there are `count`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, PATIENCE):
                raise TimeoutError(f"{len(self.messages)} of {count} messages came")
            return [message.payload for message in self.messages]


def settle(batch: Batch) -> None:
    if batch.tracker is not None:
        batch.tracker.settle(batch.seqs)


class Ends:
    """Endpoints of a graph on one broker, with the events they emitted."""

    def __init__(self, broker: Any, version: str, **options: Any) -> None:
        given = {
            "host": broker.host,
            "port": broker.port,
            "clientId": f"flowrt-{time.monotonic_ns()}",
            **options,
        }
        given.setdefault("sessionExpiry", "0")
        given.setdefault("reconnect", {"min": "20ms", "max": "200ms"})
        self.events: list[Any] = []
        parsed = MqttOptions.model_validate({**given, "version": str(version)})
        self.endpoints: Any = Endpoints("graph", {"plant": parsed}, emit=self.events.append)
        if getattr(version, "plain", False):
            self.endpoints = PlainEndpoints(parsed, self.events.append)
        self._open: list[Any] = []

    def source(self, graph: Graph, *topics: str, qos: int = 1, ready: bool = True, **more: Any) -> Any:
        source = self.unstarted(*topics, qos=qos, **more)
        source.start(graph.deliver, lambda: None)
        if ready:
            eventually(source.ready, f"the source is ready; events: {self.events}")
        return source

    def unstarted(self, *topics: str, qos: int = 1, **more: Any) -> Any:
        """As a graph opens its sources: all of them before it starts one."""
        source = self.endpoints.source(
            SourceOperation(operation_type="source", name="s", endpoint="plant", topics=topics, qos=qos, **more)
        )
        self._open.append(source)
        return source

    def sink(
        self, topic: str = "{topic}", qos: int = 1, ready: bool = True, on_refused: Any = None, **more: Any
    ) -> Any:
        operation = SinkOperation(operation_type="sink", name="t", endpoint="plant", topic=topic, qos=qos, **more)
        sink = self.endpoints.sink(operation, on_refused)
        sink.start()
        self._open.append(sink)
        if ready:
            eventually(sink.ready, f"the sink is ready; events: {self.events}")
        return sink

    def close(self) -> None:
        for end in self._open:
            end.close()

    def said(self, kind: type, *words: str) -> bool:
        """Whether an event of a kind was emitted whose fields contain all the words."""
        return any(isinstance(event, kind) and all(word in str(event) for word in words) for event in self.events)


@contextmanager
def ends(broker: Any, version: str = "auto", **options: Any) -> Iterator[Ends]:
    opened = Ends(broker, version, **options)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def peer(broker: Broker, *topics: str, **options: Any) -> Iterator[Peer]:
    opened = Peer(broker, *topics, **options)
    try:
        yield opened
    finally:
        opened.close()


def batch(payloads: list[bytes], head: Head | None = None, tracker: Any = None) -> Batch:
    count = len(payloads)
    seqs = tracker.open(count) if tracker is not None else range(count)
    return Batch([head or Head("t")] * count, payloads, range(count), [0.0] * count, seqs, tracker)
