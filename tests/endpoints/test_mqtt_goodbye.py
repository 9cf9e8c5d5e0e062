"""How a connection ends, and in what order messages of QoS 2 are taken over: found by the fault bench."""

import select
import socket
import threading
import time

from peers import Graph, ends

from flowrt.endpoints.mqtt.exactly_once import ExactlyOnce
from flowrt.endpoints.mqtt.scan import Run
from flowrt.message import Head

CONNACK, SUBACK = b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01"
PUBLISH = b"\x30\x07\x00\x01a\x00xyz"
DISCONNECT = b"\xe0\x00"


class Talkative:
    """A broker that sends messages without a pause, also behind the last word of its client."""

    host = "127.0.0.1"

    def __init__(self):
        self.heard = b""
        self.reset = False
        self._server = socket.create_server((self.host, 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._server.accept()
        with connection:
            connection.settimeout(10)
            connection.recv(4096)
            connection.sendall(CONNACK)
            connection.recv(4096)
            connection.sendall(SUBACK)
            try:
                self._talk(connection)
            except OSError:
                self.reset = True

    def _talk(self, connection):
        poller = select.poll()
        poller.register(connection, select.POLLRDHUP)
        while not poller.poll(5):
            connection.sendall(PUBLISH * 500)
        for _ in range(2):
            connection.sendall(PUBLISH * 500)
            time.sleep(0.02)
        while data := connection.recv(4096):
            self.heard += data

    def close(self):
        self._thread.join(10)
        self._server.close()


def test_a_broker_that_still_sends_hears_the_last_word_of_a_client_that_goes():
    """A socket closed with something unread in it is reset, and acknowledgements behind which it closes are lost."""
    broker = Talkative()
    graph = Graph()
    with ends(broker, "5") as end:
        end.source(graph, "a", qos=1)
        graph.expect(1000)
    broker.close()
    assert broker.heard.endswith(DISCONNECT)
    assert not broker.reset


class Link:
    def __init__(self):
        self.written = []

    def write(self, pieces):
        self.written += pieces


def run_of(*ids):
    return Run(2, [Head("t")] * len(ids), [b"x"] * len(ids), [bytes((0, one)) for one in ids])


def pubrec(*ids):
    return [bytes((0x50, 2, 0, one)) for one in ids]


def test_messages_of_qos_2_are_taken_over_in_the_order_in_which_they_came_first():
    """Message 2 comes only over the second link, and is done with first."""
    known, first, second = ExactlyOnce(), Link(), Link()
    fresh, one = known.arrive(first, run_of(1))
    assert fresh.ids == [b"\0\1"]
    fresh, two = known.arrive(second, run_of(1, 2))
    assert fresh.ids == [b"\0\2"]
    known.tracker.settle(two)
    assert second.written == []
    known.tracker.settle(one)
    assert second.written == pubrec(1, 2)
    assert first.written == []


def test_one_that_is_settled_is_answered_again_over_the_next_link():
    known, first, second = ExactlyOnce(), Link(), Link()
    _, seqs = known.arrive(first, run_of(1, 2))
    known.tracker.settle(seqs)
    fresh, _ = known.arrive(second, run_of(1, 2, 3))
    assert (fresh.ids, second.written) == ([b"\0\3"], pubrec(1, 2))
    known.complete(b"\0\1")
    assert known.arrive(second, run_of(1))[0].ids == [b"\0\1"]
