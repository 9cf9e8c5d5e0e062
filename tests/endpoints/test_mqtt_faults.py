"""Brokers that go, come back, refuse and misbehave."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from brokers import Broker, needs_broker
from peers import Ends, Graph, Version, batch, ends, eventually, peer

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Stopped
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.registry import Endpoints
from flowrt.errors import NodeFault
from flowrt.events import EndpointConnected, EndpointLost, EndpointRefused, SessionLeft
from flowrt.message import Batch
from flowrt.operators.source import SourceOperation

pytestmark = needs_broker

MANY = [b"%d" % number for number in range(300)]


def test_messages_that_came_while_away_arrive_later(version: str) -> None:
    with Broker() as broker, peer(broker) as other:
        with ends(broker, version, clientId="gateway", sessionExpiry="1h") as end:
            end.source(Graph(), "in/#")
        for payload in MANY[:20]:
            other.publish("in/a", payload)
        graph = Graph()
        with ends(broker, version, clientId="gateway", sessionExpiry="1h") as end:
            end.source(graph, "in/#")
            assert graph.expect(20) == MANY[:20]


def test_what_was_not_settled_comes_again(version: str) -> None:
    with Broker() as broker, peer(broker) as other:
        graph = Graph(at_once=False)
        with ends(broker, version, clientId="gateway", sessionExpiry="1h") as end:
            source = end.source(graph, "in")
            for payload in MANY[:5]:
                other.publish("in", payload)
            graph.expect(5)
            first = graph.batches[0]
            assert first.tracker is not None
            first.tracker.settle(first.seqs[:1])
            source.stop()
        graph = Graph()
        with ends(broker, version, clientId="gateway", sessionExpiry="1h") as end:
            end.source(graph, "in")
            assert graph.expect(4) == MANY[1:5]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_broker_restart_loses_nothing(version: Version, qos: int) -> None:
    """Through source and sink, while messages flow; duplicates are allowed at QoS 1."""
    with Broker(persistence=True) as broker:
        released: list[int] = []
        with ends(broker, version, clientId="gateway", sessionExpiry="1h") as end:
            graph = Graph()
            end.source(graph, "loop", qos=qos)
            sink = end.sink("loop", qos=qos)
            tracker = Tracker(released.append)
            sender = threading.Thread(target=lambda: [sink.send(batch([one], tracker=tracker)) for one in MANY])
            sender.start()
            graph.expect(50)
            broker.restart()
            sender.join(20)
            eventually(lambda: set(graph.expect(len(MANY))) == set(MANY))
            assert sink.flush(10)
            assert sum(released) == len(MANY)
            assert end.said(EndpointLost)
            seen = list(dict.fromkeys(message.payload for message in graph.messages))
            # paho may send new messages before those that it repeats
            assert seen == MANY or (version.plain and sorted(seen) == sorted(MANY))


@pytest.mark.ours("paho raises where it is set up")
@pytest.mark.parametrize("tls", [{"ca": "/nowhere/ca.pem"}, {"cert": "/nowhere/me.pem"}])
def test_a_certificate_that_is_not_there_is_named(version: str, tls: dict[str, str]) -> None:
    with ends(Broker(), version, tls=tls) as end:
        end.source(Graph(), "x", qos=1, ready=False)
        eventually(lambda: end.said(EndpointLost, next(iter(tls.values()))))


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_is_down_at_boot_is_waited_for(version: str, qos: int) -> None:
    broker = Broker()
    try:
        with ends(broker, version) as end:
            graph = Graph()
            source = end.source(graph, "x", qos=qos, ready=False)
            sink = end.sink("x", qos=qos, ready=False)
            eventually(lambda: end.said(EndpointLost, "refused"))
            broker.start()
            eventually(source.ready)
            sink.send(batch([b"late"]))
            assert graph.expect(1) == [b"late"]
    finally:
        broker.close()


def test_a_send_that_waits_for_a_broker_ends_with_close() -> None:
    broker = Broker()
    end = Ends(broker, "auto")
    sink = end.sink("x", ready=False)
    ended = threading.Event()

    def send() -> None:
        with pytest.raises(Stopped):
            sink.send(batch([b"never"]))
        ended.set()

    threading.Thread(target=send).start()
    end.close()
    assert ended.wait(10)


def test_user_and_password(version: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    with Broker(users={"pump": "secret"}) as broker:
        good = {"username": "pump", "passwordFile": str(tmp_path / "password")}
        with ends(broker, version, credentials=good) as end:
            end.source(Graph(), "x")
        with ends(broker, version, credentials={"username": "pump"}) as end:
            source = end.source(Graph(), "x", ready=False)
            eventually(lambda: end.said(EndpointRefused, "uthori"))
            assert not source.ready()


# paho leaves a socket whose handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_a_client_certificate(version: Version) -> None:
    with Broker(tls=True, client_certificate=True) as broker:
        tls = {"ca": str(broker.ca), "cert": str(broker.client_cert), "key": str(broker.client_key)}
        graph = Graph()
        with ends(broker, version, tls=tls) as end:
            end.source(graph, "safe")
            sink = end.sink("safe")
            large = b"x" * 500_000
            sink.send(batch([*MANY, large]))
            assert graph.expect(len(MANY) + 1) == [*MANY, large]
        with ends(broker, version, tls={"ca": str(broker.ca)}) as end:
            end.source(graph, "safe", ready=False)
            eventually(lambda: end.said(EndpointLost))
        with ends(broker, version, tls={}) as end:
            end.source(graph, "safe", ready=False)
            eventually(lambda: end.said(EndpointLost, "" if version.plain else "certificate"))  # paho does not say why


@pytest.mark.ours("one birth and one will for all clients of an endpoint")
def test_birth_and_will(broker: Broker, version: str) -> None:
    state = f"state/{version}"
    with peer(broker, state) as other:
        notes = {"birth": {"topic": state, "payload": "on"}, "will": {"topic": state, "payload": "off"}}
        with ends(broker, version, **notes) as end:
            end.source(Graph(), "x")
            end.sink("y")
            assert other.expect(1) == [b"on"]
        assert other.expect(2) == [b"on", b"off"]


@pytest.mark.ours("it makes our link vanish")
def test_the_will_of_a_client_that_vanishes(version: str) -> None:
    with Broker() as broker, peer(broker, "state") as other:
        end = Ends(broker, version, will={"topic": "state", "payload": "off"})
        source = end.source(Graph(), "x")
        source._connection._session.link.abort()
        assert other.expect(1) == [b"off"]
        end.close()


def test_a_refused_subscription_is_named(version: str) -> None:
    with (
        fake_broker(suback_reason=0x87 if version == "5" else 0x80, version=version) as fake,
        ends(fake, version) as end,
    ):
        source = end.source(Graph(), "secret/#", ready=False)
        eventually(lambda: end.said(EndpointRefused, "secret/#"))
        assert not source.ready()


def test_a_message_the_broker_refuses_goes_to_who_decides() -> None:
    with Broker(users={"pump": "x"}, acl=["user pump", "topic readwrite ok/#"]) as broker:
        (broker.folder / "word").write_text("x")
        refused: list[tuple[Batch, NodeFault]] = []
        credentials = {"username": "pump", "passwordFile": str(broker.folder / "word")}
        with ends(broker, "5", credentials=credentials) as end:
            sink = end.sink("{topic}", on_refused=lambda rows, fault: refused.append((rows, fault)))
            from flowrt.message import Head

            sink.send(batch([b"no"], Head("secret/x")))
            sink.send(batch([b"yes"], Head("ok/x")))
            assert sink.flush(10)
            assert [(rows.payloads, fault.kind) for rows, fault in refused] == [([b"no"], "send")]
            assert "not authorized" in refused[0][1].detail
            assert sink.counters.refused == 1


@pytest.mark.ours("paho does not tell")
def test_two_clients_of_one_id_are_told(broker: Broker, version: str) -> None:
    with ends(broker, version, clientId="twin") as one, ends(broker, version, clientId="twin") as two:
        one.source(Graph(), "x", ready=False)
        two.source(Graph(), "x", ready=False)
        eventually(lambda: any(end.said(EndpointRefused, "another client", "twin") for end in (one, two)))


def test_auto_steps_down_where_a_broker_knows_only_3_1_1() -> None:
    with fake_broker(version="3.1.1", refuses_five=True) as fake, ends(fake, "auto") as end:
        source = end.source(Graph(), "x", ready=False)
        eventually(source.ready)
        assert end.said(EndpointConnected, "3.1.1")


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"\x30\x02\x00\x09", "PUBLISH"),
        (b"\x36\x06\x00\x01a\x00\x01\x00", "quality of service"),
        (b"\x30\xff\xff\xff\xff\x7f", "length"),
        (b"\x30\x05\x00\x01\xff\x00x", "PUBLISH"),
        (b"\x32\x06\x00\x01a\x00\x00\x00", "identifier"),
        (b"\x40\x01\x00", "acknowledgement"),
    ],
)
def test_a_malformed_packet_ends_the_connection_and_it_recovers(packet: bytes, reason: str) -> None:
    with fake_broker(version="5", sends=packet) as fake, ends(fake, "5") as end:
        end.source(Graph(), "a", ready=False)
        eventually(lambda: end.said(EndpointLost, reason), f"{end.events}")
        eventually(lambda: sum(isinstance(event, EndpointConnected) for event in end.events) > 1)


def test_topic_aliases_of_a_broker() -> None:
    named = b"\x30\x09\x00\x01a\x03\x23\x00\x0511"
    short = b"\x30\x08\x00\x00\x03\x23\x00\x0522"
    with fake_broker(version="5", sends=named + short) as fake, ends(fake, "5") as end:
        graph = Graph()
        end.source(graph, "a", qos=0, ready=False)
        assert graph.expect(2) == [b"11", b"22"]
        assert {message.head.topic for message in graph.messages} == {"a"}


def test_topics_removed_from_a_graph_are_unsubscribed(tmp_path: Path) -> None:
    from flowrt.endpoints.mqtt.config import MqttOptions
    from flowrt.endpoints.registry import Endpoints
    from flowrt.operators.source import SourceOperation

    def run(broker: Broker, *topics: str) -> None:
        options = MqttOptions(host=broker.host, port=broker.port, client_id="g")
        endpoints = Endpoints("graph", {"p": options}, emit=lambda _: None, state=tmp_path)
        source = endpoints.source(SourceOperation(operation_type="source", name="s", endpoint="p", topics=topics))
        source.start(lambda _: None, lambda: None)
        eventually(source.ready)
        source.close()

    with Broker() as broker:
        run(broker, "old/#", "kept/#")
        run(broker, "kept/#", "new")
        eventually(lambda: "Received UNSUBSCRIBE" in broker.log)
        assert broker.log.count("old/#") > broker.log.count("new")


class FakeBroker:
    """Says yes to CONNECT and SUBSCRIBE in one version, and sends what it is told to."""

    host = "127.0.0.1"

    def __init__(self, version: str, suback_reason: int, refuses_five: bool, sends: bytes) -> None:
        self._five = version == "5"
        self._suback_reason = suback_reason
        self._refuses_five = refuses_five
        self._sends = sends
        self._ended = threading.Event()
        self._server = socket.create_server((self.host, 0))
        self._server.settimeout(0.1)
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(5)
        self._server.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._talk, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(0.1)
        with connection:
            while not self._ended.is_set():
                try:
                    data = connection.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not data:
                    return
                connection.sendall(self._answer(data))
                if data[0] == 0x10 and self._refuses_five and b"MQTT\x05" in data:
                    return

    def _answer(self, data: bytes) -> bytes:
        if data[0] == 0x10 and self._refuses_five and b"MQTT\x05" in data:
            return b"\x20\x02\x00\x01"
        if data[0] == 0x10:
            return b"\x20\x03\x00\x00\x00" if self._five else b"\x20\x02\x00\x00"
        if data[0] == 0x82:
            body = data[2:4] + (b"\x00" if self._five else b"") + bytes((self._suback_reason,))
            return b"\x90" + bytes((len(body),)) + body + self._sends
        return b"\xd0\x00" if data[0] == 0xC0 else b""


@contextmanager
def fake_broker(
    *, version: str, suback_reason: int = 0, refuses_five: bool = False, sends: bytes = b""
) -> Iterator[FakeBroker]:
    fake = FakeBroker(version, suback_reason, refuses_five, sends)
    try:
        yield fake
    finally:
        fake.close()


def test_a_new_client_id_says_what_the_old_one_left_behind(tmp_path: Path) -> None:
    def connect(client_id: str) -> list[SessionLeft]:
        events: list[object] = []
        options = MqttOptions.model_validate({"host": broker.host, "port": broker.port, "clientId": client_id})
        opened = Endpoints("g", {"plant": options}, emit=events.append, state=tmp_path)
        source = opened.source(
            SourceOperation(operation_type="source", name="s", endpoint="plant", topics=("a/#", "b"))
        )
        source.start(lambda _: None, lambda: None)
        eventually(source.ready)
        source.close()
        return [event for event in events if isinstance(event, SessionLeft)]

    with Broker() as broker:
        assert connect("first") == []
        assert connect("first") == []
        (left,) = connect("second")

    assert (left.before, left.now, left.filters) == ("first", "second", "a/#, b")
