"""`flowrt profile`: samples of a guest's own functions, and what is made of them."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
import wasmtime

from flowrt.wasm import flames

SPINS = """
(module
  (memory (export "memory") 2)
  (func (export "flowrt_abi") (result i32) (i32.const 1))
  (func (export "flowrt_buffer") (param i32) (result i32) (i32.const 1024))
  (func $costly (param $n i32) (result i32) (local $x i32)
    (loop $again
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (local.get $x))
  (func $cheap (param $n i32) (result i32) (local $x i32)
    (loop $again
      (local.set $x (i32.xor (i32.mul (local.get $x) (i32.const 22695477)) (local.get $n)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (local.get $x))
  (func $decide (export "flowrt_filter") (param i32 i32) (result i32)
    (drop (call $costly (i32.const 900000)))
    (drop (call $cheap (i32.const 100000)))
    (i32.const 65536)))
"""
GRAPH = """
metadata: {name: spins}
endpoints: [{name: bus, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: bus, topics: ["a/+"]}
  - {operationType: filter, name: judge, module: spins}
  - {operationType: sink, name: out, endpoint: bus, topic: b}
connections:
  - {from: {name: in}, to: {name: judge}}
  - {from: {name: judge}, to: {name: out}}
"""


@pytest.fixture
def profile(tmp_path):
    (tmp_path / "spins.wasm").write_bytes(wasmtime.wat2wasm(SPINS))
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "in.jsonl").write_text('{"a": 1}\n{"a": 2}\n')

    def call(guest):
        command = [sys.executable, "-m", "flowrt.cli.main", "profile", "graph.yaml", "--guest", guest, "--modules", "."]
        more = ["--input", "in.jsonl", "--seconds", "0.5", "--output", "found"]
        return subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return call


def test_the_function_that_takes_most_of_the_time_is_found(profile, tmp_path):
    done = profile("judge")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[2] == "costly"
    share = dict(flames.own_share(flames.stacks((tmp_path / "found.json").read_bytes())))
    assert share["costly"] > 2 * share.get("cheap", 0)
    assert "decide;costly " in (tmp_path / "found.folded").read_text()
    drawn = ET.parse(tmp_path / "found.svg").getroot()
    assert any("costly" in "".join(one.itertext()) for one in drawn)


def test_a_node_that_is_not_there_is_named(profile):
    done = profile("judges")
    assert done.returncode == 3
    assert "no operation is named 'judges'; with a module there is judge" in done.stderr


def test_stacks_are_read_from_the_profile():
    thread = {
        "stringArray": ["outer", "inner"],
        "funcTable": {"name": [0, 1]},
        "frameTable": {"func": [0, 1]},
        "stackTable": {"frame": [0, 1], "prefix": [None, 0]},
        "samples": {"stack": [0, 1, 1, None]},
    }
    weights = flames.stacks(json.dumps({"threads": [thread]}).encode())
    assert weights == {("outer",): 1, ("outer", "inner"): 2}
    assert flames.folded(weights) == "outer 1\nouter;inner 2\n"
    assert flames.own_share(weights) == [("inner", 2 / 3), ("outer", 1 / 3)]


def test_a_drawing_survives_any_name_and_any_depth():
    weights = {tuple(f'<&"{level}>' for level in range(flames.DEPTH_MAX)): 3, ("x" * 5000,): 1}
    assert ET.fromstring(flames.svg(weights, "a & b")) is not None
