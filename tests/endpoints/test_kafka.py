"""Kafka endpoints, against the broker that librdkafka brings along: it speaks the real protocol over TCP."""

from types import SimpleNamespace

import pytest
from peers import Graph, eventually

confluent_kafka = pytest.importorskip("confluent_kafka")

from flowrt.delivery.tracker import Tracker  # noqa: E402
from flowrt.endpoints.kafka.config import KafkaOptions  # noqa: E402
from flowrt.endpoints.registry import Endpoints  # noqa: E402
from flowrt.events import EndpointConnected, SpoolStarted  # noqa: E402
from flowrt.operators.sink import SinkOperation  # noqa: E402
from flowrt.operators.source import SourceOperation  # noqa: E402
from flowrt.testing import batch_of  # noqa: E402

NOTHING = SimpleNamespace(partitions=())


class Cluster:
    """A cluster of one broker, until `close`."""

    def __init__(self):
        self._owner = confluent_kafka.Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0}
        )
        (broker,) = self._owner.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def put(self, topic, *payloads, key=None, headers=None):
        producer = confluent_kafka.Producer({"bootstrap.servers": self.address, "log_level": 0})
        for payload in payloads:
            producer.produce(topic, payload, key, headers=headers, partition=0)
        assert producer.flush(10) == 0

    def read(self, topic, count):
        """Messages of the topic's partitions from their beginning, once there are `count`."""
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.address, "group.id": "reader", "auto.offset.reset": "earliest", "log_level": 0}
        )
        partitions, found = [], []
        eventually(
            lambda: (
                partitions.extend(consumer.list_topics(timeout=10).topics.get(topic, NOTHING).partitions) or partitions
            )
        )
        consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in partitions])
        try:
            eventually(lambda: len(found) >= count or found.extend(consumer.consume(100, 0.1)) or len(found) >= count)
        finally:
            consumer.close()
        return found

    def committed(self, group, topic):
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.address, "group.id": group, "log_level": 0})
        try:
            (found,) = consumer.committed([confluent_kafka.TopicPartition(topic, 0)], timeout=10)
            return found.offset
        finally:
            consumer.close()


@pytest.fixture
def cluster():
    return Cluster()


class Ends:
    def __init__(self, address, state=None, **options):
        self.events, self._open = [], []
        given = KafkaOptions.model_validate({"brokers": [address], "commitEvery": "100ms", **options})
        self._endpoints = Endpoints("g", {"far": given}, emit=self.events.append, state=state)

    def source(self, graph, *topics):
        operation = SourceOperation(operation_type="source", name="s", endpoint="far", topics=topics)
        source = self._endpoints.source(operation)
        source.start(graph.deliver, lambda: None)
        self._open.append(source)
        eventually(source.ready)
        return source

    def sink(self, topic="out", **more):
        operation = SinkOperation.model_validate(
            {"operationType": "sink", "name": "t", "endpoint": "far", "topic": topic, **more}
        )
        sink = self._endpoints.sink(operation, self.refused)
        self.letters = []
        sink.start()
        self._open.append(sink)
        return sink

    def refused(self, rows, fault):
        self.letters.append((fault.kind, rows.payloads[0]))
        rows.tracker.settle(rows.seqs)

    def close(self):
        for end in self._open:
            end.close()


@pytest.fixture
def ends(tmp_path):
    opened = []

    def make(address, **options):
        opened.append(Ends(address, tmp_path, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def numbers(start, stop):
    return [b"%d" % number for number in range(start, stop)]


def test_messages_come_with_key_headers_and_content_type(cluster, ends):
    cluster.put("in", b"{}", key=b"k1", headers=[("a", b"1"), ("content-type", b"application/json")])
    graph = Graph()

    ends(cluster.address).source(graph, "in")
    graph.expect(1)

    head = graph.messages[0].head
    assert (head.topic, head.content_type) == ("in", "application/json")
    assert head.properties == (("a", "1"), ("kafka.key", "k1"))


def test_an_offset_is_committed_when_everything_before_it_is_out(cluster, ends):
    cluster.put("in", *numbers(0, 5))
    graph = Graph(at_once=False)
    first = ends(cluster.address, group="pumps")
    first.source(graph, "in")
    graph.expect(5)
    batch = graph.batches[0]
    batch.tracker.settle(batch.seqs[:2])
    batch.tracker.settle(batch.seqs[3:4])  # the third is still under way

    eventually(lambda: cluster.committed("pumps", "in") == 2)
    batch.tracker.settle(batch.seqs[2:3])
    first.close()  # what was settled by then is committed

    assert cluster.committed("pumps", "in") == 4


def test_a_source_goes_on_where_its_group_was(cluster, ends):
    cluster.put("in", *numbers(0, 5))
    consumer = confluent_kafka.Consumer({"bootstrap.servers": cluster.address, "group.id": "pumps", "log_level": 0})
    consumer.commit(offsets=[confluent_kafka.TopicPartition("in", 0, 3)], asynchronous=False)
    consumer.close()
    graph = Graph()

    ends(cluster.address, group="pumps").source(graph, "in")

    assert graph.expect(2) == numbers(3, 5)


def test_no_more_than_max_inflight_are_under_way(cluster, ends):
    cluster.put("in", *numbers(0, 50))
    graph = Graph(at_once=False)
    ends(cluster.address, maxInflight=10).source(graph, "in")
    graph.expect(10)
    assert len(graph.messages) == 10

    graph.at_once = True
    graph.settle_all()
    assert graph.expect(50) == numbers(0, 50)


def test_what_a_sink_sends_is_settled_once_it_is_replicated_and_keeps_its_order(cluster, ends):
    released = []
    tracker = Tracker(released.append)
    end = ends(cluster.address)
    sink = end.sink("out.{topic[1]}")
    for start in range(0, 300, 50):
        sink.send(batch_of(numbers(start, start + 50), topics=["plant/pump"] * 50, tracker=tracker))

    assert sink.flush(60)
    assert sum(released) == 300
    found = cluster.read("out.pump", 300)
    assert [message.value() for message in found] == numbers(0, 300)
    assert {message.key() for message in found} == {b"plant/pump"}
    assert [event for event in end.events if isinstance(event, EndpointConnected)]


def test_a_topic_that_kafka_does_not_take_goes_where_on_error_says(cluster, ends):
    tracker = Tracker(lambda _: None)
    end = ends(cluster.address)
    sink = end.sink("{topic}")

    sink.send(batch_of([b"bad", b"good"], topics=["a/b", "ab"], tracker=tracker))

    assert end.letters == [("topic", b"bad")]
    assert [message.value() for message in cluster.read("ab", 1)] == [b"good"]


def test_a_cluster_that_is_away_costs_no_message(tmp_path, ends):
    released = []
    tracker = Tracker(released.append)
    end = ends("127.0.0.1:9")  # nobody listens there
    sink = end.sink(spool={"after": "50ms"})

    sink.send(batch_of(numbers(0, 10), topics=["ab"] * 10, tracker=tracker))
    eventually(lambda: sum(released) == 10)
    assert [event for event in end.events if isinstance(event, SpoolStarted)]
    end.close()
    cluster = Cluster()
    ends(cluster.address).sink()

    assert [message.value() for message in cluster.read("out", 10)] == numbers(0, 10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"brokers": ["far"]}, "'far' is not host:port"),
        ({"brokers": []}, "at least 1"),
        ({"brokers": ["a:1"], "sasl": "plain"}, "PLAIN"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        KafkaOptions.model_validate(options)
