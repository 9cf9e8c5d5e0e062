"""The systems that do the job: flowrt and its peers, each a command and what must be there for it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import DEVNULL, CalledProcessError, run

from benchmarks.broker import PORT, Broker, require_free
from benchmarks.load import check_verdict
from benchmarks.models.make_net import PATH as MODEL
from benchmarks.processes import BenchError, Process

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"
"""What is installed or generated for the bench; git ignores it."""
CACHE = BUILD / "cache"
"""Where flowrt keeps compiled code while it is measured."""
NODE_RED = "node-red@4"
NODE_RED_PORT = 18880


@dataclass(frozen=True)
class System:
    """One system under test."""

    name: str
    command: Sequence[str]
    verdicts: bool = True
    """Whether it computes verdicts, which are then checked before anything is measured."""
    filter: str = "in/#"
    """What it subscribes to."""
    says_ready: bool = False
    """Whether it writes a line `ready` once all its subscriptions stand."""
    ports: Mapping[int, str] = field(default_factory=dict)
    """Ports it needs beside the broker's."""
    env: Mapping[str, str] = field(default_factory=dict)

    def process(self) -> Process:
        for port, purpose in self.ports.items():
            require_free(port, purpose)
        return Process(self.name, self.command, self.env)


@contextmanager
def running(system: System, broker: Broker) -> Iterator[Process]:
    """The system on a fresh broker, subscribed and proven to compute what it should."""
    broker.restart()
    before = broker.subscriptions(system.filter)
    with system.process() as process:
        broker.wait_subscribed(system.filter, before, process)
        if system.says_ready:
            process.wait_line("ready")
        if system.verdicts:
            check_verdict(process)
        yield process


def flowrt(graph: Path, name: str = "flowrt", *, verdicts: bool = True, **more: object) -> System:
    """`flowrt run GRAPH`, with a compiled-code cache and a state folder of the bench's own."""
    return flowrt_of([graph], name, verdicts=verdicts, **more)


def flowrt_of(graphs: Sequence[Path], name: str = "flowrt", *, verdicts: bool = False, **more: object) -> System:
    """Several graphs in one process."""
    program = Path(sys.executable).with_name("flowrt")
    if not program.exists():
        raise BenchError(f"{program} is missing: install flowrt in this environment (make bench does)")
    options = [
        "--modules",
        str(BUILD / "modules"),
        "--modules",
        str(HERE.parent / "modules"),
        "--state",
        str(BUILD / "state"),
    ]
    command = [str(program), "run", *map(str, graphs), *options]
    return System(name, command, verdicts, says_ready=True, env={"XDG_CACHE_HOME": str(CACHE)}, **more)  # type: ignore[arg-type]


def pipeline(qos: int = 0) -> System:
    """The pipeline in flowrt, every default quota on."""
    return flowrt(HERE / ("pipeline-qos1.yaml" if qos else "pipeline.yaml"))


def unbounded() -> System:
    """The pipeline in flowrt with no quota at all: nothing is bounded, measured or charged (`unbounded.py`)."""
    system = flowrt(HERE / "pipeline.yaml", "flowrt without quotas")
    return replace(system, command=[sys.executable, "-m", "benchmarks.unbounded", *system.command[1:]])


def flowrt_echo() -> System:
    """Source to sink in flowrt."""
    return flowrt(HERE / "echo.yaml", "flowrt echo", verdicts=False)


def bare_echo(qos: int = 0) -> System:
    """The floor."""
    return System("bare echo", [sys.executable, str(HERE / "peers/echo.py"), str(PORT), str(qos)], verdicts=False)


def thirty_lines(qos: int = 0) -> System:
    """paho and ONNX Runtime without a sandbox."""
    command = [sys.executable, str(HERE / "peers/thirty_lines.py"), str(PORT), str(qos), str(MODEL)]
    return System("paho script", command)


def node_red(qos: int = 0) -> System:
    """Node-RED with the same job as a flow. Raises `BenchError` where there is no Node.js or no npm registry."""
    return node_red_with(f"node-red-qos{qos}", _flow(qos))


def node_red_with(name: str, flow: Sequence[Mapping[str, object]], *, verdicts: bool = True) -> System:
    """Node-RED with a flow of its own, kept in the folder `name`."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flows.json").write_text(json.dumps(flow))
    settings = HERE / "peers/nodered/settings.js"
    command = ["node", str(node_red_program()), "-u", str(folder), "-s", str(settings)]
    env = {"BENCH_NODERED_PORT": str(NODE_RED_PORT)}
    return System("Node-RED", command, verdicts, ports={NODE_RED_PORT: "Node-RED's editor"}, env=env)


def node_red_program() -> Path:
    program = BUILD / "node_modules/node-red/red.js"
    if not shutil.which("node"):
        raise BenchError("there is no Node.js here: apt install nodejs npm")
    if program.exists():
        return program
    if not shutil.which("npm"):
        raise BenchError("Node-RED is not installed and there is no npm to install it: apt install npm")
    print(f"installing {NODE_RED} into {BUILD} …", flush=True)
    try:
        run(["npm", "install", "--no-fund", "--no-audit", "--prefix", str(BUILD), NODE_RED], check=True, stdout=DEVNULL)
    except CalledProcessError as error:
        raise BenchError(f"npm could not install {NODE_RED} (status {error.returncode})") from None
    return program


def _flow(qos: int) -> list[Mapping[str, object]]:
    """One function node with the network, between the ends."""
    function = (HERE / "peers/nodered/network.js").read_text()
    network = {"id": "b-net", "type": "function", "z": "b-flow", "func": function, "outputs": 1, "wires": [["b-out"]]}
    return [*node_red_ends(str(qos), "b-net"), network]


def node_red_ends(level: str, first: str) -> list[Mapping[str, object]]:
    """MQTT in, JSON, and MQTT out, at a quality of service; object to text is MQTT out's own work. `first` is the node
    that the readings go to, `b-out` the one that results go to."""
    broker = {
        "id": "b-broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(PORT), "autoConnect": True,
        "usetls": False, "protocolVersion": "5", "keepalive": "60", "cleansession": True,
    }  # fmt: skip
    # A value that equals some node's id is taken for a reference to that node: hence ids that nothing else spells.
    return [
        {"id": "b-flow", "type": "tab", "label": "bench"},
        broker,
        {
            "id": "b-in", "type": "mqtt in", "z": "b-flow", "topic": "in/#", "qos": level, "datatype": "buffer",
            "broker": "b-broker", "wires": [["b-json"]],
        },
        {"id": "b-json", "type": "json", "z": "b-flow", "property": "payload", "action": "obj", "wires": [[first]]},
        {
            "id": "b-out", "type": "mqtt out", "z": "b-flow", "topic": "", "qos": level, "broker": "b-broker",
            "wires": [],
        },
    ]  # fmt: skip
