"""Hostile nodes under a declared quota, each beside a source that never ends: what `neighbours.py` puts next to a
healthy graph. The same deeds are tests in tests/hostile, which count; here they go on for as long as a window lasts."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import wasmtime
from onnx import NodeProto, TensorProto, helper

SHAPES = {"pair": [2], "row": [1, 2]}
TESTS = Path(__file__).parents[1] / "tests"
ABI = """(memory (export "memory") 16) (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)"""
FILTER = '(func (export "flowrt_filter") (param $in i32) (param $count i32) (result i32) (local $i i32)'
MAP = FILTER.replace("filter", "map")
LOG = '(import "flowrt" "log" (func $log (param i32 i32 i32)))'
FAIL = '(import "flowrt" "fail" (func $fail (param i32 i32 i32)))'
SPIN = "(loop $forever (br $forever)) unreachable"
REST = "onError: {{policy: drop}}, resources: {{{resources}}}"
GUEST = f"operationType: {{kind}}, name: work, module: hostile.wasm, {REST}"
MODEL = f"operationType: inference, name: work, model: {{{{{{model}}}}}}, {REST}"


@dataclass(frozen=True)
class Hostile:
    """An operation, and what it needs beside the graph's file."""

    operation: str
    prepare: Callable[[Path], object]
    """Writes its module or model into that folder."""
    payload: bytes = b"12345678"
    """What it is given, again and again."""


def guest(body: str, resources: str, *, more: str = "", imports: str = "", export: str = FILTER) -> Hostile:
    """A core module whose filter, or map, is `body`."""
    text = f"(module {imports} {ABI} {more} {export} {body}))"
    kind = "map" if export is MAP else "filter"
    return Hostile(
        GUEST.format(kind=kind, resources=resources),
        lambda path: (path / "hostile.wasm").write_bytes(wasmtime.wat2wasm(text)),
    )


def sleeping() -> Hostile:
    """A component that waits with the engine for an hour."""

    def prepare(path: Path) -> None:
        sys.path.append(str(TESTS / "component"))
        from component_texts import sleeping as asleep

        sys.path.pop()
        (path / "hostile.wasm").write_bytes(asleep(milliseconds=3_600_000))

    return Hostile(GUEST.format(kind="map", resources="cpu: 250m, deadline: 1s"), prepare)


def model(nodes: Sequence[NodeProto], kind: int, domain: str = "") -> bytes:
    """An ONNX model of two numbers in and the same or one out."""
    slots = [helper.make_tensor_value_info(name, kind, [1, 2]) for name in ("x", "y")]
    constants = [helper.make_tensor(name, TensorProto.INT64, [len(to)], to) for name, to in SHAPES.items()]
    graph = helper.make_graph(nodes, "hostile", slots[:1], slots[1:], constants)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return made


def greedy() -> Hostile:
    """A model that makes a matrix of ones as large as its input says: 2 GB."""
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Reshape", ["x", "pair"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=one),
        helper.make_node("ReduceSum", ["ones"], ["total"], keepdims=0),
        helper.make_node("Expand", ["total", "row"], ["y"]),
    ]
    operation = MODEL.format(model="path: hostile.onnx", resources="isolation: process, cpu: 250m, memory: 256Mi")
    return Hostile(
        operation,
        lambda path: (path / "hostile.onnx").write_bytes(model(nodes, TensorProto.INT64)),
        struct.pack("<2q", 2**14, 2**14),
    )


def riot(what: int) -> Hostile:
    """An operator in native code, in a process of its own, which does this on every message: tests/hostile/riot.c."""

    def prepare(path: Path) -> None:
        nodes = [helper.make_node("Riot", ["x"], ["y"], domain="riot")]
        (path / "hostile.onnx").write_bytes(model(nodes, TensorProto.FLOAT, "riot"))
        library = path / "riot.so"
        if not library.exists():
            compiler = shutil.which("cc") or shutil.which("gcc") or "cc"
            source = TESTS / "hostile" / "riot.c"
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-lpthread"], check=True)

    uses = "path: hostile.onnx, customOperators: [{path: riot.so}]"
    resources = "isolation: process, cpu: 250m, memory: 96Mi, deadline: 100ms"
    return Hostile(MODEL.format(model=uses, resources=resources), prepare, struct.pack("<2f", what, 0))


HUNDREDFOLD = """
  (i32.store (i32.const 0) (i32.const 524288)) (i32.store (i32.const 4) (i32.mul (local.get $count) (i32.const 100)))
  (loop $next
    (i32.store offset=524288 (i32.mul (local.get $i) (i32.const 16)) (i32.div_u (local.get $i) (i32.const 100)))
    (i32.store offset=524292 (i32.mul (local.get $i) (i32.const 16)) (i32.const 131072))
    (i32.store offset=524296 (i32.mul (local.get $i) (i32.const 16)) (i32.const 80))
    (i32.store offset=524300 (i32.mul (local.get $i) (i32.const 16)) (i32.const 0))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.mul (local.get $count) (i32.const 100)))))
  (i32.const 0)"""
WORDS = """
  (loop $next
    (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
    (i32.store (i32.const 68)
      (i32.or (i32.and (i32.load (i32.const 64)) (i32.const 0x0f0f0f0f)) (i32.const 0x40404040)))
    (call $fail (local.get $i) (i32.const 68) (i32.const 4))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (local.get $count))))
  (i32.store (i32.const 4) (i32.const 0)) (i32.const 0)"""
TABLE = """(loop $more (br_if $more (i32.ge_s (table.grow $t (ref.null func) (i32.const 99)) (i32.const 0))))
  unreachable"""
KINDS = {
    "endless loop": guest(SPIN, "cpu: 250m, deadline: 1s"),
    "endless init": guest("i32.const 0", "cpu: 250m, deadline: 1s",
                          more=f'(func (export "flowrt_init") (param i32 i32) (result i32) {SPIN})'),
    "memory": guest("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
                    "cpu: 250m, memory: 64Mi"),
    "stack": guest("(call $deep)", "cpu: 250m",
                   more="(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))"),
    "tables": guest(TABLE, "cpu: 250m, memory: 1Mi", more="(table $t 1 funcref)"),
    "wild pointers": guest("(i32.const -4)", "cpu: 250m"),
    "traps": guest("unreachable", "cpu: 250m"),
    "outputs x 100": guest(HUNDREDFOLD, "cpu: 250m", export=MAP),
    "log lines": guest("(loop $l (call $log (i32.const 2) (i32.const 64) (i32.const 99)) (br $l)) unreachable",
                       "cpu: 250m, deadline: 1s", imports=LOG),
    "metric series": guest(WORDS, "cpu: 250m", imports=FAIL, export=MAP),
    "sleeps": sleeping(),
    "2 GB model": greedy(),
    "native crash": riot(1),
    "fork bomb": riot(2),
    "thread bomb": riot(3),
}  # fmt: skip
