"""A small MQTT 5 client on the bare codec: what loads the systems without costing them the cores they run on."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Iterator

import mqtt5

from benchmarks.broker import HOST, PORT
from benchmarks.processes import BenchError


class Client:
    """Blocking, one thread. What comes at QoS 1 is for the caller to acknowledge."""

    def __init__(self, client_id: str, subscribe: str | None = None, qos: int = 0) -> None:
        self._sock = socket.create_connection((HOST, PORT), timeout=10)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._sock.sendall(mqtt5.ConnectPacket(client_id=client_id).write())
        self._await(mqtt5.ConnAckPacket)
        if subscribe is not None:
            filters = [mqtt5.TopicFilter(subscribe, max_qos=mqtt5.QoS(qos))]
            self._sock.sendall(mqtt5.SubscribePacket(packet_id=1, topic_filters=filters).write())
            self._await(mqtt5.SubAckPacket)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def send(self, packets: bytes) -> None:
        """Send encoded packets."""
        self._sock.sendall(packets)

    def payloads(self, timeout: float) -> list[bytes]:
        """The payloads of what has come, after waiting for at most `timeout` seconds; none when nothing came."""
        return [packet.payload for packet in self.packets(timeout) if type(packet) is mqtt5.PublishPacket]

    def packets(self, timeout: float) -> list[object]:
        """All packets that have come, after waiting for at most `timeout` seconds."""
        if not select.select([self._sock], [], [], max(timeout, 0))[0]:
            return []
        return list(self._packets())

    def _await(self, kind: type) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if any(type(packet) is kind for packet in self._packets()):
                return
        raise BenchError(f"the broker did not send a {kind.__name__} within 10 s")

    def _packets(self) -> Iterator[object]:
        data = self._sock.recv(1 << 18)
        if not data:
            raise BenchError("the broker closed the connection of the load")
        view, position = memoryview(self._rest + data), 0
        packets = []
        while True:
            try:
                packet, size = mqtt5.read(view[position:])
            except IndexError:
                break
            position += size
            packets.append(packet)
        self._rest = bytes(view[position:])
        return iter(packets)


def publish(topic: str, payload: bytes) -> bytes:
    """One encoded PUBLISH at QoS 0."""
    return mqtt5.PublishPacket(topic=topic, payload=payload).write()


def encoded(topics: Iterable[str], payload: bytes) -> bytes:
    """Encoded PUBLISH packets, one a topic, in one piece."""
    known: dict[str, bytes] = {}
    return b"".join([known.get(topic) or known.setdefault(topic, publish(topic, payload)) for topic in topics])
