"""A source is told to read other topics: over the connection that is there, with nothing lost on those that stay."""

import itertools
import threading
import time

import paho.mqtt.client as paho
import pytest
from brokers import Broker, needs_broker
from paho.mqtt.enums import CallbackAPIVersion
from update_bench import HEAD, chain, marking

from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.updates.update import Update

pytestmark = needs_broker

QUICK = "updates: {shadow: 0, probation: 0, messages: 0, timeout: 3s, bounds: {latency: 1000}}\n"


def text(*topics, module="one"):
    written = chain(("m", f"module: {module}"), more=QUICK).replace("topics: [a/#]", f"topics: [{', '.join(topics)}]")
    return written.replace("topic: out", 'topic: "out/{topic}"')


class Plant:
    """A graph at a real broker, a client that publishes numbers to a/1 and b/1, and what comes out."""

    def __init__(self, bench, broker, graph=None, number=lambda payload: int(payload[1:])):
        self.bench = bench
        self.head = HEAD.replace("host: 127.0.0.1", f"host: 127.0.0.1, port: {broker.port}")
        self.came = {"out/a/1": [], "out/b/1": []}
        self.runtime = Runtime(
            [bench.plan(graph or text("a/#"), self.head)], Surroundings(bench.events.append, bench.folder / "s")
        )
        self.graph = self.runtime.graphs[0]
        self.runtime.start()
        self.wait(self.graph.ready)
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _d, message: self.came[message.topic].append(number(message.payload))
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe("out/#", qos=1)
        self._client.loop_start()
        assert subscribed.wait(10)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self):
        for number in itertools.count():
            for topic in ("a/1", "b/1"):
                self._client.publish(topic, b".%d" % number, qos=1)
            if self._ending.wait(0.005):
                return

    def update(self, wanted):
        given = {"emit": self.bench.events.append, "moved": lambda *_: None, "ending": threading.Event()}
        return Update(self.runtime, self.graph, self.bench.plan(wanted, self.head), **given).run()

    def wait(self, reached):
        until = time.monotonic() + 20
        while not reached():
            assert time.monotonic() < until
            time.sleep(0.01)

    def more(self, topic, count=20):
        """Wait for so many more there."""
        wanted = len(self.came[topic]) + count
        self.wait(lambda: len(self.came[topic]) >= wanted)

    def connects(self):
        return self.graph.sources["in"].counters.connects

    def close(self):
        self._ending.set()
        self._thread.join()
        self.runtime.stop(5.0)
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def plant(bench):
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    with Broker() as broker:
        made = Plant(bench, broker)
        yield made
        made.close()


def test_a_topic_comes_and_another_goes(plant):
    plant.more("out/a/1")
    assert plant.came["out/b/1"] == []

    assert plant.update(text("a/#", "b/#", module="two")) == ("proven", "")
    plant.more("out/b/1")
    plant.more("out/a/1")
    assert plant.update(text("b/#", module="two")) == ("proven", "")
    plant.more("out/b/1", 100)
    seen = len(plant.came["out/a/1"])
    plant.more("out/b/1", 100)
    assert len(plant.came["out/a/1"]) == seen

    assert plant.connects() == 1
    for numbers in plant.came.values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_version_that_goes_back_takes_its_topics_with_it(plant):
    plant.bench.module("bad", marking("3", "unreachable"))

    state, reason = plant.update(text("a/#", "b/#", module="bad").replace("messages: 0", "messages: 1000000"))

    assert (state, reason.partition(":")[0]) == ("rolledBack", "traps")
    plant.more("out/a/1", 100)
    seen = len(plant.came["out/b/1"])
    plant.more("out/a/1", 100)
    assert len(plant.came["out/b/1"]) == seen
    assert (plant.connects(), plant.graph.plan.nodes["in"].operation.topics) == (1, ("a/#",))
    numbers = plant.came["out/a/1"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


SECOND = "{operationType: source, name: other, endpoint: plant, topics: [b/#]}"


def with_second(module="one"):
    """The same graph with a source more, that feeds the same module."""
    written = text("a/#", module=module).replace("operations:\n", f"operations:\n  - {SECOND}\n")
    return written.replace("connections:\n", "connections:\n  - {from: {name: other}, to: {name: m}}\n")


def test_a_source_comes_and_goes_over_the_connection_that_is_there(plant):
    plant.more("out/a/1")
    for module in ("one", "two"):
        assert plant.update(with_second(module)) == ("proven", "")
        plant.more("out/b/1")
        assert plant.graph.sources["other"].counters.connected == 1
        assert plant.update(text("a/#")) == ("proven", "")
        plant.more("out/a/1", 100)
        seen = len(plant.came["out/b/1"])
        plant.more("out/a/1", 100)
        assert len(plant.came["out/b/1"]) == seen
    assert (plant.connects(), set(plant.graph.sources)) == (1, {"in"})
    numbers = plant.came["out/a/1"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_source_that_a_bad_version_brought_goes_with_it(plant):
    plant.bench.module("bad", marking("3", "unreachable"))
    state, reason = plant.update(with_second("bad").replace("messages: 0", "messages: 1000000"))
    assert (state, reason.partition(":")[0]) == ("rolledBack", "traps")
    assert (plant.connects(), set(plant.graph.sources), set(plant.graph.entrances)) == (1, {"in"}, {"in"})
    plant.more("out/a/1", 100)
    numbers = plant.came["out/a/1"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_another_quality_of_service_is_asked_for_over_the_connection_that_is_there(plant):
    counters = plant.graph.sources["in"].counters
    plant.more("out/a/1")
    assert plant.update(text("a/#").replace("topics: [a/#]", "topics: [a/#], qos: 0")) == ("proven", "")
    plant.wait(lambda: counters.unguarded > 20)
    assert plant.update(text("a/#").replace("topics: [a/#]", "topics: [a/#], qos: 2")) == ("proven", "")
    plant.more("out/a/1", 100)
    unguarded = counters.unguarded
    plant.more("out/a/1", 100)
    assert (counters.unguarded, plant.connects()) == (unguarded, 1)
    numbers = plant.came["out/a/1"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
