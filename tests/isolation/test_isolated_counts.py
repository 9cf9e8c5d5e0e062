"""What a node counts in a process of its own stands in the metrics as if it ran in a thread."""

import sys
from pathlib import Path

import pytest
import wasmtime

sys.path.insert(0, str(Path(__file__).parents[1] / "hostile"))
sys.path.insert(0, str(Path(__file__).parents[1] / "component"))
from component_guests import component
from hostile_bench import Bench
from test_component_host import COUNT, DATA, OBSERVE, counting
from test_hostile_nn import doubling

from flowrt.counters import ROWS, Histogram, ModelCounters, NodeCounters
from flowrt.isolation.counted import CALLS_MAX, Counted, believe
from flowrt.isolation.frame import BadFrame

ISOLATED = "resources: {isolation: process}"
MODELS = "\nmodels: [{name: m, path: m.onnx}]\n"
REFUSED = """(module
  (import "wasi_ephemeral_nn" "unload" (func $unload (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)
  (func (export "flowrt_filter") (param i32 i32) (result i32)
    (drop (call $unload (i32.const 77)))
    (drop (call $random (i32.const 0) (i32.const 8)))
    (i32.const 8)))"""
"""Two calls that are refused, for every batch."""


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


def test_refused_calls(bench):
    (bench.path / "refused.wasm").write_bytes(wasmtime.wat2wasm(REFUSED))
    (bench.path / "m.onnx").write_bytes(doubling())

    node = bench.run(f"{{operationType: filter, name: node, module: refused, {ISOLATED}}}", sent=[[b"a"]], extra=MODELS)

    assert node.counters.nn_refused == {"invalid-argument": 1}
    assert node.counters.denied == {"random_get": 1}


@pytest.mark.parametrize(
    ("imports", "body", "series", "expected"),
    [(COUNT, counting(1030, 7), "counter", 4), (OBSERVE, counting(1024, 6, 0x4004 << 48, "$observe"), "status", 5.0)],
    ids=["counter", "histogram"],
)
def test_a_guests_own_metrics(bench, imports, body, series, expected):
    (bench.path / "own.wasm").write_bytes(component({"filter": body}, extra=DATA, imports=imports))

    node = bench.run(f"{{operationType: filter, name: node, module: own, {ISOLATED}}}", sent=[[b"a", b"b"]])

    found = node.counters.own.series[series, ()]
    assert (found.sum if isinstance(found, Histogram) else found) == expected


def test_the_runs_of_a_model(bench):
    (bench.path / "m.onnx").write_bytes(doubling())
    model = f"{{operationType: inference, name: node, model: {{path: m.onnx}}, {ISOLATED}}}"

    bench.run(model, sent=[[bytes(12)] * 3])

    (seen,) = bench.runtime.views[0].models
    assert (seen.node, seen.model, seen.counters.rows.sum) == ("node", "node", 3)
    assert 0 < seen.counters.inference.count <= 3
    assert 'flowrt_model_batch_messages_sum{graph="hostile",model="node",node="node"} 3.0' in (
        bench.metrics.exposition()[0].decode()
    )


def test_what_is_told_twice_counts_once():
    here, there, runs = NodeCounters(), NodeCounters(), {"m": ModelCounters()}
    counted = Counted(there, runs)
    there.denied["x"] = 2
    for _ in range(2):
        believe(counted.tell(), here, {"m": ModelCounters()})
        counted.heard()
    there.denied["x"] = 3
    believe(counted.tell(), here, {})
    assert here.denied == {"x": 3}


@pytest.mark.parametrize(
    "entries",
    [7, [7], [["linesLeftOut", 0.5]], [["denied", "x"]], [["denied", "x", -1]], [["denied", "x", 0.5]],
     [["denied", "x\n{}", 1]],
     [["nnRefused", "made-up", 1]], [["model", "other", "rows", 1, 1]], [["model", "m", "rows", len(ROWS) + 1, 1]],
     [["model", "m", "rows", -2, 1]], [["ownCounter", "x", [["a"]], 1]], [["ownCounter", "x", [7], 1]],
     [["whatever", 1]], [[1]]],
)  # fmt: skip
def test_nonsense_is_not_believed(entries):
    with pytest.raises(BadFrame):
        believe(entries, NodeCounters(), {"m": ModelCounters()})


def test_names_that_are_made_up_do_not_become_series_without_end():
    counters = NodeCounters()
    believe([["denied", f"call-{number}", 1] for number in range(10_000)], counters, {})
    counters.own.series_max = 7
    believe([["ownCounter", f"mine_{number}", [], 1] for number in range(10_000)], counters, {})
    assert len(counters.denied) == CALLS_MAX
    assert (len(counters.own.series), counters.own.refused) == (7, 9993)
