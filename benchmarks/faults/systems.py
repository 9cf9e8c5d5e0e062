"""The systems under test: flowrt and Node-RED on the same work, the links of a row between them and the broker."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from benchmarks.faults.broker import INFLIGHT, FaultBroker, free_port
from benchmarks.faults.guests import write_busy, write_windows
from benchmarks.processes import BenchError, Process
from benchmarks.systems import node_red_program

REPOSITORY = Path(__file__).parents[2]
RECEIVE_MAXIMUM = INFLIGHT
"""Messages under way from the broker to a source, and from a sink to the broker: the most a fault can double."""
GRAPH = """
metadata: {{name: faults, version: "1.0.0"}}
endpoints:
  - {{name: in, {source}}}
  - {{name: out, {sink}}}
operations:
  - {{operationType: source, name: readings, endpoint: in, topics: [{topics}], qos: {qos}}}
  - {{operationType: map, name: work, module: {module}, resources: {{message: 400{resources}}}}}
{behind}  - {{operationType: sink, name: out, endpoint: out, topic: "{topic}", qos: {qos}{sink_more}}}
connections:
  - {{from: {{name: readings}}, to: {{name: work}}}}
{connections}"""
WINDOWS = (
    "{operationType: delay, name: round, module: round}",
    "{operationType: accumulate, name: window, module: join}",
)
"""Operations behind the map: what comes within `guests.WINDOW_MS` leaves as one message that holds all of it."""
COMMON = (
    f"keepAlive: 1s, connectTimeout: 1s, receiveMaximum: {RECEIVE_MAXIMUM}, maxInflight: {RECEIVE_MAXIMUM}, "
    "reconnect: {min: 100ms, max: 500ms}"
)


@dataclass(frozen=True)
class Where:
    """What flowrt reads from and writes to, as a graph says it."""

    source: str
    """The endpoint's kind and options."""
    sink: str
    topics: str = "in/#"
    topic: str = "out/{topic[1]}"


def over_mqtt(source: int, sink: int) -> Where:
    """Brokers at these ports."""
    ends = (f"mqtt: {{host: 127.0.0.1, port: {port}, clientId: faults, {COMMON}}}" for port in (source, sink))
    return Where(*ends)


@dataclass(frozen=True)
class Work:
    """What stands between source and sink, and how flowrt is started."""

    module: str = "passthrough"
    resources: str = ""
    sink: str = ""
    qos: int = 1
    """From end to end."""
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: str = ""
    """A shell's `ulimit` arguments for the process."""
    behind: Sequence[str] = ()
    """Further operations, one behind the other, behind the map."""
    ends: Literal["mqtt", "file", "kafka"] = "mqtt"
    """What is at both ends; all but `mqtt` in `others.py`."""
    busy: bool = False
    """Two milliseconds of work a message."""


PLAIN = Work()


class Flowrt:
    """`flowrt run` on a graph of one map."""

    name = "flowrt"

    def __init__(self, folder: Path, where: Where, work: Work) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.cache = folder / "cache"
        self.graph = folder / "faults.yaml"
        self._work = work
        self._where = where
        self.write_graph(work)
        program = Path(sys.executable).with_name("flowrt")
        if not program.exists():
            raise BenchError(f"{program} is missing: install flowrt in this environment")
        if work.busy:
            write_busy(folder / "modules")
        if work.behind:
            write_windows(folder / "modules")
        command = [
            str(program),
            "run",
            str(self.graph),
            "--state",
            str(self.state),
            "--modules",
            str(folder / "modules"),
        ]
        command += ["--modules", str(REPOSITORY / "modules"), *work.arguments]
        if work.limits:
            command = ["sh", "-c", f'ulimit {work.limits} && exec "$0" "$@"', *command]
        self.process = Process("flowrt", command, {"XDG_CACHE_HOME": str(self.cache), **work.env})

    def write_graph(self, work: Work) -> None:
        text = GRAPH.format(
            source=self._where.source, sink=self._where.sink, topics=json.dumps(self._where.topics),
            topic=self._where.topic, module="busy" if work.busy else work.module,
            resources=f", {work.resources}" if work.resources else "", sink_more=f", {work.sink}" if work.sink else "",
            behind="".join(f"  - {operation}\n" for operation in work.behind), connections=_connections(work),
            qos=work.qos,
        )  # fmt: skip
        self.graph.write_text(text)

    def start(self, timeout: float = 60.0) -> None:
        """Returns once every subscription is acknowledged."""
        self.process.start()
        self.process.wait_line("ready", timeout)

    def begin(self) -> None:
        """Start it, and do not wait."""
        self.process.start()

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def children(self) -> list[int]:
        """Processes of isolated nodes, whichever of its threads started them."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in threads for pid in children.read_text().split()]

    def letters(self) -> set[tuple[int, int]]:
        """What its dead-letter store holds."""
        found = [json.loads(payload) for payload, _ in self._rows()]
        return {(item["t"], item["n"]) for item in found}

    def letter_times(self) -> list[float]:
        """When each was kept, by the process's clock."""
        return [at for _, at in self._rows()]

    def _rows(self) -> list[tuple[bytes, float]]:
        path = self.state / "dead-letters.sqlite"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path)) as db, contextlib.suppress(sqlite3.Error):
            return db.execute("SELECT payload, at FROM letters").fetchall()
        return []

    def close(self) -> None:
        self.process.close()


