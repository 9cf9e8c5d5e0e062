"""Effectively once: the consumer of docs/delivery.md, as it stands there, counts each message once across kill -9."""

import contextlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import paho.mqtt.client as paho
import pytest
from brokers import Broker, needs_broker

pytestmark = needs_broker

PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"
SENT = 300
GRAPH = """
metadata: {{name: once, version: 1.0.0}}
endpoints: [{{name: plant, mqtt: {{host: 127.0.0.1, port: {port}, clientId: once, sessionExpiry: 1h}}}}]
operations:
  - {{operationType: source, name: in, endpoint: plant, topics: ["in/#"], qos: 1}}
  - {{operationType: sink, name: out, endpoint: plant, topic: "alerts/{{topic[1]}}", qos: 1, idempotencyKey: true}}
connections: [{{from: {{name: in}}, to: {{name: out}}}}]
"""


class Two:
    """flowrt and the consumer, and what the consumer has kept."""

    def __init__(self, folder, port):
        (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        (folder / "consumer.py").write_text(program)
        (folder / "graph.yaml").write_text(GRAPH.format(port=port))
        self._database = folder / "kept.sqlite"
        state = folder / "state"
        self._commands = (
            [sys.executable, "-m", "flowrt.cli.main", "run", folder / "graph.yaml", "--state", state],
            [sys.executable, folder / "consumer.py", str(port), self._database],
        )
        self._processes = []
        self._log = (folder / "log").open("ab")

    def start(self):
        self._processes = [subprocess.Popen(command, stderr=self._log) for command in self._commands]

    def kill(self):
        for process in self._processes:
            process.kill()
            process.wait()

    def kept(self, greetings=False):
        query = f"SELECT payload FROM alerts WHERE topic {'=' if greetings else '<>'} 'alerts/hello'"
        with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(self._database)) as db:
            return [float(payload) for (payload,) in db.execute(query)]
        return []

    def wait_subscribed(self):
        """Until a greeting has gone all the way: from here on the broker keeps what comes for both."""
        until = monotonic() + 90
        while not self.kept(greetings=True):
            assert monotonic() < until
            self.publisher.publish("in/hello", str(monotonic()), 1)
            sleep(0.1)

    def wait_kept(self, count):
        until = monotonic() + 90
        while len(self.kept()) < count:
            assert monotonic() < until, f"{len(self.kept())} of {count}"
            sleep(0.01)

    def close(self):
        self.kill()
        self._log.close()


@pytest.fixture
def two(tmp_path):
    with Broker(persistence=True) as broker:
        made = Two(tmp_path, broker.port)
        made.publisher = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        made.publisher.connect(broker.host, broker.port)
        made.publisher.loop_start()
        yield made
        made.close()
        made.publisher.loop_stop()


def test_each_message_is_counted_once_though_both_are_killed(two):
    two.start()
    two.wait_subscribed()
    for number in range(SENT):
        two.publisher.publish(f"in/{number % 5}", str(number), 1)
        if number in {100, 200}:
            two.kill()
            two.start()

    two.wait_kept(SENT)

    assert sorted(two.kept()) == list(range(SENT))
