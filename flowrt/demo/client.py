"""The world around a graph in the demo and the comparison: an MQTT client that publishes readings and takes verdicts.

A plain paho client on purpose, not an endpoint of ours: who checks a runtime from outside should share nothing with it.
"""

from __future__ import annotations

import json
import queue
import threading
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from flowrt.demo.simulator import Reading
from flowrt.errors import StartError
from flowrt.values import Struct

_ANSWER_WITHIN_S = 10.0
ROW = "row"
"""User property with the number of the reading that a message derives from (MQTT 5 only)."""


class Verdict(Struct, frozen=True):
    """What the graph said of one reading."""

    topic: str
    row: int | None
    """The reading's number where the broker speaks MQTT 5, else None: then verdicts come in the readings' order."""
    score: float
    alert: bool
    sensor: str


class Client:
    """Connected from `__enter__` to `__exit__`. Verdicts arrive in `verdicts`, messages that are none in `strange`."""

    def __init__(self, host: str, port: int, *, v5: bool) -> None:
        self.verdicts: queue.SimpleQueue[Verdict] = queue.SimpleQueue()
        self.strange: list[bytes] = []
        self._host, self._port, self._v5 = host, port, v5
        self._connected, self._subscribed = threading.Event(), threading.Event()
        self._refused = ""
        protocol = mqtt.MQTTv5 if v5 else mqtt.MQTTv311
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._mqtt.max_inflight_messages_set(100)
        self._mqtt.on_connect = self._on_connect
        self._mqtt.on_subscribe = lambda *_: self._subscribed.set()
        self._mqtt.on_message = self._on_message

    def __enter__(self) -> Self:
        """Raises StartError when the broker cannot be reached or refuses."""
        try:
            self._mqtt.connect(self._host, self._port)
        except OSError as error:
            raise StartError(f"no broker at {self._host}:{self._port}: {error}") from error
        self._mqtt.loop_start()
        if not self._connected.wait(_ANSWER_WITHIN_S) or self._refused:
            self.__exit__(None, None, None)
            raise StartError(f"the broker at {self._host}:{self._port} refused: {self._refused or 'no answer'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    def subscribe(self, topics: str) -> None:
        """Returns once the broker has acknowledged. Raises StartError when it does not."""
        self._subscribed.clear()
        self._mqtt.subscribe(topics, qos=1)
        if not self._subscribed.wait(_ANSWER_WITHIN_S):
            raise StartError(f"the broker did not answer a subscription to {topics}")

    def publish(self, topic: str, reading: Reading, row: int) -> mqtt.MQTTMessageInfo:
        """Send one reading at QoS 1; `wait_for_publish` of what it returns waits for the acknowledgement."""
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = (ROW, str(row))
            properties.ContentType = "application/json"
        return self._mqtt.publish(topic, json.dumps(reading), qos=1, properties=properties)

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        self._refused = str(reason) if reason.is_failure else ""
        self._connected.set()

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            self.verdicts.put(_verdict(message))
        except (ValueError, KeyError, TypeError):
            self.strange.append(bytes(message.payload))


def _verdict(message: mqtt.MQTTMessage) -> Verdict:
    content = json.loads(message.payload)
    pairs = getattr(message.properties, "UserProperty", ())
    row = next((int(value) for key, value in pairs if key == ROW), None)
    return Verdict(message.topic, row, float(content["score"]), bool(content["alert"]), str(content.get("sensor", "")))