def _connections(work: Work) -> str:
    """From the map over what is behind it to the sink."""
    names = ["work", *(operation.partition("name: ")[2].partition(",")[0] for operation in work.behind), "out"]
    return "".join(f"  - {{from: {{name: {one}}}, to: {{name: {other}}}}}\n" for one, other in pairwise(names))


class NodeRed:
    """The same as a flow: MQTT in, a function, MQTT out, its session kept by the broker."""

    name = "Node-RED"

    def __init__(self, folder: Path, source: int, sink: int, work: Work, broker: FaultBroker) -> None:
        self.folder = folder / "node-red"
        self.folder.mkdir()
        self._broker = broker
        (self.folder / "flows.json").write_text(json.dumps(_flow(source, sink, busy=work.busy)))
        settings = REPOSITORY / "benchmarks/peers/nodered/settings.js"
        command = ["node", str(node_red_program()), "-u", str(self.folder), "-s", str(settings)]
        self.process = Process("Node-RED", command, {"BENCH_NODERED_PORT": str(free_port())})

    def start(self, timeout: float = 60.0) -> None:
        before = self._subscriptions()
        self.process.start()
        from time import monotonic, sleep

        until = monotonic() + timeout
        while self._subscriptions() <= before:
            self.process.check()
            if monotonic() > until:
                raise BenchError("Node-RED did not subscribe")
            sleep(0.02)

    def begin(self) -> None:
        self.process.start()

    def reload(self) -> None:
        raise BenchError("Node-RED has no signal that reads its flow again")

    def children(self) -> list[int]:
        return []

    def letters(self) -> set[tuple[int, int]]:
        return set()

    def close(self) -> None:
        self.process.close()

    def _subscriptions(self) -> int:
        return sum(line.endswith(" in/#") for line in self._broker.output().splitlines())


System = Flowrt | NodeRed


def node_red_there() -> bool:
    """Whether this machine could run it."""
    return shutil.which("node") is not None and (shutil.which("npm") is not None or _installed())


def _installed() -> bool:
    return os.access(REPOSITORY / "build/bench/node_modules/node-red/red.js", os.R_OK)


def _flow(source: int, sink: int, *, busy: bool) -> list[dict[str, object]]:
    def broker(name: str, port: int) -> dict[str, object]:
        return {
            "id": f"f-{name}", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "autoConnect": True,
            "usetls": False, "protocolVersion": "5", "keepalive": "1", "cleansession": False,
            "clientid": f"faults-{name}", "sessionExpiry": "3600",
        }  # fmt: skip

    spin = "const until = Date.now() + 2; while (Date.now() < until) {}\n"
    function = (spin if busy else "") + 'msg.topic = msg.topic.replace("in/", "out/"); return msg;'
    return [
        {"id": "f-flow", "type": "tab", "label": "faults"},
        broker("source", source),
        broker("sink", sink),
        {
            "id": "f-in", "type": "mqtt in", "z": "f-flow", "topic": "in/#", "qos": "1", "datatype": "buffer",
            "broker": "f-source", "wires": [["f-work"]],
        },
        {
            "id": "f-work", "type": "function", "z": "f-flow", "func": function, "outputs": 1,
            "wires": [["f-out"]],
        },
        {"id": "f-out", "type": "mqtt out", "z": "f-flow", "topic": "", "qos": "1", "broker": "f-sink", "wires": []},
    ]  # fmt: skip
