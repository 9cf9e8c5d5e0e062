"""A load of numbered messages at QoS 1, and what came of them: which were lost, doubled, out of order, and how late.

On the bare codec, a thread a direction: at 2,000 messages a second it takes a tenth of a core, not most of one.
"""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterable

import mqtt5

from benchmarks.client import Client

TOPICS = 16
IN_FLIGHT_MAX = 500
"""Messages that the broker has not acknowledged: beyond that the load waits for it."""
LAST_SECONDS = 20.0
"""How long to wait for the last results."""
MISSED_SECONDS = 60.0
"""The same where the system under test was killed and has to find its feet first."""


class Load:
    """Sends to `in/0` … `in/15` from its making on, counts what comes on `out/#`."""

    rate = 2000
    """Messages a second."""

    def __init__(self, rate: int | None = None) -> None:
        self.sent = 0
        self.received: dict[int, list[int]] = defaultdict(list)
        self.latencies: list[tuple[float, float]] = []
        """Moment of arrival and seconds under way."""
        self._rate = rate or self.rate
        self._ending, self._over = threading.Event(), threading.Event()
        self._out = Client("bench-numbers-out")
        self._in = Client("bench-numbers-in", "out/#", qos=1)
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        began, acknowledged = time.monotonic(), 0
        while not self._ending.is_set():
            due = int((time.monotonic() - began) * self._rate)
            due = min(due, acknowledged + IN_FLIGHT_MAX)
            if self.sent < due:
                self._out.send(b"".join(self._numbered(range(self.sent, due))))
                self.sent = due
            acknowledged += sum(type(packet) is mqtt5.PubAckPacket for packet in self._out.packets(0.002))
            time.sleep(0.001)  # or every acknowledgement is a turn of its own

    def _numbered(self, numbers: range) -> Iterable[bytes]:
        for number in numbers:
            topic, place = number % TOPICS, number // TOPICS
            payload = struct.pack("<4d", topic, place, time.monotonic(), 0.0)
            yield mqtt5.PublishPacket(
                topic=f"in/{topic}", payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number % 65535 + 1
            ).write()

    def _receive(self) -> None:
        while not self._over.is_set():
            now, answers = 0.0, []
            for packet in self._in.packets(0.1):
                if type(packet) is not mqtt5.PublishPacket:
                    continue
                now = now or time.monotonic()
                topic, number, sent, _ = struct.unpack("<4d", packet.payload)
                self.received[int(topic)].append(int(number))
                self.latencies.append((now, now - sent))
                if packet.packet_id is not None:
                    answers.append(mqtt5.PubAckPacket(packet_id=packet.packet_id).write())
            if answers:
                self._in.send(b"".join(answers))

    def end(self, patience: float = LAST_SECONDS) -> tuple[int, int, int]:
        """Lost, doubled, out of order; once all came, or after `patience` seconds."""
        self._ending.set()
        self._threads[0].join()
        until = time.monotonic() + patience
        while self._came() < self.sent and time.monotonic() < until:
            time.sleep(0.05)
        self._over.set()
        self._threads[1].join()
        self._out.close()
        self._in.close()
        came = self._came()
        doubled = sum(map(len, self.received.values())) - came
        disordered = sum(
            sum(b < a for a, b in itertools.pairwise(dict.fromkeys(numbers))) for numbers in self.received.values()
        )
        return self.sent - came, doubled, disordered

    def _came(self) -> int:
        return sum(len(set(numbers)) for numbers in list(self.received.values()))
