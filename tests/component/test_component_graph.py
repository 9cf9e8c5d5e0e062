"""Whole graphs of components: what AIO's samples do, with operators of our own of the same behaviour."""

import json
import os
from pathlib import Path

import pytest
from component_guests import batch, component

from flowrt.cli import loading
from flowrt.graph.load import load
from flowrt.message import Head
from flowrt.metrics import Metrics
from flowrt.problem import has_errors
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.runtime.view import view
from flowrt.state.store import StateStore
from flowrt.testing import FakeEndpoints

ROOT = Path(__file__).parents[2]
AIO = ROOT / "modules" / "aio"
SHARED = Path(os.environ.get("FLOWRT_SHARED", ROOT.parent / "shared")) / "aio-conformance"

GRAPH = """\
metadata: {name: g, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: branch, name: module-temperature/branch, module: "azure-samples/explore/temperature:1.0.0"}
  - {operationType: map, name: module-temperature/map, module: "azure-samples/explore/temperature:1.0.0"}
  - {operationType: filter, name: module-temperature/filter, module: "azure-samples/explore/temperature:1.0.0"}
  - {operationType: map, name: enrich, module: otel-enrich}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
  - {operationType: sink, name: other, endpoint: plant, topic: other}
connections:
  - {from: {name: in}, to: {name: module-temperature/branch}}
  - {from: {name: module-temperature/branch, arm: "True"}, to: {name: module-temperature/map}}
  - {from: {name: module-temperature/branch, arm: "False"}, to: {name: other}}
  - {from: {name: module-temperature/map}, to: {name: module-temperature/filter}}
  - {from: {name: module-temperature/filter}, to: {name: enrich}}
  - {from: {name: enrich}, to: {name: out}}
moduleConfigurations:
  - name: module-temperature/filter
    parameters: {temperature_upper_bound: {name: temperature_upper_bound, default: "100"}}
  - name: enrich
    parameters: {enrichKeys: {name: enrichKeys, default: "site, missing"}}
"""


def run(tmp_path, text, batches, modules=AIO):
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    plan, problems = load(
        path,
        sets={},
        environ={},
        bindings={},
        modules_dirs=[modules],
        inspect_module=loading._inspect_module,
        inspect_model=loading._inspect_model,
        machine=loading.this_machine(),
    )
    assert not has_errors(problems), "\n".join(map(str, problems))
    ends = FakeEndpoints(batches)
    runtime = Runtime([plan], Surroundings([].append, tmp_path / "state", open_endpoints=ends.open))
    runtime.start()
    assert runtime.graphs[0].finished.wait(20)
    runtime.stop(10.0)
    return ends, runtime.graphs[0]


def reading(value, unit):
    return json.dumps({"temperature": {"value": value, "unit": unit}}).encode()


def test_a_graph_of_components(tmp_path):
    store = StateStore(tmp_path / "state" / "state-store.sqlite")
    store.set(b"site", b"north")
    store.close()
    sent = [reading(50, "F"), reading(20.5, "C"), b'{"humidity": 3}', reading(500, "F"), reading(1, "K"), b"no"]

    ends, graph = run(tmp_path, GRAPH, [sent])

    out = ends.sinks["out"].messages
    assert [json.loads(message.payload)["temperature"]["value"] for message in out] == [10, 20.5]
    assert {message.head.properties for message in out} == {(("otel/site", "north"),)}
    assert {message.head.topic for message in out} == {"sensors"}
    assert [message.payload for message in ends.sinks["other"].messages] == [b'{"humidity": 3}', b"no"]
    assert graph.nodes["module-temperature/filter"].counters.filtered == 1
    assert graph.nodes["module-temperature/map"].counters.faults == {"error": 1}
    assert ends.sources["in"].acknowledged == len(sent)


COUNTING = """(local.set $at (call $alloc (i32.const 16)))
  (call $count (i32.const 1024) (i32.const 7) (i32.const 0) (i64.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
    (local.get $at))
  (if (i32.eqz (i32.load offset=84 (local.get $model))) (then (unreachable)))
  (call $ok (local.get $model))"""


def test_a_trap_costs_one_message_and_guests_count_themselves(tmp_path):
    code = component(
        {"map": COUNTING},
        extra='(data (i32.const 1024) "widgets")',
        imports='(import "host" "add-to-counter" (func $count (param i32 i32 i32 i64 i32 i32 i32 i32)))',
    )
    (tmp_path / "counting.wasm").write_bytes(code)
    head = GRAPH.partition("  - {operationType: branch")[0]
    text = f"""{head}  - {{operationType: map, name: count, module: counting}}
  - {{operationType: sink, name: out, endpoint: plant, topic: out}}
connections: [{{from: {{name: in}}, to: {{name: count}}}}, {{from: {{name: count}}, to: {{name: out}}}}]
"""
    ends, graph = run(tmp_path, text, [[b"1", b"", b"3"]], tmp_path)
    assert [message.payload for message in ends.sinks["out"].messages] == [b"1", b"3"]
    assert graph.nodes["count"].counters.faults == {"trap": 1}
    exposed, _ = Metrics(lambda: [view(graph)]).exposition()
    assert b'widgets_total{graph="g",node="count"}' in exposed


@pytest.mark.skipif(not SHARED.exists(), reason="the sample tests are not here")
@pytest.mark.parametrize(
    ("module", "test", "given"),
    [
        ("temperature", "t01-simple-temp-conversion", "tests/t01-simple-temp-conversion/input"),
        ("opc-ua", "t04-opc-ua-basic-flatten", "tests/t04-opc-ua-basic-flatten/input"),
        ("opc-ua", "t05-opc-ua-missing-fields", "tests/t05-opc-ua-missing-fields/input"),
        ("otel-enrich", "t11-statestore-enrichment", "statestore-scenario/data"),
    ],
)
def test_the_official_samples_expectations(guest, module, test, given):
    for entry in json.loads((SHARED / "statestore-scenario" / "statestore.json").read_text()):
        for key, value in entry.items():
            guest.state.set(key.encode(), value.encode())
    (file,) = (SHARED / given).iterdir()
    expected = json.loads((SHARED / "tests" / test / "expected" / "expected.json").read_text())
    instance = guest((AIO / module / f"{module}.wasm").read_bytes(), properties=[("enrichKeys", "factoryId,machineId")])
    payload = file.read_bytes()
    output = instance.map(batch(payload, head=Head("sensors")))
    assert json.loads(output.payloads[0]) == json.loads(expected["payload"])
    wanted = expected.get("properties", {}).get("user-properties", {})
    assert dict(output.heads[0].properties if output.heads else ()) == wanted
