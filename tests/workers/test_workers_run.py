"""`flowrt run --workers N` against a real broker: order, loss, a killed worker, the end."""

import os
import re
import select
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from brokers import Broker, needs_broker

from flowrt.delivery.deadletters import DeadLetters

ROOT = Path(__file__).parents[2]
TOPICS = 12
GRAPH = """
metadata: {{name: divided}}
endpoints:
  - name: plant
    mqtt: {{host: 127.0.0.1, port: {port}, clientId: divided}}
operations:
  - {{operationType: source, name: in, endpoint: plant, topics: ["in/#"], qos: 1}}
  - {{operationType: map, name: between, module: passthrough:1.0.0}}
  - {{operationType: sink, name: out, endpoint: plant, topic: "out/{{topic[1]}}", qos: 1}}
connections:
  - {{from: {{name: in}}, to: {{name: between}}}}
  - {{from: {{name: between}}, to: {{name: out}}}}
"""


@pytest.fixture
def broker():
    with Broker() as running:
        yield running


class Flowrt:
    """The command, and what it says."""

    def __init__(self, folder, graph, *options):
        (folder / "graph.yaml").write_text(graph)
        command = [sys.executable, "-m", "flowrt.cli.main", "run", f"{folder}/graph.yaml", f"--modules={ROOT}/modules"]
        self.process = subprocess.Popen([*command, f"--state={folder}", *options], stderr=subprocess.PIPE, text=True)
        self.text = ""
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern, count=1):
        def said():
            return len(re.findall(pattern, self.text)) >= count or not self._reader.is_alive()

        with self._said:
            assert self._said.wait_for(said, 60), self.text
        return re.findall(pattern, self.text)[-1]

    def workers(self):
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(number) for number in found]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def _read(self):
        for line in self.process.stderr:
            with self._said:
                self.text += line
                self._said.notify_all()


@pytest.fixture
def started(tmp_path, broker):
    running = []

    def start(*options, graph=GRAPH):
        running.append(Flowrt(tmp_path, graph.format(port=broker.port), *options))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.process.stderr.close()


class Peer:
    """Publishes numbers and keeps what comes out, by topic."""

    def __init__(self, broker):
        self.got = {}
        self._came = threading.Condition()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(300)
        self._client.on_message = self._on_message
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe("out/#", 1)
        assert subscribed.wait(10)

    def publish(self, numbers):
        for number in numbers:
            self._client.publish(f"in/{number % TOPICS}", str(number), 1)

    def wait_for(self, count):
        with self._came:
            assert self._came.wait_for(lambda: len(self.distinct) >= count, 60), len(self.distinct)

    @property
    def distinct(self):
        return {number for numbers in self.got.values() for number in numbers}

    def _on_message(self, _client, _data, message):
        with self._came:
            self.got.setdefault(message.topic, []).append(int(message.payload))
            self._came.notify_all()


@pytest.fixture
def peer(broker):
    made = Peer(broker)
    yield made
    made._client.disconnect()
    made._client.loop_stop()


@needs_broker
def test_topics_are_divided_and_stay_in_order(started, peer):
    flowrt = started("--workers=3", "--metrics=127.0.0.1:0", "--memory=512Mi", "--cpu=6")
    flowrt.wait_for(r"(?m)^ready$")
    peer.publish(range(3000))
    peer.wait_for(3000)
    assert peer.got == {f"out/{topic}": list(range(topic, 3000, TOPICS)) for topic in range(TOPICS)}
    url = flowrt.wait_for(r"metrics at (\S+)")
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    assert 'flowrt_node_received_messages_total{graph="divided",node="between"} 3000.0' in text
    assert 'flowrt_endpoint_received_messages_total{endpoint="plant",graph="divided"} 3000.0' in text
    assert 'flowrt_endpoint_connects_total{endpoint="plant",graph="divided"} 4.0' in text
    assert len(flowrt.workers()) == 3
    assert flowrt.stop() == 0
    assert flowrt.text.count("drained: True") == 3
    assert re.findall(r"(?m)^ready$", flowrt.text) == ["ready"]


@needs_broker
def test_a_killed_worker_loses_nothing(started, peer):
    flowrt = started("--workers=2")
    flowrt.wait_for(r"(?m)^ready$")
    peer.publish(range(1500))
    os.kill(flowrt.workers()[0], signal.SIGKILL)
    peer.publish(range(1500, 3000))
    peer.wait_for(3000)
    assert "worker 0 died of signal SIGKILL" in flowrt.text
    for topic in range(TOPICS):  # repeats come before what is new, never instead of it
        firsts = list(dict.fromkeys(peer.got[f"out/{topic}"]))
        assert firsts == list(range(topic, 3000, TOPICS))
    assert flowrt.stop() == 0


KILLS = """
import os, signal
from flowrt.operators.map import MapOperator
process = MapOperator.process
def deadly(self, batch):
    if b"-7" in batch.payloads:
        os.kill(os.getpid(), signal.SIGKILL)
    return process(self, batch)
MapOperator.process = deadly
"""
"""As native code might that a message makes stumble: it ends the process."""


