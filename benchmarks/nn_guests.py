"""Guests that do one thing with a model again and again, so that what a door costs can be measured from outside."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper

from flowrt.graph.worlds import NN_NEWER
from flowrt.guests.nn import imports

CORE = """(module
  (import "wasi_ephemeral_nn" "load_by_name" (func $load (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 0) "m")
  (func (export "start") (param $size i32) (param i32) (result i32)
    (i32.store (i32.const 32) (i32.const 1)) (i32.store (i32.const 36) (i32.div_u (local.get $size) (i32.const 4)))
    (i32.store (i32.const 64) (i32.const 32)) (i32.store (i32.const 68) (i32.const 2))
    (i32.store (i32.const 72) (i32.const 1)) (i32.store (i32.const 76) (i32.const 4096))
    (i32.store (i32.const 80) (local.get $size))
    (i32.or (call $load (i32.const 0) (i32.const 1) (i32.const 16))
      (call $init (i32.load (i32.const 16)) (i32.const 20))))
  (func (export "go") (param $times i32) (param $size i32) (result i32)
    (local $wrong i32)
    (loop $again
      (local.set $wrong (i32.or (local.get $wrong) (i32.or
        (call $set (i32.load (i32.const 20)) (i32.const 0) (i32.const 64))
        (i32.or (call $compute (i32.load (i32.const 20)))
          (call $get (i32.load (i32.const 20)) (i32.const 0) (i32.const 2097152) (local.get $size) (i32.const 24))))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $wrong)))"""

_OPTIONS = '(memory (core memory $m "memory")) (realloc (core func $m "realloc"))'
COMPONENT = f"""(component {imports(NN_NEWER)}
(core module $Memory
  (memory (export "memory") 128) (data (i32.const 0) "m") (data (i32.const 8) "x")
  (global $top (mut i32) (i32.const 4194304))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "reset") (global.set $top (i32.const 4194304))))
(core instance $m (instantiate $Memory))
(core func $new (canon lower (func $nn-tensors "[constructor]tensor") {_OPTIONS}))
(core func $data (canon lower (func $nn-tensors "[method]tensor.data") {_OPTIONS}))
(core func $load (canon lower (func $nn-graphs "load-by-name") {_OPTIONS}))
(core func $init (canon lower (func $nn-graphs "[method]graph.init-execution-context") {_OPTIONS}))
(core func $compute (canon lower (func $nn-inference "[method]graph-execution-context.compute") {_OPTIONS}))
(core func $drop (canon resource.drop $nn-tensor))
(core instance $h (export "new" (func $new)) (export "data" (func $data)) (export "load" (func $load))
  (export "init" (func $init)) (export "compute" (func $compute)) (export "drop" (func $drop)))
(core module $Main
  (import "m" "memory" (memory 128)) (import "m" "reset" (func $reset))
  (import "h" "new" (func $new (param i32 i32 i32 i32 i32) (result i32)))
  (import "h" "data" (func $data (param i32 i32)))
  (import "h" "load" (func $load (param i32 i32 i32)))
  (import "h" "init" (func $init (param i32 i32)))
  (import "h" "compute" (func $compute (param i32 i32 i32 i32)))
  (import "h" "drop" (func $drop (param i32)))
  (func (export "go") (param $times i32) (param $size i32) (result i32)
    (local $tensor i32)
    (i32.store (i32.const 32) (i32.const 1)) (i32.store (i32.const 36) (i32.div_u (local.get $size) (i32.const 4)))
    (if (i32.eqz (i32.load (i32.const 128))) (then
      (call $load (i32.const 0) (i32.const 1) (i32.const 64))
      (call $init (i32.load (i32.const 68)) (i32.const 72))
      (i32.store (i32.const 128) (i32.const 1))))
    (loop $again
      (call $reset)
      (i32.store (i32.const 96) (i32.const 8)) (i32.store (i32.const 100) (i32.const 1))
      (i32.store (i32.const 104)
        (call $new (i32.const 32) (i32.const 2) (i32.const 1) (i32.const 4096) (local.get $size)))
      (call $compute (i32.load (i32.const 76)) (i32.const 96) (i32.const 1) (i32.const 112))
      (if (i32.load8_u (i32.const 112)) (then (unreachable)))
      (local.set $tensor (i32.load offset=8 (i32.load (i32.const 116))))
      (call $data (local.get $tensor) (i32.const 80))
      (call $drop (local.get $tensor))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i32.const 0)))
(core instance $main (instantiate $Main (with "h" (instance $h)) (with "m" (instance $m))))
(func $go (param "times" u32) (param "size" u32) (result u32) (canon lift (core func $main "go") {_OPTIONS}))
(instance $guest (export "go" (func $go)))
(export "bench:nn/guest" (instance $guest)))"""


def doubling(count: int) -> bytes:
    """y = x + x of f32[N, count]: an engine's least work."""
    return _model([helper.make_node("Add", ["x", "x"], ["y"])], count, count, {})


def dense(count: int, layers: int) -> bytes:
    """`layers` square matrices one behind the other: work without a call between."""
    random, nodes, weights, last = np.random.RandomState(1), [], {}, "x"
    for layer in range(layers):
        weights[f"w{layer}"] = (random.normal(size=(count, count)) / np.sqrt(count)).astype("f4")
        out = "y" if layer == layers - 1 else f"h{layer}"
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [out]))
        last = out
    return _model(nodes, count, count, weights)


def _model(nodes: list[Any], wide: int, narrow: int, weights: dict[str, Any]) -> bytes:
    f32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", f32, ["N", wide])],
        [helper.make_tensor_value_info("y", f32, ["N", narrow])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


Job = Callable[[], object]
