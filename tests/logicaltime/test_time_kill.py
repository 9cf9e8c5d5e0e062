"""`kill -9` of `flowrt run` while windows are open, with a real broker: every message is in one window."""

import json
import signal
import subprocess
import sys
import time

import paho.mqtt.client as mqtt
import pytest
from brokers import Broker, needs_broker

pytestmark = needs_broker
SENT = 400
GRAPH = """\
metadata: {{name: killed, version: 1.0.0}}
endpoints: [{{name: plant, mqtt: {{host: 127.0.0.1, port: {port}, clientId: killed, sessionExpiry: 1h}}}}]
operations:
  - {{operationType: source, name: in, endpoint: plant, topics: ["in/#"], qos: 1}}
  - operationType: transform
    name: window
    count: {{type: messageCount, maxMessageCount: 90, boundaryMessage: messageInCurrent}}
    delay: {{type: duration, delaySeconds: 2}}
    rules:
      accumulate:
        - {{inputs: [i], output: n, expression: count($1)}}
        - {{inputs: [i], output: sum, expression: sum($1)}}
        - {{inputs: [i], output: first, expression: first($1)}}
  - {{operationType: sink, name: out, endpoint: plant, topic: out, qos: 1}}
connections: [{{from: {{name: in}}, to: {{name: window}}}}, {{from: {{name: window}}, to: {{name: out}}}}]
"""


class Killed:
    """`flowrt run`, a sender, and what left."""

    def __init__(self, broker, folder):
        self.folder = folder
        self.left = []
        (folder / "g.yaml").write_text(GRAPH.format(port=broker.port))
        self.reader = self._client(broker, "reader")
        self.reader.on_message = lambda *given: self.left.append(json.loads(given[2].payload))
        self.reader.subscribe("out", 1)
        self.sender = self._client(broker, "sender")
        self.process = None

    def _client(self, broker, name):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name)
        client.connect(broker.host, broker.port)
        client.loop_start()
        return client

    def start(self):
        command = [sys.executable, "-m", "flowrt.cli.main", "run", "g.yaml", "--state", "state"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=log, stdout=log)
        self.wait(lambda: (self.folder / "log").read_text().count("\nready\n") > self.starts)
        self.starts += 1

    starts = 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def send(self, start, stop):
        sent = [self.sender.publish(f"in/{i % 3}", json.dumps({"i": i}), 1) for i in range(start, stop)]
        for info in sent:
            info.wait_for_publish(20)

    def wait(self, happened, timeout=30):
        until = time.monotonic() + timeout
        while not happened():
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def windows(self):
        """Each once: one whose confirmation was under way when the process died has left twice, unchanged."""
        return [dict(window) for window in {tuple(window.items()) for window in self.left}]

    def counted(self):
        return sum(window["n"] for window in self.windows())

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        for client in (self.reader, self.sender):
            client.loop_stop()
            client.disconnect()


@pytest.fixture
def killed(tmp_path):
    with Broker(persistence=True, max_inflight=20) as broker:
        made = Killed(broker, tmp_path)
        yield made
        made.close()


def test_no_message_is_lost_or_counted_twice(killed):
    """Three kills: at the start of a window, in the middle of a burst, and with nothing under way."""
    killed.start()
    killed.send(0, 30)
    killed.kill()
    killed.start()
    killed.send(30, 250)
    killed.kill()
    killed.start()
    killed.send(250, SENT)
    time.sleep(0.5)
    killed.kill()
    killed.start()

    killed.wait(lambda: killed.counted() >= SENT)

    assert killed.counted() == SENT
    assert sum(window["sum"] for window in killed.windows()) == SENT * (SENT - 1) / 2
