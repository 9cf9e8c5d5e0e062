"""Kafka with several brokers, gateways that share a group, TLS and passwords: nothing is lost, everything is said."""

from __future__ import annotations

import ssl
import threading
from collections import Counter

import pytest
from brokers import make_certificates
from peers import Graph, eventually

pytest.importorskip("confluent_kafka")

from kafka_peers import Brokers, Front
from test_kafka import Ends

from flowrt.delivery.tracker import Tracker
from flowrt.events import EndpointConnected, EndpointLost, EndpointRefused
from flowrt.operators.source import SourceOperation
from flowrt.testing import batch_of

PARTITIONS, EACH, UNDER_WAY = 6, 100, 40


@pytest.fixture
def brokers():
    cluster = Brokers(3)
    yield cluster
    cluster.close()


@pytest.fixture
def ends(tmp_path):
    opened = []

    def make(address, **options):
        opened.append(Ends(address, tmp_path, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, "127.0.0.1")
    (folder / "password").write_text("geheim\n")
    (folder / "wrong").write_text("falsch\n")
    return folder


def numbered(partition, start=0, stop=EACH):
    return [b"%d %d" % (partition, place) for place in range(start, stop)]


def first_copies(*graphs):
    """By partition, the places of what came, each once, as they came to each gateway."""
    found = {}
    for graph in graphs:
        for message in graph.messages:
            partition, place = map(int, message.payload.split())
            found.setdefault((id(graph), partition), []).append(place)
    return found


def test_two_gateways_of_one_group_share_partitions_and_lose_nothing_when_one_joins_and_one_leaves(brokers, ends):
    brokers.topic("in", PARTITIONS)
    for partition in range(PARTITIONS):
        brokers.put("in", partition, numbered(partition))
    first, second = Graph(at_once=False), Graph(at_once=False)
    options = {"group": "pumps", "maxInflight": UNDER_WAY, "sessionTimeout": "1500ms"}
    leaver = ends(brokers.addresses[0], **options)
    leaver.source(first, "in")
    first.expect(UNDER_WAY)
    assert max(brokers.committed("pumps", "in", PARTITIONS)) < 0  # nothing is out yet

    ends(brokers.addresses[1], **options).source(second, "in")  # ready once it has partitions
    handed_over = len(first.messages) + len(second.messages)
    second.expect(1)

    def all_came():
        first.settle_all()
        second.settle_all()
        return len({one.payload for graph in (first, second) for one in graph.messages}) == PARTITIONS * EACH

    eventually(all_came)
    copies = Counter(one.payload for graph in (first, second) for one in graph.messages)
    assert sum(copies.values()) - len(copies) <= UNDER_WAY <= handed_over
    for places in first_copies(first, second).values():
        assert places == sorted(places)
    eventually(lambda: brokers.committed("pumps", "in", PARTITIONS) == [EACH] * PARTITIONS)


def test_a_source_that_was_held_up_when_it_lost_its_partitions_reads_them_when_it_has_them_again(
    brokers, ends, monkeypatch
):
    """It pauses them while its graph takes nothing, and the library remembers that for longer than it has them."""
    monkeypatch.setattr("flowrt.endpoints.kafka.source.STALLED_SECONDS", 0.0)
    brokers.topic("in", 2)
    for partition in range(2):
        brokers.put("in", partition, numbered(partition))
    graph = Graph(at_once=False)
    source = ends(brokers.addresses[0], maxInflight=UNDER_WAY, sessionTimeout="1500ms").source(graph, "in")
    graph.expect(UNDER_WAY)
    eventually(lambda: source._paused)

    for number in range(1, 4):
        brokers.down(number)
    eventually(lambda: not source._owned)
    for number in range(1, 4):
        brokers.up(number)

    def all_came():
        graph.settle_all()
        return len({one.payload for one in graph.messages}) == 2 * EACH

    eventually(all_came)


def test_what_comes_of_a_partition_that_another_member_has_is_never_committed(brokers, ends):
    brokers.topic("in", 2)
    for partition in range(2):
        brokers.put("in", partition, numbered(partition, 0, 10))
    held = Graph(at_once=False)
    options = {"group": "pumps", "sessionTimeout": "1500ms"}
    ends(brokers.addresses[0], **options).source(held, "in")
    held.expect(20)

    other = Graph()
    ends(brokers.addresses[0], **options).source(other, "in")
    again = {payload.split()[0] for payload in other.expect(10)}  # of the partition that moved, from its beginning
    eventually(lambda: max(brokers.committed("pumps", "in", 2)) == 10)
    held.settle_all()  # those of the partition that moved answer to nobody any more
    eventually(lambda: brokers.committed("pumps", "in", 2) == [10, 10])

    assert len(again) == 1
    assert sorted(other.expect(10)) == sorted(numbered(int(next(iter(again))), 0, 10))


def test_a_broker_that_fails_costs_no_message_and_no_order(brokers, ends):
    brokers.topic("out", 1)
    brokers.lead("out", 0, 1)
    released = []
    tracker = Tracker(released.append)
    end = ends(brokers.addresses[1])
    sink = end.sink("out", spool={"enabled": False})

    def send(start):
        sink.send(batch_of([b"%d" % number for number in range(start, start + 50)], topics=["t"] * 50, tracker=tracker))

    send(0)
    assert sink.flush(15)
    brokers.down(1)
    sending = threading.Thread(target=lambda: [send(start) for start in range(50, 300, 50)])
    sending.start()
    eventually(lambda: sink.counters.messages_out == 300)
    assert sum(released) == 50  # what no leader has is not acknowledged
    brokers.lead("out", 0, 2)

    sending.join()
    assert sink.flush(15)
    assert sum(released) == 300
    assert brokers.read("out", 0) == [b"%d" % number for number in range(300)]
    assert not [event for event in end.events if isinstance(event, EndpointLost)]  # two of three were there


def test_a_coordinator_and_a_leader_that_fail_cost_a_source_nothing(brokers, ends):
    brokers.topic("in", 1)
    brokers.lead("in", 0, 1)
    brokers.coordinate("pumps", 1)
    brokers.put("in", 0, numbered(0, 0, 10))
    graph = Graph()
    end = ends(brokers.addresses[1], group="pumps")
    end.source(graph, "in")
    graph.expect(10)

    brokers.down(1)
    brokers.lead("in", 0, 2)
    brokers.coordinate("pumps", 3)
    brokers.put("in", 0, numbered(0, 10, 20))

    assert graph.expect(20)[:20] == numbered(0, 0, 20)
    eventually(lambda: brokers.committed("pumps", "in", 1) == [20])
    assert not [event for event in end.events if isinstance(event, EndpointLost)]


def test_a_cluster_that_is_not_there_is_named_once_and_found_when_it_comes(ends):
    cluster = Brokers(1)
    cluster.topic("in", 1)
    cluster.down(1)
    end = ends(cluster.addresses[0])
    graph = Graph()
    operation = SourceOperation(operation_type="source", name="s", endpoint="far", topics=("in",))
    source = end._endpoints.source(operation)
    end._open.append(source)
    source.start(graph.deliver, lambda: None)
    eventually(lambda: [event for event in end.events if isinstance(event, EndpointLost)])

    cluster.up(1)
    eventually(lambda: source.counters.connected == 1)  # though nothing comes

    assert [type(event) for event in end.events] == [EndpointLost, EndpointConnected]
    end.close()
    cluster.close()


def server_side(folder, *, asks=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "ca.pem")
    return context


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_messages_pass_both_ways_over_tls_with_a_password(brokers, ends, certificates, mechanism):
    brokers.topic("in", 1)
    brokers.put("in", 0, [b"hello"])
    front = Front(brokers, context=server_side(certificates), mechanism=mechanism, user="gw", password="geheim")
    options = {
        "tls": {"ca": str(certificates / "ca.pem")},
        "sasl": mechanism,
        "credentials": {"username": "gw", "passwordFile": str(certificates / "password")},
    }
    graph, end = Graph(), ends(front.addresses[0], **options)
    end.source(graph, "in")
    assert graph.expect(1) == [b"hello"]
    brokers.topic("out", 1)
    sink = end.sink("out", spool={"enabled": False})  # with one, a message on disk would do for `flush`
    sink.send(batch_of([b"there"], topics=["t"], tracker=Tracker(lambda _: None)))
    assert sink.flush(15)

    assert brokers.read("out", 0) == [b"there"]
    assert front.encrypted >= front.authenticated > 1
    assert not front.refused
    front.close()


def test_a_client_certificate_is_shown_where_brokers_ask_for_one(brokers, ends, certificates):
    brokers.topic("in", 1)
    brokers.put("in", 0, [b"hello"])
    front = Front(brokers, context=server_side(certificates, asks=True))
    tls = {
        name: str(certificates / file)
        for name, file in (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key"))
    }
    graph = Graph()
    ends(front.addresses[0], tls=tls).source(graph, "in")

    assert graph.expect(1) == [b"hello"]
    front.close()


@pytest.mark.parametrize(
    ("ca", "password", "mechanism", "words"),
    [
        ("ca.pem", "wrong", "SCRAM-SHA-512", "the password is wrong"),
        ("ca.pem", "password", "PLAIN", "supported mechanisms: SCRAM-SHA-512"),
        ("client.pem", "password", "SCRAM-SHA-512", "certificate verify failed"),
    ],
)
def test_who_is_refused_learns_why_and_sends_nothing(brokers, ends, certificates, ca, password, mechanism, words):
    front = Front(brokers, context=server_side(certificates), mechanism="SCRAM-SHA-512", user="gw", password="geheim")
    end = ends(
        front.addresses[0],
        tls={"ca": str(certificates / ca)},
        sasl=mechanism,
        credentials={"username": "gw", "passwordFile": str(certificates / password)},
    )
    sink = end.sink("out")

    eventually(lambda: any(isinstance(event, EndpointRefused) and words in event.reason for event in end.events))
    assert not sink.ready()
    assert len([event for event in end.events if isinstance(event, EndpointRefused)]) == 1  # said once
    assert not front.authenticated
    front.close()