@needs_broker
def test_a_message_that_kills_workers_becomes_a_dead_letter_and_all_others_pass(started, peer, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(KILLS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    flowrt = started("--workers=2")
    flowrt.wait_for(r"(?m)^ready$")
    peer.publish([*range(120), -7, *range(120, 240)])
    peer.wait_for(240)
    flowrt.wait_for(r"2 worker processes ended while they had this message alone")
    assert flowrt.stop() == 0
    assert 3 <= flowrt.text.count("died of signal SIGKILL") <= 4
    letters = DeadLetters(tmp_path / "dead-letters.sqlite")
    assert [(letter.node, letter.kind, letter.message.payload) for letter in letters.list()] == [("in", "crash", b"-7")]
    letters.close()


@needs_broker
def test_a_file_that_ends_ends_the_run(started, peer, tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(f"{number}\n" for number in range(500)))
    files = "  - {{name: lines, file: {{path: in.jsonl}}}}\noperations:"
    graph = GRAPH.replace("operations:", files).replace(
        'endpoint: plant, topics: ["in/#"]', 'endpoint: lines, topics: ["in/0"]'
    )
    flowrt = started("--workers=2", graph=graph)
    peer.wait_for(500)
    assert flowrt.process.wait(120) == 0
    assert peer.got == {"out/0": list(range(500))}


@needs_broker
def test_workers_end_with_the_process_that_reads(started, peer):
    flowrt = started("--workers=2")
    flowrt.wait_for(r"(?m)^ready$")
    workers = [os.pidfd_open(number) for number in flowrt.workers()]
    flowrt.process.kill()
    for worker in workers:
        assert select.select([worker], [], [], 30)[0], "a worker outlives its dealer"
        os.close(worker)
    peer.publish(range(240))
    flowrt = started("--workers=2")
    peer.wait_for(240)
    assert flowrt.stop() == 0


@needs_broker
def test_a_worker_that_hangs_is_killed_at_the_end(started, peer):
    flowrt = started("--workers=2", "--drain=0.5")
    flowrt.wait_for(r"(?m)^ready$")
    os.kill(flowrt.workers()[0], signal.SIGSTOP)
    peer.publish(range(240))
    assert flowrt.stop() == 1
    flowrt = started("--workers=2")
    peer.wait_for(240)
    assert flowrt.stop() == 0


@needs_broker
def test_what_a_stop_leaves_comes_at_the_next_start_with_another_number_of_workers(started, peer):
    flowrt = started("--workers=2")
    flowrt.wait_for(r"(?m)^ready$")
    peer.publish(range(600))
    assert flowrt.stop() == 0
    peer.publish(range(600, 1200))
    flowrt = started("--workers=3")
    peer.wait_for(1200)
    assert peer.got == {f"out/{topic}": list(range(topic, 1200, TOPICS)) for topic in range(TOPICS)}
    assert flowrt.stop() == 0


def test_a_graph_with_state_across_topics_is_refused(started):
    flowrt = started("--workers=2", graph=GRAPH.replace("passthrough", "pump-verdict"))
    assert flowrt.process.wait(120) == 1
    said = flowrt.wait_for("not-for-workers: .*")
    assert "operation 'between': the module" in said
    assert "write `state: perTopic`" in said


def test_a_worker_that_cannot_start_ends_the_run(started):
    model = f"model: {{{{path: {ROOT}/graphs/models/pump-ae.onnx, target: gpu}}}}"
    graph = GRAPH.replace("map, name: between, module: passthrough:1.0.0", f"inference, name: between, {model}")
    flowrt = started("--workers=2", graph=graph)
    assert flowrt.process.wait(120) == 3
    assert "asks for target gpu" in flowrt.wait_for(".*target gpu.*")


@needs_broker
def test_a_reload_loses_nothing(started, peer):
    flowrt = started("--workers=2")
    flowrt.wait_for(r"(?m)^ready$")
    peer.publish(range(600))
    flowrt.process.send_signal(signal.SIGHUP)
    flowrt.wait_for("reloaded: True")
    peer.publish(range(600, 1200))
    peer.wait_for(1200)
    assert peer.got == {f"out/{topic}": list(range(topic, 1200, TOPICS)) for topic in range(TOPICS)}
    assert flowrt.stop() == 0


def test_a_runtime_with_workers_answers_what_it_can(started, tmp_path):
    """Its own files it reads again when it is asked to; what it cannot do it says."""

    def asked(*arguments):
        command = [sys.executable, "-m", "flowrt.cli.main", *arguments, f"--state={tmp_path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    flowrt = started("--workers", "2")
    flowrt.wait_for("(?m)^ready$")
    file = tmp_path / "graph.yaml"
    assert asked("status")[1].startswith("divided ")

    file.write_text(file.read_text().replace("name: divided}", "name: divided, version: 2.0.0}"))
    assert asked("apply", str(file)) == (0, "restart workers are drained and started anew, without a trial\n")
    assert asked("status")[1].startswith("divided 2.0.0: ")
    other = tmp_path / "other.yaml"
    other.write_text(file.read_text())
    status, said = asked("apply", str(other))
    assert (status, "takes only the files that it runs" in said) == (1, True)
    good = file.read_text()
    file.write_text(good.replace("Type: map", "Type: mop"))
    status, said = asked("apply", str(file))
    assert (status, "the file has problems; what ran before runs on" in said) == (1, True)
    status, said = asked("rollback")
    assert (status, "keeps no earlier version" in said) == (1, True)
    assert "divided 2.0.0  restarted" in asked("history")[1]
    assert flowrt.stop() == 0
