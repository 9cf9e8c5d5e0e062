"""What a process holds does not grow with the connections it has lost: objects are counted, not seconds."""

import gc
from collections import Counter
from time import monotonic, sleep

import paho.mqtt.client as paho
from brokers import Broker, needs_broker

from benchmarks.faults.proxy import Proxy
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.registry import Endpoints
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation

pytestmark = needs_broker

CUTS = 15
TOPICS = [f"in/{number}" for number in range(8)]


def eventually(condition):
    until = monotonic() + 20
    while not condition():
        assert monotonic() < until
        sleep(0.002)


class Loop:
    """A source whose messages go to a sink, with a spool, over a link that can be cut."""

    def __init__(self, broker, link, folder):
        options = MqttOptions(host="127.0.0.1", port=link.port, client_id="grow", session_expiry="1h",
                              reconnect={"min": "10ms", "max": "20ms"})  # fmt: skip
        ends = Endpoints("g", {"plant": options}, emit=lambda _: None, state=folder)
        operation = SinkOperation(
            operation_type="sink", name="out", endpoint="plant", topic="out", spool={"after": "50ms"}
        )
        self.sink = ends.sink(operation)
        self.source = ends.source(
            SourceOperation(operation_type="source", name="in", endpoint="plant", topics=["in/#"])
        )
        self.link = link
        self.sink.start()
        self.source.start(self.sink.send, lambda: None)
        self.publisher = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.publisher.connect(broker.host, broker.port)
        self.publisher.loop_start()

    def pass_messages(self):
        """One of each topic, until all of them are out."""
        wanted = self.sink.counters.messages_out + len(TOPICS)
        for topic in TOPICS:
            self.publisher.publish(topic, b"x", qos=1)
        eventually(lambda: self.sink.counters.messages_out >= wanted and self.sink.flush(5) and self.sink.empty())

    def cut(self):
        """Messages before, during and after."""
        self.pass_messages()
        self.link.cut()
        self.link.restore()
        eventually(lambda: self.source.ready() and self.sink.ready())
        self.pass_messages()

    def close(self):
        self.publisher.loop_stop()
        self.source.stop()
        self.source.close()
        self.sink.close()


def held():
    """Objects of ours and of paho, by type."""
    gc.collect()
    kinds = (type(one) for one in gc.get_objects())
    # Types of C may have something else than a name for their module.
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith(("flowrt", "paho")))


def test_connections_that_were_cut_leave_nothing_behind(tmp_path):
    with Broker() as broker:
        link = Proxy(broker.port)
        loop = Loop(broker, link, tmp_path)
        try:
            eventually(lambda: loop.source.ready() and loop.sink.ready())
            for _ in range(3):
                loop.cut()
            before = held()
            for _ in range(CUTS):
                loop.cut()
            grown = held() - before
            assert {kind: more for kind, more in grown.items() if more >= CUTS} == {}
        finally:
            loop.close()
            link.close()
