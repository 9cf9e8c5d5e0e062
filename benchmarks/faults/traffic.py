"""The two ends of a row: who publishes at QoS 1, numbered by topic, and who collects what comes out."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.faults.broker import HOST, INFLIGHT
from benchmarks.faults.ledger import Ledger
from benchmarks.processes import BenchError

UNACKNOWLEDGED_MAX = 200
"""What the publisher has under way to the broker."""
PATIENCE = 30.0
NUMBERED = re.compile(rb'"t": (\d+), "n": (\d+),')
"""In every payload of the publisher."""


class Way(Protocol):
    """How messages get to where the system under test reads them."""

    under_way_max: int
    """Messages that may be published and not acknowledged."""

    def publish(self, topic: int, payload: str, done: Callable[[], None]) -> None:
        """`done` is called, from any thread, once the message is there for good."""

    def close(self) -> None: ...


class MqttWay:
    """A topic of the broker for each."""

    def __init__(self, port: int, qos: int) -> None:
        self.under_way_max = UNACKNOWLEDGED_MAX if qos == 1 else INFLIGHT // 2  # a broker ends a client over more
        self._qos = qos
        self._done: Callable[[], None] = lambda: None
        self._client = _client(f"faults-publisher-{port}")
        self._client.on_publish = lambda *_: self._done()
        self._client.max_inflight_messages_set(self.under_way_max)
        self._client.connect(HOST, port, clean_start=True)
        self._client.loop_start()

    def publish(self, topic: int, payload: str, done: Callable[[], None]) -> None:
        self._done = done
        self._client.publish(f"in/{topic}", payload, qos=self._qos)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Publisher:
    """Sends `count` messages at `rate` a second, in seeded turns over the topics; `oversized` of a hundred carry more
    than the graph's nodes take, and belong among the dead letters."""

    def __init__(
        self, way: Way, ledger: Ledger, seed: int, *, count: int, rate: float, topics: int = 8, oversized: int = 0
    ) -> None:
        self.count = count
        self.published = 0
        self._way = way
        self._ledger, self._rate, self._topics, self._oversized = ledger, rate, topics, oversized
        self._random = random.Random(seed)
        self._room = threading.Semaphore(way.under_way_max)
        self._open = threading.Event()
        self._open.set()
        self._acknowledged = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hold(self) -> None:
        """Send nothing more and wait until the broker has acknowledged all that was sent, so that its end is not met
        with repetitions of ours."""
        self._open.clear()
        until = monotonic() + PATIENCE
        while self._acknowledged < self.published:
            if monotonic() > until:
                raise BenchError("the broker did not acknowledge what was published")
            sleep(0.005)

    def go_on(self) -> None:
        self._open.set()

    def wait(self, share: float) -> None:
        """Until this share of the messages has been published."""
        until = monotonic() + PATIENCE + 4 * self.count / self._rate
        while self.published < share * self.count:
            if monotonic() > until:
                raise BenchError(f"only {self.published} of {self.count} messages could be published")
            sleep(0.005)

    def stop_here(self) -> None:
        """Publish nothing more than what has been."""
        self._ended = True
        self._thread.join(5)
        self.count = self.published

    def finish(self) -> None:
        self.go_on()
        self.wait(1.0)
        self.hold()

    def close(self) -> None:
        self._ended = True
        self.go_on()
        self._way.close()

    def _run(self) -> None:
        places = [0] * self._topics
        due = monotonic()
        for number in range(self.count):
            if not self._open.is_set():
                self._open.wait()
                due = monotonic()
            while not self._room.acquire(timeout=0.2):
                if self._ended:
                    return
            if self._ended:
                return
            topic = self._random.randrange(self._topics)
            key = topic, places[topic]
            places[topic] += 1
            self._ledger.sent(key)
            self.published += 1
            padding = "x" * 400 if number * self._oversized % 100 < self._oversized else ""
            payload = json.dumps({"t": key[0], "n": key[1], "v": number % 97, "p": padding})
            self._way.publish(topic, payload, self._acknowledge)
            due += 1 / self._rate
            if (early := due - monotonic()) > 0:
                sleep(early)

    def _acknowledge(self) -> None:
        self._acknowledged += 1
        self._room.release()


class Witness:
    """Hears the bytes that the broker sends to the system under test, and tells the ledger of each message in them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._rest = b""

    def hears(self, data: bytes) -> None:
        data = self._rest + data
        end = 0
        for found in NUMBERED.finditer(data):
            self._ledger.delivered((int(found[1]), int(found[2])))
            end = found.end()
        self._rest = data[max(end, len(data) - 64) :]


class Collector:
    """Keeps a session at the broker, so that nothing is lost between it and the ledger."""

    def __init__(self, port: int, ledger: Ledger, qos: int = 1) -> None:
        self._ledger = ledger
        self._qos = qos
        self._subscribed = threading.Event()
        self._delivered: dict[int, bytes] = {}
        """By packet identifier, what came over the present connection; the one before it, in `_before`."""
        self._before: dict[int, bytes] = {}
        self._client = _client(f"faults-collector-{port}")
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect(HOST, port, clean_start=False, properties=_kept())
        self._client.loop_start()
        if not self._subscribed.wait(PATIENCE):
            raise BenchError("the collector could not subscribe")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *_: object) -> None:
        self._before, self._delivered = self._delivered, {}
        self._client.subscribe("out/#", self._qos)

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        self._delivered[message.mid] = payload
        if message.dup and self._before.get(message.mid) == payload:
            return  # the broker's repetition to us over a new connection: no doing of the system under test
        for found in NUMBERED.finditer(payload):  # a window's holds several
            self._ledger.came((int(found[1]), int(found[2])))


def _client(name: str) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
    client.reconnect_delay_set(0.1, 0.5)  # type: ignore[arg-type]
    return client


def _kept() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    return properties
