"""`python -m benchmarks.faults broker`: how many messages the broker has under way to a client that allows 100.

Mosquitto 2.0.11 counts the messages that it sends after an acknowledgement against nothing: each makes room for a
hundred. So what is in flight to a source, and comes again after a kill, may be more than its receive maximum.
"""

from __future__ import annotations

import threading
from time import monotonic, sleep

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.faults.broker import FORGETS, HOST, INFLIGHT, FaultBroker

MESSAGES = 1000
CALM_SECONDS = 1.0
"""Nothing has come for so long: the broker sends no more."""


class Reader:
    """A client that acknowledges when it is told to."""

    def __init__(self, port: int) -> None:
        self.got: list[int] = []
        """Packet identifiers, as they come."""
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "reader", protocol=paho.MQTTv5, manual_ack=True)
        self._client.on_message = lambda _, __, message: self.got.append(message.mid)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        allowed = Properties(PacketTypes.CONNECT)
        allowed.ReceiveMaximum = INFLIGHT
        self._client.connect(HOST, port, properties=allowed)
        self._client.subscribe("in/#", 1)
        self._client.loop_start()
        self._subscribed.wait(10)

    def acknowledge(self, count: int) -> None:
        for mid in self.got[:count]:
            self._client.ack(mid, 1)
        del self.got[:count]

    def under_way(self) -> int:
        """Messages that came and are not acknowledged, once no more come."""
        count, since = -1, monotonic()
        while monotonic() - since < CALM_SECONDS:
            if len(self.got) != count:
                count, since = len(self.got), monotonic()
            sleep(0.02)
        return count

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def publish(port: int) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(HOST, port)
    client.loop_start()
    told = [client.publish("in/x", b"%d" % number, qos=1) for number in range(MESSAGES)]
    told[-1].wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def main() -> int:
    broker = FaultBroker(*FORGETS)
    broker.start()
    try:
        reader = Reader(broker.port)
        publish(broker.port)
        print(f"receive maximum {INFLIGHT}, {MESSAGES} messages wait: {reader.under_way()} under way")
        for acknowledged in (1, 1, 10):
            reader.acknowledge(acknowledged)
            print(f"{acknowledged} acknowledged: {reader.under_way()} under way")
        reader.close()
    finally:
        broker.close()
    return 0
