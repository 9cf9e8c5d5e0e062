"""Graphs made for a measurement: chains of pass-through guests between a source and a sink."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import wasmtime

from benchmarks.broker import HOST, PORT
from benchmarks.systems import BUILD

FOLDER = BUILD / "graphs"
HEAD = """# Made by benchmarks/graphs.py
metadata: {{name: {name}, version: "1.0.0"}}
endpoints:
  - {{name: broker, mqtt: {{host: {host}, port: {port}, clientId: bench-{name}}}}}
operations:
  - {{operationType: source, name: in, endpoint: broker, topics: ["{filter}"], qos: 0}}
"""
GUEST = "  - {{operationType: map, name: hop{index}, module: passthrough}}\n"
BUSY = """
(module
  (memory (export "memory") 4)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)
  (func (export "flowrt_map") (param $in i32) (param $count i32) (result i32)
    (local $i i32) (local $n i32) (local $out i32)
    (local.set $out (i32.const 1024))
    (loop $next
      (local.set $n (i32.const {turns}))
      (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i32.store (local.get $out) (local.get $i))
      (i32.store offset=4 (local.get $out) (i32.load offset=8 (local.get $in)))
      (i32.store offset=8 (local.get $out) (i32.load offset=12 (local.get $in)))
      (i32.store offset=12 (local.get $out) (i32.const 0))
      (local.set $in (i32.add (local.get $in) (i32.const 24)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (local.get $count))
    (i32.const 0)))
"""
"""A guest that counts down so many turns for each message and gives it on."""
SINK = "  - {operationType: sink, name: out, endpoint: broker, topic: out/x, qos: 0}\nconnections:\n"
EDGE = "  - {{from: {{name: {source}}}, to: {{name: {target}}}}}\n"


def chain(length: int, name: str = "", topics: str = "in/#") -> Path:
    """Source, `length` pass-through guests, sink; the file it was written to."""
    name = name or f"chain-{length}"
    nodes: Sequence[str] = ["in", *(f"hop{index}" for index in range(length)), "out"]
    text = HEAD.format(name=name, host=HOST, port=PORT, filter=topics)
    text += "".join(GUEST.format(index=index) for index in range(length)) + SINK
    text += "".join(EDGE.format(source=a, target=b) for a, b in pairwise(nodes))
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.yaml"
    path.write_text(text)
    return path


def busy(turns: int) -> Path:
    """Source, one guest that computes for `turns` turns a message, sink."""
    folder = FOLDER / "busy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "busy.wasm").write_bytes(wasmtime.wat2wasm(BUSY.format(turns=turns)))
    path = folder / "busy.yaml"
    path.write_text(chain(1).read_text().replace("passthrough", "busy.wasm"))
    return path


def several(count: int) -> list[Path]:
    """`count` graphs of one guest each, the k-th on topics in/gK/#."""
    return [chain(1, f"graph-{index}", f"in/g{index}/#") for index in range(count)]
