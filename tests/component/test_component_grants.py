"""WASI for components: nothing that is not granted, and what a guest sees instead."""

import pytest
from component_guests import batch, core
from component_texts import with_wasi

from flowrt.counters import NodeCounters
from flowrt.errors import StartError
from flowrt.graph.plan import NodePlan
from flowrt.guests import component as guests
from flowrt.message import Head
from flowrt.operators.map import MapOperation
from flowrt.wasm.component.factory import component_factory
from flowrt.wasm.component.grants import Folder, Grants
from flowrt.wasm.inspect import inspect_module

IMPORTS = """
(import "wasi:clocks/wall-clock@0.2.0" (instance $wall
  (type $1 (record (field "seconds" u64) (field "nanoseconds" u32))) (export "datetime" (type $2 (eq $1)))
  (export "now" (func (result $2)))))
(import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
(import "wasi:cli/environment@0.2.0" (instance $environment
  (export "get-environment" (func (result (list (tuple string string)))))))
(import "wasi:filesystem/types@0.2.0" (instance $files (export "descriptor" (type (sub resource)))))
(alias export $files "descriptor" (type $descriptor))
(import "wasi:filesystem/preopens@0.2.0" (instance $preopens
  (alias outer 1 $descriptor (type $1)) (export "descriptor" (type $2 (eq $1)))
  (export "get-directories" (func (result (list (tuple (own $2) string)))))))
"""
LOWERED = f"""
(core func $now (canon lower (func $wall "now") (memory (core memory $memory "memory"))))
(core func $number (canon lower (func $random "get-random-u64")))
(core func $environ (canon lower (func $environment "get-environment") {guests._OPTIONS}))
(core func $folders (canon lower (func $preopens "get-directories") {guests._OPTIONS}))
"""
# The payload becomes four numbers: seconds, a random one, how many variables and folders there are.
BODY = """
(local.set $at (call $alloc (i32.const 64)))
(call $now (local.get $at))
(i64.store offset=8 (local.get $at) (call $number))
(call $environ (i32.add (local.get $at) (i32.const 32)))
(call $folders (i32.add (local.get $at) (i32.const 40)))
(i32.store offset=16 (local.get $at) (i32.load offset=36 (local.get $at)))
(i32.store offset=20 (local.get $at) (i32.load offset=44 (local.get $at)))
(i32.store offset=80 (local.get $model) (local.get $at))
(i32.store offset=84 (local.get $model) (i32.const 24))
(call $ok (local.get $model))
"""
CODE = with_wasi(
    core(
        {"map": BODY},
        imports="""(import "host" "now" (func $now (param i32))) (import "host" "number" (func $number (result i64)))
          (import "host" "environ" (func $environ (param i32)))
          (import "host" "folders" (func $folders (param i32)))""",
    ),
    IMPORTS,
    LOWERED,
    ["now", "number", "environ", "folders"],
)


@pytest.fixture
def seen(guest, tmp_path):
    """`seen(grants)`: seconds, random number, variables and folders that a component finds, and the calls denied."""
    path = tmp_path / "c.wasm"
    path.write_bytes(CODE)
    operation = MapOperation(operation_type="map", name="n", module="c.wasm")
    node = NodePlan("n", operation, ((),), 0, module=inspect_module(path))

    def see(grants=Grants()):  # noqa: B008 - frozen
        counters = NodeCounters()
        factory = component_factory(
            guest.engine, node, emit=guest.events.append, graph="g", metrics=guest.metrics, state=guest.state,
            grants=grants, counters=counters,
        )  # fmt: skip
        instance = factory()
        output = instance.map(batch(b"", head=Head("t")))
        instance.close()
        data = output.payloads[0]
        numbers = [int.from_bytes(data[start:end], "little") for start, end in ((0, 8), (8, 16), (16, 20), (20, 24))]
        return numbers, counters.denied

    return see


def test_without_grants_a_guest_learns_nothing(seen):
    (seconds, first, variables, folders), denied = seen()
    assert (seconds, variables, folders) == (0, 0, 0)
    assert denied == {"now": 1, "get-random-u64": 1, "get-environment": 1, "get-directories": 1}
    assert seen()[0][1] == first  # the same in every instance


def test_each_grant_by_its_name(seen, tmp_path):
    clock, _ = seen(Grants(frozenset({"clock"})))
    assert clock[0] > 1_700_000_000
    numbers = {seen(Grants(frozenset({"random"})))[0][1] for _ in range(3)}
    assert len(numbers) == 3
    granted = Grants(folders=(Folder(tmp_path, "/data"),), environment={"A": "1", "B": "2"})
    assert seen(granted)[0][2:] == [2, 1]


def test_a_folder_that_is_not_there(seen, tmp_path):
    with pytest.raises(StartError, match="gone that it is granted is not there"):
        seen(Grants(folders=(Folder(tmp_path / "gone", "/"),)))


def test_a_core_module_cannot_be_granted_what_only_components_can_have(tmp_path, capsys):
    from pathlib import Path

    from flowrt.cli.main import main

    path = tmp_path / "g.yaml"
    path.write_text("""\
metadata: {name: g, version: 1.0.0}
endpoints: [{name: f, file: {path: "-"}}]
operations:
  - {operationType: source, name: in, endpoint: f}
  - operationType: filter
    name: warm
    module: threshold
    grants: [clock, network]
    folders: [{path: data}]
  - {operationType: sink, name: out, endpoint: f}
connections: [{from: {name: in}, to: {name: warm}}, {from: {name: warm}, to: {name: out}}]
""")
    modules = Path(__file__).parents[2] / "modules"
    assert main(["check", str(path), "--modules", str(modules)]) == 1
    lines = [line.split(": ", 2)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines.count("component-grant") == 2
