"""A real guest that drives a model through `wasi_ephemeral_nn`, in the runtime's own instance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import wasmtime
from nn_models import double, use

from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.registry import Models
from flowrt.wasm.crossing import Crossing, Limits
from flowrt.wasm.engine import Engine

GUEST = """
(module
  (import "wasi_ephemeral_nn" "load_by_name" (func $load (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "m")
  (data (i32.const 128) "\\01\\00\\00\\00\\03\\00\\00\\00")  ;; the dimensions, 1 and 3
  (data (i32.const 144) "\\80\\00\\00\\00\\02\\00\\00\\00\\01\\aa\\bb\\cc\\00\\01\\00\\00\\0c\\00\\00\\00")
  (data (i32.const 256) "\\00\\00\\80\\3f\\00\\00\\00\\40\\00\\00\\40\\40")  ;; 1, 2, 3
  (func (export "start") (result i32)
    (i32.add (call $load (i32.const 64) (i32.const 1) (i32.const 16))
             (call $init (i32.load (i32.const 16)) (i32.const 20))))
  (func (export "run") (param $tensor i32) (result i32)
    (local $errno i32)
    (local.set $errno (call $set (i32.load (i32.const 20)) (i32.const 0) (local.get $tensor)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (drop (call $compute (i32.load (i32.const 20))))
    (call $get (i32.load (i32.const 20)) (i32.const 0) (i32.const 512) (i32.const 64) (i32.const 24))))
"""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[NodeDoor]:
    models = Models()
    door = NodeDoor(models, [use(tmp_path, double())], memory=1 << 20, report=lambda _: None)
    door.warm_up()
    yield door
    door.close()
    assert len(models) == 0


@pytest.fixture
def instance(door: NodeDoor) -> Iterator[Crossing]:
    engine = Engine()
    module = wasmtime.Module(engine.native(), GUEST)
    crossing = Crossing(engine, module, door.core(), Limits(memory=1 << 20, deadline=10))
    yield crossing
    crossing.close()
    engine.close()


def test_a_guest_loads_runs_and_reads(instance: Crossing) -> None:
    start, run = instance.bind("start", 0, 1), instance.bind("run", 1, 1)
    assert start is not None
    assert run is not None
    assert start() == 0
    assert run(144) == 0
    assert instance.memory.read(24, 4) == (12).to_bytes(4, "little")
    assert instance.memory.read(512, 12) == np.array([2, 4, 6], "<f4").tobytes()


def test_a_wild_pointer_is_the_guests_own_problem(instance: Crossing) -> None:
    start, run = instance.bind("start", 0, 1), instance.bind("run", 1, 1)
    assert start is not None
    assert run is not None
    assert start() == 0
    assert run(0xFFFF_FFF0) == 1
    assert run(144) == 0
