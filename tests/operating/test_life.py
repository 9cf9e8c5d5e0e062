"""`flowrt run` as systemd, a supervisor and an operator meet it: a real process, a real broker."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from brokers import Broker, needs_broker
from waiting import until

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "graphs/pump-anomaly.yaml"
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1

pytestmark = needs_broker


class Process:
    """A runtime with the socket of a service manager."""

    def __init__(self, folder, graph, *options, environment=None, before=None):
        self.notified = []
        self.log = folder / "log"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.setblocking(False)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "200000",
            **(environment or {}),
        }
        command = [sys.executable, "-m", "flowrt.cli.main", "run", str(graph), f"--state={folder}/state", *options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=before)

    def wait_for(self, line):
        """Where the log matches this, once it does."""
        found = until(lambda: re.search(line, self.text) or self.process.poll() is not None, seconds=30)
        assert isinstance(found, re.Match), self.text
        return found

    @property
    def text(self):
        return self.log.read_text()

    def hears(self, state):
        """Wait until the service manager is told this."""
        until(lambda: self._read() and state in self.notified, seconds=30)

    def _read(self):
        try:
            while True:
                self.notified += self._manager.recv(4096).decode().split("\n")
        except BlockingIOError:
            return True

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self._read()
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._manager.close()


@pytest.fixture
def run(tmp_path):
    started = []

    def start(*arguments, **options):
        started.append(Process(tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for process in started:
        process.close()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_whole_life(run, tmp_path):
    """Ready without a broker, ready to work with one, reloaded, stopped."""
    graph = tmp_path / "graph.yaml"
    broker = Broker()
    graph.write_text(
        "metadata: {name: life, version: '1'}\n"
        f"endpoints: [{{name: plant, mqtt: {{host: 127.0.0.1, port: {broker.port}, reconnect: {{max: 1s}}}}}}]\n"
        "operations:\n"
        "  - {operationType: source, name: in, endpoint: plant, topics: [in]}\n"
        "  - {operationType: sink, name: out, endpoint: plant, topic: out}\n"
        "connections: [{from: {name: in}, to: {name: out}}]\n"
    )
    process = run(graph, "--metrics=127.0.0.1:0")
    process.hears("READY=1")
    process.hears("WATCHDOG=1")
    url = process.wait_for(r"metrics at (http://127.0.0.1:\d+)/metrics")[1]
    assert get(f"{url}/healthz") == (200, "ok\n")
    assert get(f"{url}/readyz") == (503, "graph 'life' waits for plant\n")

    with broker:
        process.wait_for(r"(?m)^ready$")
        assert get(f"{url}/readyz") == (200, "ok\n")
        assert 'flowrt_endpoint_connected{endpoint="plant",graph="life"} 1.0' in get(f"{url}/metrics")[1]

        graph.write_text(graph.read_text().replace("topics: [in]", "topic: [in]"))
        process.process.send_signal(signal.SIGHUP)
        process.hears("RELOADING=1")
        process.wait_for("unknown-field")
        assert get(f"{url}/readyz") == (200, "ok\n")

        graph.write_text(graph.read_text().replace("topic: [in]", "topics: [in]").replace("life", "second"))
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("second: ready")
        until(lambda: get(f"{url}/readyz") == (200, "ok\n"))
        assert 'flowrt_graph_ready{graph="second"} 1.0' in get(f"{url}/metrics")[1]

        assert process.end() == 0
    assert process.notified[-2:] == ["STOPPING=1", "STATUS=draining"]


@pytest.mark.parametrize(
    ("form", "ends"),
    [
        ("pump-anomaly", ()),
        ("pump-anomaly-guest", ()),
        ("pump-anomaly-short", ("source=mqtt://{}/plant/+/pump?qos=1", "sink=mqtt://{}/plant/skid/anomaly?qos=1")),
    ],
)
def test_every_form_of_the_example_shows_its_nodes_and_its_model(run, form, ends, promtool):
    with Broker() as broker:
        bound = [f"--bind={end.format(f'{broker.host}:{broker.port}')}" for end in ends]
        port = [] if ends else [f"--set=BROKER_PORT={broker.port}"]
        process = run(ROOT / f"graphs/{form}.yaml", "--metrics=127.0.0.1:0", *port, *bound)
        process.wait_for("(?m)^ready$")
        _, text = get(process.wait_for(r"metrics at (\S+)")[1])
        assert process.end() == 0
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    models = re.findall(r'flowrt_model_inference_seconds_count{graph="[^"]+",model="([^"]+)",node="([^"]+)"}', text)
    assert [node for _, node in models] == ["detector"]


def test_the_example_runs_where_no_memory_may_become_executable(run):
    """What MemoryDenyWriteExecute=yes does, by the kernel's own means."""
    library = ctypes.CDLL(None)
    if subprocess.run([sys.executable, "-c", REFUSE], check=False).returncode:
        pytest.skip("this kernel has no PR_SET_MDWE")
    with Broker() as broker:
        process = run(
            GRAPH,
            f"--set=BROKER_PORT={broker.port}",
            environment={"FLOWRT_INTERPRETER": "1"},
            before=lambda: library.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0),
        )
        process.wait_for("pump-anomaly: ready")
        assert process.end() == 0


REFUSE = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).prctl({PR_SET_MDWE}, {PR_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0))"


@pytest.mark.parametrize("address", ["9464", "localhost:http", "[::1:80"])
def test_a_wrong_address_is_wrong_usage(run, address):
    process = run(GRAPH, f"--metrics={address}")
    assert process.process.wait(30) == 2
    assert f"argument --metrics: '{address}'" in process.text or "is not a port" in process.text


def test_a_port_in_use_is_a_reason_not_to_start(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = run(GRAPH, f"--metrics=127.0.0.1:{taken.getsockname()[1]}")
        assert process.process.wait(30) == 3
    assert "Address already in use" in process.text
