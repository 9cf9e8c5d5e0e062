"""MQTT over web sockets: paho's wrapper below the transport. Mosquitto is behind a bridge, as behind a web server."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from brokers import Broker, needs_broker
from peers import Graph, batch, ends

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

pytestmark = needs_broker


class Bridge:
    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port


@contextmanager
def bridge(broker: Broker) -> Iterator[Bridge]:
    """Carries the bytes of each web socket to the broker and back."""

    def carry(web: ServerConnection) -> None:
        with socket.create_connection((broker.host, broker.port)) as tcp:
            back = threading.Thread(target=down, args=(tcp, web))
            back.start()
            with contextlib.suppress(ConnectionClosed, OSError):
                for message in web:
                    tcp.sendall(message)
            tcp.shutdown(socket.SHUT_RDWR)
            back.join()

    def down(tcp: socket.socket, web: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            while data := tcp.recv(65536):
                web.send(data)

    listener = serve(carry, "127.0.0.1", 0, subprotocols=["mqtt"], max_size=None, compression=None)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield Bridge(listener.socket.getsockname()[1])
    finally:
        listener.shutdown()
        thread.join(5)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_pass_a_web_socket(broker: Broker, version: str, qos: int) -> None:
    payloads = [*(b"%d" % number for number in range(200)), b"x" * 300_000, b"end"]
    graph = Graph()
    with bridge(broker) as web, ends(web, version, transport="websockets") as end:
        end.source(graph, f"web/{qos}", qos=qos)
        sink = end.sink(f"web/{qos}", qos=qos)
        sink.send(batch(payloads))
        assert graph.expect(len(payloads)) == payloads
        assert sink.flush(10)
