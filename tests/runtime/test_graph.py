"""Whole graphs, from YAML through real guests and models, between ends that a test can look into."""

import threading
from pathlib import Path
from time import monotonic

import pytest
import wasmtime

from flowrt.cli import loading
from flowrt.delivery.deadletters import DeadLetters
from flowrt.delivery.spool.log import SpoolLog
from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.registry import spool_folder
from flowrt.errors import NodeFault
from flowrt.events import GraphStopped, SpoolLeft
from flowrt.graph.load import load
from flowrt.message import Head
from flowrt.problem import has_errors
from flowrt.runtime.node import Node
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.testing import FakeEndpoints, batch_of

MODULES = Path(__file__).parents[2] / "modules"

HEAD = """\
metadata: {name: g, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
"""
ODD = """
(module
  (memory (export "memory") 2)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 4096)
  (func (export "flowrt_branch") (param $at i32) (param $count i32) (result i32) (local $row i32)
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $row) (local.get $count)))
      (i32.store8 (local.get $row)
        (i32.and (i32.const 1)
          (i32.load offset=12 (i32.add (local.get $at) (i32.mul (local.get $row) (i32.const 24))))))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br $next)))
    i32.const 0))
"""
"""A branch: true for payloads of odd length."""
SOURCE = "{operationType: source, name: in, endpoint: plant, topics: [a/#]}"


def sink(name):
    return f"{{operationType: sink, name: {name}, endpoint: plant, topic: out/{name}}}"


class Bench:
    """Graphs of one test, run to the end of their sources."""

    def __init__(self, tmp_path):
        self.path = tmp_path
        self.events = []

    def start(self, text, batches, **options):
        path = self.path / "graph.yaml"
        path.write_text(HEAD + text)
        plan, problems = load(
            path,
            sets={},
            environ={},
            bindings={},
            modules_dirs=[MODULES, self.path],
            inspect_module=loading._inspect_module,
            inspect_model=loading._inspect_model,
            machine=loading.this_machine(),
        )
        assert not has_errors(problems), "\n".join(map(str, problems))
        ends = FakeEndpoints(batches, **options)
        around = Surroundings(self.events.append, self.path / "state", open_endpoints=ends.open)
        runtime = Runtime([plan], around)
        runtime.start()
        return ends, runtime

    def run(self, text, batches, drain=10.0, **options):
        ends, runtime = self.start(text, batches, **options)
        assert runtime.graphs[0].finished.wait(20)
        runtime.stop(drain)
        return ends, runtime.graphs[0]

    def dead(self):
        letters = DeadLetters(self.path / "state" / "dead-letters.sqlite")
        try:
            return [(letter.node, letter.kind, letter.message.payload) for letter in letters.list()]
        finally:
            letters.close()


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def payloads(sink):
    return [message.payload for message in sink.messages]


def test_spools_that_nobody_sends_are_told_at_the_start(bench):
    """Of a sink that was renamed, and of one that has none any more; not of one that has, or of another graph."""
    for graph, name in (("g", "before"), ("g", "none"), ("g", "out"), ("h", "before")):
        log = SpoolLog(spool_folder(bench.path / "state", graph, name))
        log.append([Head("plant/1")] * 2, [b"a", b"b"])
        log.close()
    SpoolLog(spool_folder(bench.path / "state", "g", "empty")).close()
    none = sink("none").replace("topic:", "spool: {enabled: false}, topic:")

    bench.run(
        f"operations: [{SOURCE}, {sink('out')}, {none}]\n"
        "connections: [{from: {name: in}, to: {name: out}}, {from: {name: in}, to: {name: none}}]\n",
        [[b"c"]],
    )

    left = [event for event in bench.events if isinstance(event, SpoolLeft)]
    assert left == [SpoolLeft("g", "before", 2), SpoolLeft("g", "none", 2)]


def test_messages_pass_a_guest_in_order_and_are_acknowledged(bench):
    text = f"""\
operations:
  - {SOURCE}
  - {{operationType: map, name: copy, module: passthrough}}
  - {sink("out")}
connections:
  - {{from: {{name: in}}, to: {{name: copy}}}}
  - {{from: {{name: copy}}, to: {{name: out}}}}
"""
    sent = [[b"%d" % (i * 10 + j) for j in range(10)] for i in range(100)]

    ends, graph = bench.run(text, sent)

    assert payloads(ends.sinks["out"]) == [payload for batch in sent for payload in batch]
    assert ends.sources["in"].acknowledged == 1000
    assert graph.nodes["copy"].counters.received == graph.nodes["copy"].counters.emitted == 1000


def test_a_branch_a_filter_and_a_merge_lose_and_double_nothing(bench):
    """Each reading takes one arm; what the filter drops is acknowledged as well."""
    (bench.path / "odd.wasm").write_bytes(wasmtime.wat2wasm(ODD))
    text = f"""\
operations:
  - {SOURCE}
  - {{operationType: branch, name: split, module: odd}}
  - {{operationType: filter, name: keep, module: threshold}}
  - {{operationType: concatenate, name: merge}}
  - {sink("out")}
  - {sink("all")}
connections:
  - {{from: {{name: in}}, to: {{name: split}}}}
  - {{from: {{name: in}}, to: {{name: all}}}}
  - {{from: {{name: split, arm: "True"}}, to: {{name: keep}}}}
  - {{from: {{name: split, arm: "False"}}, to: {{name: merge}}}}
  - {{from: {{name: keep}}, to: {{name: merge}}}}
  - {{from: {{name: merge}}, to: {{name: out}}}}
moduleConfigurations:
  - name: keep
    parameters: {{key: {{name: key, default: value}}, min: {{name: min, default: "5"}}}}
"""
    sent = [b'{"value": %d}' % i + b" " * (i % 2) for i in range(20)]

    ends, graph = bench.run(text, [sent])

    counters = graph.nodes["keep"].counters
    assert ends.sources["in"].acknowledged == 20
    assert sorted(payloads(ends.sinks["all"])) == sorted(sent)
    assert counters.received == counters.emitted + counters.filtered + sum(counters.faults.values())
    assert sorted(payloads(ends.sinks["out"])) == sorted(p for i, p in enumerate(sent) if len(p) % 2 == 0 or i >= 5)
    assert (counters.received, counters.filtered) == (10, 2)


