"""Updates as an operator meets them: a real process, a real broker, commands, a kill."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from brokers import Broker, needs_broker
from update_bench import marking

from flowrt.cli.loading import load_again
from flowrt.graph.load import read_anew

pytestmark = needs_broker

GRAPH = """\
metadata: {{name: g, version: '{version}'}}
moduleRequirements: {{apiVersion: "1.1.0", runtimeVersion: "1.1.0"}}
endpoints: [{{name: plant, mqtt: {{host: 127.0.0.1, port: {port}}}}}]
operations:
  - {{operationType: source, name: in, endpoint: plant, topics: [a/#]}}
  - {{operationType: map, name: m, module: {module}}}
  - {{operationType: sink, name: out, endpoint: plant, topic: {topic}}}
connections:
  - {{from: {{name: in}}, to: {{name: m}}}}
  - {{from: {{name: m}}, to: {{name: out}}}}
updates: {{shadow: 0, probation: {probation}, messages: 0, bounds: {{latency: 1000}}}}
"""


class Gateway:
    def __init__(self, folder, broker):
        self.folder, self.broker = folder, broker
        self.graph = folder / "graph.yaml"
        self.process = None
        for letter in "123":
            (folder / f"v{letter}.wasm").write_bytes(marking(letter))
        (folder / "trap.wasm").write_bytes(marking("9", "unreachable"))

    def write(self, module, *, version="1", topic="out", probation="100ms", name="graph.yaml"):
        path = self.folder / name
        text = GRAPH.format(port=self.broker.port, module=module, version=version, topic=topic, probation=probation)
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(path)
        return path

    def start(self, *options):
        command = [*FLOWRT, "run", str(self.graph), "--modules", str(self.folder), "--state", str(self.folder / "s")]
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        self.wait_for("(?m)^ready$")

    def wait_for(self, pattern):
        until = time.monotonic() + 60
        while not re.search(pattern, self.text):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.02)

    @property
    def text(self):
        return (self.folder / "log").read_text()

    def flowrt(self, command, *arguments):
        done = subprocess.run(
            [*FLOWRT, command, *map(str, arguments), "--state", str(self.folder / "s")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def through(self, payload, topic="out"):
        """What a message becomes."""
        listen = ["mosquitto_sub", "-p", str(self.broker.port), "-t", topic, "-C", "1", "-W", "20"]
        with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listener:
            time.sleep(0.3)  # until it has subscribed
            publish = ["mosquitto_pub", "-p", str(self.broker.port), "-q", "1", "-t", "a/1", "-m", payload]
            subprocess.run(publish, check=True)
            return listener.communicate(timeout=30)[0].strip()

    def running(self):
        return json.loads(self.flowrt("status", "--json")[1])[0]

    def end(self, number=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)


FLOWRT = [sys.executable, "-m", "flowrt.cli.main"]


@pytest.fixture
def gateway(tmp_path):
    with Broker() as broker:
        made = Gateway(tmp_path, broker)
        yield made
        made.end()


def test_a_life_of_updates(gateway):
    gateway.write("v1")
    gateway.start()
    assert gateway.through(".x") == "1x"

    status, said = gateway.flowrt("apply", gateway.write("v2", version="2", name="next.yaml"))
    assert (status, said.splitlines()[-1]) == (0, "proven"), said + gateway.text
    assert gateway.through(".x") == "2x"

    probing = gateway.write("trap", version="3", probation="60s", name="bad.yaml")
    applying = subprocess.Popen(
        [*FLOWRT, "apply", str(probing), "--state", str(gateway.folder / "s")], stderr=subprocess.DEVNULL
    )
    gateway.wait_for("update to version 3: probation")
    assert gateway.through(".x") == "2x"
    assert applying.wait(30) == 1
    assert "rolledBack: traps: trapped on 1 messages" in gateway.text
    assert gateway.flowrt("apply", probing) == (
        1,
        "it was tried before and failed: traps: trapped on 1 messages that the old version handles; the last: "
        "trap: wasm trap: wasm `unreachable` instruction executed; --again tries it all the same\n",
    )

    assert gateway.flowrt("rollback")[0] == 0
    assert gateway.through(".x") == "1x"
    lines = [line.split("  ") for line in gateway.flowrt("history")[1].splitlines()]
    assert [line[2] for line in lines if "since the start" not in line[-1]] == ["proven", "rolledBack", "proven"]
    assert gateway.running()["version"] == "1"
    assert oct((gateway.folder / "s" / "control.sock").stat().st_mode & 0o777) == "0o600"


def test_a_changed_file_and_other_ends(gateway):
    """A file under --watch, then other topics, for which the graph starts anew."""
    gateway.write("v1")
    gateway.start("--watch")
    assert gateway.through(".x") == "1x"

    (gateway.folder / "v1.wasm").write_bytes(marking("5"))
    gateway.wait_for("update to version 1: proven")
    assert gateway.through(".x") == "5x"

    gateway.write("v2", version="2", topic="other")
    gateway.wait_for("update to version 2: proven")
    assert gateway.through(".x", "other") == "2x"


def test_a_file_that_is_changed_during_an_update_is_taken_up_when_that_has_ended(gateway):
    gateway.write("v1")
    gateway.start("--watch")
    gateway.write("v2", version="2", probation="60s")
    gateway.wait_for("update to version 2: probation")
    gateway.write("v3", version="3")
    gateway.wait_for("an update of it is under way; the files are read again when it has ended")

    assert gateway.flowrt("rollback")[0] == 0

    gateway.wait_for("update to version 3: proven")
    assert gateway.through(".x") == "3x"
    assert gateway.flowrt("rollback", "h") == (1, "no graph 'h' is running here; running: g\n")


def test_a_pipe_in_the_place_of_a_graph_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "graph.yaml")

    plans, (problem,) = load_again(argparse.Namespace(files=[tmp_path / "graph.yaml"]), read_anew)

    assert (plans, problem.code) == ([], "unreadable-file")


def test_a_kill_in_the_midst_of_an_update_starts_the_proven_version_and_tries_again(gateway):
    gateway.write("v1")
    gateway.start()
    applied = gateway.write("v2", version="2", probation="30s", name="next.yaml")
    status, _ = gateway.flowrt("apply", applied, "--no-wait")
    assert status == 0
    gateway.end(signal.SIGKILL)

    gateway.start()

    assert "an update was interrupted; the last proven version runs while it is tried again" in gateway.text
    gateway.wait_for("update to version 2: probation")
    assert gateway.running()["runs"]["modules"].keys() == {"v2"}
    os.utime(gateway.graph)
    assert gateway.flowrt("rollback")[0] == 0
    assert gateway.running()["version"] == "1"


RESOURCES = """\
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowGraph
metadata: {{name: g}}
spec:
  nodes:
    - {{nodeType: Source, name: in, sourceSettings: {{endpointRef: plant, dataSources: [a/#]}}}}
    - {{nodeType: Graph, name: work, graphSettings: {{registryEndpointRef: r, artifact: "my/marks:1.0.0"}}}}
    - {{nodeType: Destination, name: out, destinationSettings: {{endpointRef: plant, dataDestination: {topic}}}}}
  nodeConnections:
    - {{from: {{name: in}}, to: {{name: work}}}}
    - {{from: {{name: work}}, to: {{name: out}}}}
"""
DEFINITION = """\
metadata: {{name: marks, version: 1.0.0}}
moduleRequirements: {{apiVersion: "1.1.0", runtimeVersion: "1.1.0"}}
operations:
  - {{operationType: source, name: source}}
  - {{operationType: map, name: m, module: {module}}}
  - {{operationType: sink, name: sink}}
connections: [{{from: {{name: source}}, to: {{name: m}}}}, {{from: {{name: m}}, to: {{name: sink}}}}]
"""


def test_a_folder_of_resources_is_applied(gateway):
    folder = gateway.graph = gateway.folder / "deployment"
    folder.mkdir()
    (folder / "graph.yaml").write_text(RESOURCES.format(topic='"out/${outputTopic}"'))
    (folder / "bindings.yaml").write_text(
        f"endpoints: {{plant: {{mqtt: {{host: 127.0.0.1, port: {gateway.broker.port}}}}}}}\n"
    )
    definition = folder / "marks.yaml"
    definition.write_text(DEFINITION.format(module="v1"))
    gateway.start()
    assert gateway.through("x", "out/a/1") == "1"

    assert gateway.flowrt("apply", folder) == (0, "it runs already\n")
    definition.write_text(DEFINITION.format(module="v2"))
    status, said = gateway.flowrt("apply", folder, "--no-wait")
    assert (status, said.splitlines()[-1].split()[0]) == (0, "probation")
    assert gateway.through("x", "out/a/1") == "2"

    definition.write_text(DEFINITION.format(module="nowhere"))
    status, said = gateway.flowrt("apply", folder)
    assert status == 1
    assert "missing-module" in said
    (folder / "graph.yaml").write_text(RESOURCES.format(topic="out") + "  colour: red\n  mode: Sometimes\n")
    status, said = gateway.flowrt("apply", folder)
    assert status == 1
    assert "graph.yaml:13:" in said
    assert gateway.through("x", "out/a/1") == "2"


def test_without_a_runtime_there_is_nothing_to_ask(gateway):
    status, said = gateway.flowrt("status")
    assert (status, "no runtime listens at" in said) == (3, True)


def test_what_live_traffic_has_left_keeps_a_bad_version_away_from_it(gateway):
    """Recorded by one process, held against a new version by the next, before any message has come."""
    gateway.write("v1", probation="100ms, record: {every: 1s}")
    gateway.start()
    until = time.monotonic() + 60
    while not gateway.running()["proven"]:
        assert time.monotonic() < until
        time.sleep(0.1)
    deadline = time.monotonic() + 4  # it is watched within two seconds; each message is one that it may be watched with
    while time.monotonic() < deadline:
        assert gateway.through(".x") == "1x"
    gateway.end()
    assert [path.stat().st_mode & 0o777 for path in (gateway.folder / "s/updates").glob("*.recorded")] == [0o600]

    gateway.start()
    bad = gateway.write("trap", version="2", probation="100ms, record: {every: 1s}", name="bad.yaml")
    status, said = gateway.flowrt("apply", bad)
    assert (status, "golden: recorded messages: traps: trapped on 1 messages" in said) == (1, True), said

    gateway.flowrt("apply", gateway.write("v1", version="3", name="plain.yaml"))
    assert list((gateway.folder / "s/updates").glob("*.recorded")) == []
