"""An inference engine's library of custom operators that runs riot in an isolated node, beside a healthy graph.

The library is compiled here from riot.c: its operator gives back its two numbers, unless the first one says otherwise.
"""

import os
import shutil
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from hostile_bench import Bench
from onnx import TensorProto, helper

from flowrt.events import NodeFaulted
from flowrt.isolation.confine import data_bytes
from flowrt.isolation.process import Child
from flowrt.testing import batch_of

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler; apt-get install gcc libc6-dev")

NODE = """{operationType: inference, name: node, model: {path: riot.onnx, customOperators: [{path: riot.so}]},
    onError: {crashes: 1}, resources: {isolation: process, memory: 96Mi, deadline: 100ms%s}}"""
QUOTA = 96 * 2**20
RIOT = {
    "a wild write": (1, "crash", "its process was ended by SIGSEGV"),
    "a fork bomb": (2, "deadline", "longer than"),
    "a thread bomb": (3, "crash", "threads"),
    "memory without end": (4, "crash", "its process was ended by SIGSEGV"),
    "an endless loop": (5, "deadline", "longer than"),
    "signals to who started it": (6, "crash", "its process ended with status 6"),
    "shared memory": (7, "crash", "its process ended with status 7"),
    "memory in a file": (8, "crash", "its process ended with status 8"),
    "memory by a trick": (9, "memory", "by a trick"),
    "files and memory of others": (10, "crash", "its process ended with status 10"),
}
"""What the first number of a message makes the operator do, and what becomes of the message."""
LEAVES_A_THREAD = 11


def row(what, number):
    return struct.pack("<2f", what, number)


def model():
    slots = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Riot", ["x"], ["y"], domain="riot")], "riot", slots[:1], slots[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("riot", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Compiles the library; with a number, it runs riot as soon as it is loaded."""
    folder = tmp_path_factory.mktemp("riot")

    def built(at_load=None):
        path = folder / f"riot-{at_load}.so"
        if not path.exists():
            defined = [] if at_load is None else [f"-DRIOT={at_load}"]
            source = Path(__file__).with_name("riot.c")
            command = [COMPILER, *defined, "-shared", "-fPIC", "-O1", "-o", path, source, "-lpthread"]
            subprocess.run(command, check=True)
        return path

    return built


@pytest.fixture
def riot(tmp_path, library):
    """The bench with model and library."""

    def made(at_load=None):
        (tmp_path / "riot.onnx").write_bytes(model())
        shutil.copy(library(at_load), tmp_path / "riot.so")
        return bench

    bench = Bench(tmp_path)
    yield made
    bench.close()


@pytest.fixture
def seen(monkeypatch):
    """What children held and how many threads they had, every time they were looked at."""
    found, looked = [], Child._count

    def look(child):
        if child.baseline:
            found.append((data_bytes(child.pid) - child.baseline, child._threads()))
        looked(child)

    monkeypatch.setattr(Child, "_count", look)
    return found


def test_every_riot_ends_its_own_process_and_nothing_else(riot, seen):
    """Each bad message is blamed for its process; those between them pass; the neighbour loses nothing."""
    sent = [[row(0, 0.5)]]
    for number, (what, _, _) in enumerate(RIOT.values()):
        sent += [[row(what, 0)], [row(0, number)]]
    before = os.getpriority(os.PRIO_PROCESS, 0)

    bench = riot()
    node = bench.run(NODE % "", sent=sent)

    passed = [message.payload for message in bench.ends["hostile"].sinks["out"].messages]
    assert passed == [row(0, 0.5), *(row(0, number) for number in range(len(RIOT)))]
    faults = [event for event in bench.events if isinstance(event, NodeFaulted)]
    assert {(event.graph, event.node) for event in faults} == {("hostile", "node")}
    for event, (_, kind, words) in zip(faults, RIOT.values(), strict=True):
        assert (event.kind, words in event.detail) == (kind, True), event
    kinds = [event.kind for event in faults]
    assert bench.dead() == [("hostile", "node", kind) for kind in reversed(kinds)]
    assert node.counters.faults == {kind: kinds.count(kind) for kind in set(kinds)}
    assert len(RIOT) <= node.counters.restarts <= 2 * len(RIOT)
    assert bench.ends["hostile"].sources["in"].acknowledged == len(sent)
    assert max(held for held, _ in seen) <= QUOTA * 1.1
    assert max(threads for _, threads in seen) < 5000
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    assert not Path("/tmp/flowrt-riot").exists()


def test_a_thread_that_it_leaves_behind_is_stopped_while_nobody_waits_for_the_node(riot):
    bench = riot()
    bench.build(NODE % ", cpu: 100m")
    node = bench.runtime.graphs[0].nodes["node"]

    assert node.operator.process(batch_of([row(LEAVES_A_THREAD, 1)])).ports[0].payloads == [row(LEAVES_A_THREAD, 1)]

    assert stopped(node.operator.pid)
    assert node.operator.process(batch_of([row(0, 2)])).ports[0].payloads == [row(0, 2)]
    assert stopped(node.operator.pid)


def stopped(pid):
    for _ in range(10_000):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return True
        threading.Event().wait(0.001)
    return False


GRAPH = """\
metadata: {name: g, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
models: [{name: m, path: riot.onnx, customOperators: [{path: riot.so}]}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: inference, name: node, model: m, resources: {isolation: process}}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: node}}
  - {from: {name: node}, to: {name: out}}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        (", resources: {isolation: process}", "", [(7, 5, "native-code")]),
        ("model: m,", "model: {path: riot.onnx, customOperators: [{path: riot.so}]},", []),
        ("path: riot.so}", "path: other.so}", [(4, 62, "bad-library")]),
        ("path: riot.so}", "path: riot.onnx}", [(4, 62, "bad-library")]),
        ("path: riot.so}", f"path: riot.so, sha256: {'0' * 64}}}", [(4, 79, "digest-mismatch")]),
        (
            "riot.so}]}]\noperations:",
            "other.so}]}]\noperations:\n  - {operationType: inference, name: unconnected, model: m}",
            [
                (4, 62, "bad-library"),
                (6, 5, "native-code"),
                (6, 38, "no-input"),
                (6, 38, "no-output"),
            ],
        ),
    ],
)
def test_check_says_what_is_wrong_with_a_library(riot, old, new, expected):
    bench = riot()

    _, problems = bench.load("g", GRAPH.replace(old, new))

    assert [(problem.line, problem.column, problem.code) for problem in problems] == expected