def test_what_a_guest_refuses_is_a_dead_letter_and_the_rest_passes(bench):
    text = f"""\
operations:
  - {SOURCE}
  - {{operationType: map, name: parse, module: bench-parse}}
  - {sink("out")}
connections:
  - {{from: {{name: in}}, to: {{name: parse}}}}
  - {{from: {{name: parse}}, to: {{name: out}}}}
"""
    good = b'{"v":[' + b",".join(b"%d" % i for i in range(16)) + b"]}"

    ends, _ = bench.run(text, [[good, b"no json", good]])

    assert len(payloads(ends.sinks["out"])) == 2
    assert bench.dead() == [("parse", "error", b"no json")]
    assert ends.sources["in"].acknowledged == 3


def test_nothing_is_acknowledged_before_the_sink_has_confirmed(bench):
    text = f"""\
operations: [{SOURCE}, {sink("out")}]
connections: [{{from: {{name: in}}, to: {{name: out}}}}]
"""
    ends, _ = bench.run(text, [[b"a", b"b"]], at_once=False)

    assert payloads(ends.sinks["out"]) == [b"a", b"b"]
    assert ends.sources["in"].acknowledged == 0
    ends.sinks["out"].acknowledge()
    assert ends.sources["in"].acknowledged == 2


def test_a_graph_is_finished_when_all_that_came_of_its_sources_is_out(bench):
    """Not when the last line of a file is read: what a slow node has still to do would be cut off."""
    text = f"""\
operations:
  - {SOURCE}
  - {{operationType: map, name: copy, module: passthrough}}
  - {sink("out")}
connections:
  - {{from: {{name: in}}, to: {{name: copy}}}}
  - {{from: {{name: copy}}, to: {{name: out}}}}
"""
    ends, runtime = bench.start(text, [[b"a", b"b"]], at_once=False)
    out = ends.sinks["out"]
    assert runtime.graphs[0].finished.wait(20)
    out.wait_for(2)
    assert not runtime.finished()

    out.acknowledge()

    until = monotonic() + 10
    while not runtime.finished():
        assert monotonic() < until
    runtime.stop(10.0)


def test_a_graph_whose_thread_died_is_not_called_drained(bench, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    text = f"""\
operations:
  - {SOURCE}
  - {{operationType: map, name: copy, module: passthrough}}
  - {sink("out")}
connections:
  - {{from: {{name: in}}, to: {{name: copy}}}}
  - {{from: {{name: copy}}, to: {{name: out}}}}
"""
    monkeypatch.setattr(Node, "accept", lambda *_: 1 / 0)
    _, runtime = bench.start(text, [[b"a"]])
    until = monotonic() + 10
    while not runtime.finished():
        assert monotonic() < until

    runtime.stop(10.0)

    assert [event.drained for event in bench.events if isinstance(event, GraphStopped)] == [False]


def test_a_dead_letter_topic_that_is_away_holds_nobody_up(bench):
    """Copies for `onError.topic` wait beside the graph; the oldest give way, the letters are all kept."""
    text = f"""\
operations:
  - {SOURCE}
  - operationType: map
    name: parse
    module: bench-parse
    resources: {{inbox: 2}}
    onError: {{topic: dead}}
  - {sink("out")}
connections:
  - {{from: {{name: in}}, to: {{name: parse}}}}
  - {{from: {{name: parse}}, to: {{name: out}}}}
"""
    good = b'{"v":[' + b",".join(b"%d" % i for i in range(16)) + b"]}"

    bad = [b"%d" % i for i in range(9)]

    ends, graph = bench.run(text, [*([payload] for payload in bad), [good]], away=["parse onError"], drain=0.5)

    assert len(payloads(ends.sinks["out"])) == 1
    assert [payload for _, _, payload in bench.dead()] == bad[::-1]
    assert graph.nodes["parse"].counters.dropped["onErrorTopic"] > 0


def test_a_message_refused_while_its_graph_ends_is_kept_and_settled(bench):
    """A broker may refuse what was sent after the side inbox of `onError.topic` has closed."""
    text = f"""\
operations:
  - {SOURCE}
  - {{operationType: map, name: copy, module: passthrough, onError: {{topic: dead}}}}
  - {sink("out")}
connections:
  - {{from: {{name: in}}, to: {{name: copy}}}}
  - {{from: {{name: copy}}, to: {{name: out}}}}
"""
    _, runtime = bench.start(text, [[b"a"]])
    graph = runtime.graphs[0]
    assert graph.finished.wait(20)
    assert graph.stages[-1].finish(5)
    settled = []
    tracker = Tracker(settled.append)

    graph.nodes["copy"]._faults.refuse(batch_of([b"late"], tracker=tracker), NodeFault("send", "no"))
    runtime.stop(5.0)

    assert settled == [1]
    assert bench.dead() == [("copy", "send", b"late")]
    assert graph.nodes["copy"].counters.dropped == {"onErrorTopic": 1}
