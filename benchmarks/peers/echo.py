"""The floor: what a message costs when a program only reads it and sends it on.

An MQTT 5 client on a blocking socket with the codec that flowrt uses, from in/# to out/x: no session, no reconnect, no
safety. At QoS 1 it acknowledges a message when the broker has acknowledged what became of it.

Usage: python echo.py PORT QOS     Runs until SIGTERM.
"""

from __future__ import annotations

import socket
import sys

import mqtt5

RECEIVE_BYTES = 65536


def main(port: int, qos: int) -> None:
    level = mqtt5.QoS(qos)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    filters = [mqtt5.TopicFilter("in/#", max_qos=level)]
    sock.sendall(mqtt5.ConnectPacket(client_id="bench-echo").write())
    sock.sendall(mqtt5.SubscribePacket(packet_id=1, topic_filters=filters).write())
    rest, last_id = b"", 0
    waiting: dict[int, int] = {}
    while data := sock.recv(RECEIVE_BYTES):
        view = memoryview(rest + data)
        position = 0
        out: list[mqtt5.PublishPacket | mqtt5.PubAckPacket] = []
        while True:
            try:
                packet, size = mqtt5.read(view[position:])
            except IndexError:  # the rest of a packet is still to come
                break
            position += size
            if type(packet) is mqtt5.PublishPacket and qos:
                last_id = last_id % 65535 + 1
                waiting[last_id] = packet.packet_id or 0
                out.append(mqtt5.PublishPacket(topic="out/x", payload=packet.payload, qos=level, packet_id=last_id))
            elif type(packet) is mqtt5.PublishPacket:
                out.append(mqtt5.PublishPacket(topic="out/x", payload=packet.payload))
            elif type(packet) is mqtt5.PubAckPacket:
                out.append(mqtt5.PubAckPacket(packet_id=waiting.pop(packet.packet_id)))
        rest = bytes(view[position:])
        if out:
            sock.sendall(b"".join([packet.write() for packet in out]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
