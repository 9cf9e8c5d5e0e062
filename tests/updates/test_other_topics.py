"""A source is told to read other topics: over the connection that is there, with nothing lost on those that stay."""

import itertools
import subprocess
import threading
import time

import paho.mqtt.client as paho
import pytest
from brokers import Broker, free_port, needs_broker
from paho.mqtt.enums import CallbackAPIVersion
from update_bench import HEAD, chain, marking

from flowrt.graph.difference import difference
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
        self._client.on_message = lambda _c, _d, message: self.came.setdefault(message.topic, []).append(
            number(message.payload)
        )
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

    def update(self, wanted, head=None):
        given = {"emit": self.bench.events.append, "moved": lambda *_: None, "ending": threading.Event()}
        return Update(self.runtime, self.graph, self.bench.plan(wanted, head or self.head), **given).run()

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


@pytest.fixture
def elsewhere():
    with Broker() as broker:
        yield broker


def with_another(plant, broker, port=None):
    """The head of a graph with one more broker."""
    return plant.head.replace("}}]", f"}}}}, {{name: far, mqtt: {{host: 127.0.0.1, port: {port or broker.port}}}}}]")


def published(broker, payload, topic="b/1"):
    command = ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", topic, "-m", payload]
    subprocess.run(command, check=True)


FAR = with_second().replace("endpoint: plant, topics: [b/#]", "endpoint: far, topics: [b/#]")


def connections_to_far():
    return [thread for thread in threading.enumerate() if thread.name == "flowrt/far/in"]


def test_the_first_source_at_another_broker_comes_while_all_else_goes_on(plant, elsewhere):
    plant.more("out/a/1")
    for turn in range(2):
        wanted = FAR.replace("module: one", f"module: {['two', 'one'][turn]}")
        assert plant.update(wanted, with_another(plant, elsewhere)) == ("proven", "")
        published(elsewhere, f".{turn}")
        plant.wait(lambda turn=turn: plant.came["out/b/1"] == list(range(turn + 1)))
    plant.more("out/a/1")
    assert (plant.connects(), plant.graph.sources["other"].counters.connects) == (1, 1)
    numbers = plant.came["out/a/1"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_bad_version_takes_its_broker_with_it(plant, elsewhere):
    plant.bench.module("bad", marking("3", "unreachable"))
    for _ in range(2):
        wanted = FAR.replace("module: one", "module: bad").replace("messages: 0", "messages: 1000000")
        state, reason = plant.update(wanted, with_another(plant, elsewhere))
        assert (state, reason.partition(":")[0]) == ("rolledBack", "traps")
        assert (set(plant.graph.sources), set(plant.graph.entrances)) == ({"in"}, {"in"})
        plant.wait(lambda: not connections_to_far())
    plant.more("out/a/1", 100)
    assert plant.connects() == 1
    assert plant.update(FAR, with_another(plant, elsewhere)) == ("proven", "")
    published(elsewhere, ".7")
    plant.wait(lambda: plant.came["out/b/1"] == [7])
    numbers = plant.came["out/a/1"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_broker_that_is_not_there_sends_the_update_back(plant, elsewhere):
    state, reason = plant.update(FAR, with_another(plant, elsewhere, free_port()))
    assert (state, reason.partition(":")[0]) == ("rolledBack", "ready")
    plant.wait(lambda: not connections_to_far())
    plant.more("out/a/1", 100)
    assert plant.connects() == 1


def test_a_sink_moves_to_another_broker_and_back(plant, elsewhere):
    """Its source's connection stays up, and each message is at one of them."""
    plant.more("out/a/1")
    far = text("a/#").replace('endpoint: plant, topic: "out/{topic}"', 'endpoint: far, topic: "out/{topic}"')
    listen = ["mosquitto_sub", "-p", str(elsewhere.port), "-q", "1", "-t", "out/a/1", "-C", "50", "-W", "30"]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listener:
        assert plant.update(far, with_another(plant, elsewhere)) == ("proven", "")
        moved = [int(line[1:]) for line in listener.communicate(timeout=40)[0].split()]
    assert plant.update(text("a/#"), with_another(plant, elsewhere)) == ("proven", "")
    before = len(plant.came["out/a/1"])
    plant.more("out/a/1")
    assert moved == list(range(moved[0], moved[0] + 50))
    assert plant.connects() == 1
    numbers = plant.came["out/a/1"][before:]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_the_last_source_at_a_broker_starts_the_graph_anew(plant, elsewhere):
    both, one = plant.bench.plan(FAR, with_another(plant, elsewhere)), plant.bench.plan(text("a/#"), plant.head)
    assert difference(both, one).beyond == "source other is the last at its broker"
    assert difference(one, both).beyond == ""
