"""What arrives and leaves over a real Mosquitto, in both versions of MQTT."""

import threading

import pytest
from brokers import Broker, needs_broker
from peers import PATIENCE, Graph, batch, ends, eventually, peer

from flowrt.delivery.tracker import Tracker
from flowrt.errors import NodeFault
from flowrt.message import Batch, Head

pytestmark = needs_broker

MANY = [b"%d" % number for number in range(500)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_come_in_in_order(broker: Broker, version: str, qos: int) -> None:
    graph = Graph()
    with ends(broker, version) as end, peer(broker) as other:
        end.source(graph, "in/#", qos=qos)
        for payload in MANY[:100]:
            other.publish("in/a", payload, qos)
        assert graph.expect(100) == MANY[:100]
        assert {(message.head.topic, message.head.retain) for message in graph.messages} == {("in/a", False)}
        times = [message.time for message in graph.messages]
        assert times == sorted(set(times))


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_go_out_in_order_and_are_settled(broker: Broker, version: str, qos: int) -> None:
    released: list[int] = []
    with ends(broker, version) as end, peer(broker, "out/x") as other:
        sink = end.sink("out/x", qos=qos)
        sink.send(batch(MANY, tracker=Tracker(released.append)))
        assert sink.flush(10)
        assert sum(released) == len(MANY)
        assert other.expect(len(MANY)) == MANY
        assert {message.qos for message in other.messages} == {qos}


def test_a_flush_ends_with_the_last_confirmation(broker: Broker, version: str) -> None:
    """Not with its timeout: a stop under load would take all the time it is given."""
    with ends(broker, version) as end:
        sink = end.sink("out/x", qos=2)
        for payload in MANY[:20]:
            sink.send(batch([payload]))
            flushed = threading.Thread(target=sink.flush, args=(10 * PATIENCE,), daemon=True)
            flushed.start()
            flushed.join(PATIENCE)
            assert not flushed.is_alive()


def test_a_message_is_acknowledged_only_when_it_is_settled(broker: Broker, version: str) -> None:
    """With a receive maximum of 10, the eleventh message waits for an acknowledgement of the first."""
    graph = Graph(at_once=False)
    with ends(broker, version, receiveMaximum=10) as end, peer(broker) as other:
        end.source(graph, "held", qos=1)
        for payload in MANY[:11]:
            other.publish("held", payload)
        graph.expect(10)
        if version == "5":  # 3.1.1 cannot ask for a window
            assert len(graph.messages) == 10
        graph.settle_all()
        assert graph.expect(11) == MANY[:11]
        graph.settle_all()


@pytest.mark.parametrize(("wanted", "given"), [("a/+/c", "a/b/c"), ("a/#", "a"), ("#", "x/y"), ("$share/g/s/+", "s/1")])
def test_filters_select_topics(broker: Broker, version: str, wanted: str, given: str) -> None:
    graph = Graph()
    with ends(broker, version) as end, peer(broker) as other:
        end.source(graph, wanted)
        other.publish(given, b"yes")
        assert graph.expect(1) == [b"yes"]


def test_a_shared_subscription_gives_each_message_to_one_member(broker: Broker, version: str) -> None:
    one, two = Graph(), Graph()
    with ends(broker, version) as first, ends(broker, version, clientId="second") as second, peer(broker) as other:
        first.source(one, "$share/group/work")
        second.source(two, "$share/group/work")
        for payload in MANY[:20]:
            other.publish("work", payload)
        eventually(lambda: len(one.messages) + len(two.messages) == 20)
        assert one.messages
        assert two.messages


def test_sources_of_one_endpoint_get_their_own_topics(broker: Broker, version: str) -> None:
    left, right, both = Graph(), Graph(), Graph()
    with ends(broker, version) as end, peer(broker) as other:
        sources = [end.unstarted("left/+"), end.unstarted("right/+", qos=0), end.unstarted("shared/+")]
        for source, graph in zip(sources, (left, right, both), strict=True):
            source.start(graph.deliver, lambda: None)
        eventually(lambda: all(source.ready() for source in sources))
        other.publish("left/1", b"l")
        other.publish("right/1", b"r", qos=0)
        other.publish("shared/1", b"b")
        assert (left.expect(1), right.expect(1), both.expect(1)) == ([b"l"], [b"r"], [b"b"])


def test_properties_are_carried_both_ways(broker: Broker) -> None:
    graph = Graph(at_once=False)
    with ends(broker, "5") as end, peer(broker, "back") as other:
        end.source(graph, "there")
        sink = end.sink("back")
        pairs = [("unit", "°C"), ("unit", "K"), ("__ts", "000001700000000:00003:node")]
        other.publish("there", b"1", ContentType="application/json", ResponseTopic="answer", CorrelationData=b"\xff\0",
                      UserProperty=pairs)  # fmt: skip
        graph.expect(1)
        head = graph.messages[0].head
        assert (head.content_type, head.response_topic, head.correlation) == ("application/json", "answer", b"\xff\0")
        assert head.properties == tuple(pairs)
        assert head.timestamp == (1700000000, 3, "node")
        sink.send(graph.batches[0])
        other.expect(1)
        properties = other.messages[0].properties
        assert properties is not None
        assert properties.UserProperty == pairs
        assert (properties.ContentType, properties.ResponseTopic) == ("application/json", "answer")
        assert properties.CorrelationData == b"\xff\0"


def test_heads_of_equal_envelopes_are_shared(broker: Broker) -> None:
    graph = Graph()
    with ends(broker, "5") as end, peer(broker) as other:
        end.source(graph, "same")
        for _ in range(3):
            other.publish("same", b"1", UserProperty=[("a", "b")])
        graph.expect(3)
        assert len({id(message.head) for message in graph.messages}) == 1


@pytest.mark.parametrize(("retained", "expected"), [("include", [b"kept", b"live"]), ("ignore", [b"live"])])
def test_retained_messages(version: str, retained: str, expected: list[bytes]) -> None:
    with Broker() as own, ends(own, version) as end, peer(own) as other:
        other.publish("state", b"kept", retain=True)
        graph = Graph()
        end.source(graph, "state", retained=retained)
        other.publish("state", b"live")
        assert graph.expect(len(expected)) == expected
        assert [message.head.retain for message in graph.messages] == [payload == b"kept" for payload in expected]


def test_a_sink_retains_and_names_the_content(version: str) -> None:
    with Broker() as own, ends(own, version) as end:
        sink = end.sink("state", retain=True, content_type="text/plain")
        sink.send(batch([b"on"]))
        assert sink.flush(10)
        with peer(own, "state") as late:
            late.expect(1)
            assert late.messages[0].retain
            if version == "5":
                assert late.messages[0].properties.ContentType == "text/plain"


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("size", [65_536, 3_000_000, 20_000_000])
def test_large_payloads_pass_whole(broker: Broker, version: str, qos: int, size: int) -> None:
    graph = Graph()
    payload = bytes(range(256)) * (size // 256) + b"end"
    with ends(broker, version) as end:
        end.source(graph, "large", qos=qos)
        sink = end.sink("large", qos=qos)
        sink.send(batch([b"before", payload, b"after"]))
        assert graph.expect(3) == [b"before", payload, b"after"]


def test_topics_come_from_templates_and_faults_are_refused(broker: Broker, version: str) -> None:
    refused: list[tuple[Batch, NodeFault]] = []
    with ends(broker, version) as end, peer(broker, "plant/#") as other:
        sink = end.sink("plant/{topic[1]}/{json.kind}", on_refused=lambda rows, fault: refused.append((rows, fault)))
        sink.send(batch([b'{"kind": "a"}', b'{"kind": "#"}', b"no json", b'{"kind": 7}'], Head("x/pump")))
        assert sink.flush(10)
        other.expect(2)
        assert [message.topic for message in other.messages] == ["plant/pump/a", "plant/pump/7"]
        assert [fault.kind for _, fault in refused] == ["topic", "topic"]
        assert [rows.payloads for rows, _ in refused] == [[b'{"kind": "#"}'], [b"no json"]]


@pytest.mark.ours("paho pings with the thread that waits for the graph")
def test_a_source_that_may_not_deliver_keeps_its_connection(broker: Broker, version: str) -> None:
    """While the graph is full the source pings; its messages come when there is room."""
    graph = Graph()
    with ends(broker, version, keepAlive="1s") as end, peer(broker) as other:
        full, room = graph.deliver, threading.Event()

        def slow(batch: Batch) -> None:
            room.wait(10)
            full(batch)

        graph.deliver = slow  # type: ignore[method-assign]
        end.source(graph, "busy", qos=0)
        other.publish("busy", b"1")
        room.wait(4)  # four times what the broker grants a silent client
        room.set()
        other.publish("busy", b"2")
        assert graph.expect(2) == [b"1", b"2"]
        assert not [event for event in end.events if type(event).__name__ == "EndpointLost"]
