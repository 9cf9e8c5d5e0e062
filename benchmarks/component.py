"""What a call of an operator component costs, beside the engine's own Python layer: `python -m benchmarks.component`.

Prints microseconds a message, the best of several rounds taken in turns: the same component, message (a topic, a
content type, a user property) and settings; `ComponentGuest.map` against `Func.__call__` with Python objects. The guest
gives the payload back as it got it, or reads it and gives it back as bytes. Figures of one run stand in
docs/decisions/030-components.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import wasmtime
from wasmtime import component as native

from flowrt.counters import OwnMetrics
from flowrt.guests.component import componentize
from flowrt.message import Batch, Head
from flowrt.quota.resources import Resources
from flowrt.state.store import StateStore
from flowrt.wasm.cache import compile_component
from flowrt.wasm.component.factory import ComponentGuestFactory
from flowrt.wasm.engine import Engine
from flowrt.wasm.log import GuestLog
from flowrt.wasm.text import to_binary

SIZES = (100, 200, 1000, 10_000, 600_000)
ROUNDS = 5
BATCH = 32
BUDGET = 0.2
"""Seconds of one measurement in a round."""
READ = """
  (if (i32.eqz (i32.load8_u offset=76 (local.get $model))) (then
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 8)))
    (call $read (i32.load offset=80 (local.get $model)) (local.get $at))
    (call $drop (i32.load offset=80 (local.get $model)))
    (i32.store8 offset=76 (local.get $model) (i32.const 1))
    (i32.store offset=80 (local.get $model) (i32.load (local.get $at)))
    (i32.store offset=84 (local.get $model) (i32.load offset=4 (local.get $at)))))"""
CORE = """(module
  (import "env" "memory" (memory 2))
  (import "env" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "host" "buffer-read" (func $read (param i32 i32)))
  (import "host" "buffer-drop" (func $drop (param i32)))
  (func (export "map-init") (param i32 i32 i32 i32) (result i32) (i32.const 1))
  (func (export "map-process") (param $model i32) (result i32) (local $at i32)
    {body}
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 136)))
    (i32.store8 (local.get $at) (i32.const 0))
    (memory.copy (i32.add (local.get $at) (i32.const 8)) (local.get $model) (i32.const 128))
    (local.get $at)))"""


def ours(engine: Engine, code: bytes) -> Callable[[bytes], Callable[[], object]]:
    """Runs a batch of one payload."""
    made = compile_component(engine, code)
    log = GuestLog(lambda _event: None, "benchmark", "node", 0)
    resources = Resources.model_validate({"memory": "256Mi", "deadline": "60s"})
    guest = ComponentGuestFactory(engine, made, "map", resources, (), log, OwnMetrics(), StateStore())()
    head = Head("plant/1/pump", "application/json", (("unit", "bar"),))

    def prepared(payload: bytes) -> Callable[[], object]:
        batch = Batch([head] * BATCH, [payload] * BATCH, list(range(BATCH)), [0.0] * BATCH, range(BATCH))
        assert guest.map(batch).payloads == [payload] * BATCH
        return lambda: guest.map(batch)

    return prepared


def stock(code: bytes) -> Callable[[bytes], Callable[[], object]]:
    """Runs one message through the Python layer."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(1 << 40)
    linker = native.Linker(engine)
    with linker.root() as root, root.add_instance("wasm-graph:processor/types@1.1.0") as types:
        types.add_resource("buffer", native.ResourceType.host(1), lambda _store, _number: None)
        types.add_func("[method]buffer.read", lambda _store, _buffer: b"")
    instance = linker.instantiate(store, native.Component(engine, code))
    index = instance.get_export_index(store, "wasm-graph:processor/map@1.1.0")
    process = instance.get_func(store, instance.get_export_index(store, "process", index))
    assert process is not None

    def prepared(payload: bytes) -> Callable[[], object]:
        timestamp = record(timestamp=record(secs=1, nanos=0), counter=0, node_id="flowrt")
        message = record(
            timestamp=timestamp, topic=b"plant/1/pump", content_type="application/json", payload=payload,
            properties=record(user_properties=[("unit", "bar")]), schema=None,
        )  # fmt: skip
        model = native.Variant("message", message)
        assert process(store, model).payload.payload == payload
        return lambda: process(store, model)

    return prepared


def record(**fields: Any) -> native.Record:
    made = native.Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


def seconds(action: Callable[[], object]) -> float:
    """Seconds a call, over as many calls as the budget allows."""
    calls, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < BUDGET:
        action()
        calls += 1
    return spent / calls


def measured(size: int, rounds: int) -> list[tuple[float, float, float]]:
    """Microseconds a message in each round: unread, read, and read through the Python layer."""
    engine = Engine()
    reading, silent = (componentize(to_binary(CORE.format(body=body))) for body in (READ, ""))
    try:
        actions = [side(b"x" * size) for side in (ours(engine, silent), ours(engine, reading), stock(reading))]
        found = []
        for _ in range(rounds):
            unread, read, theirs = map(seconds, actions)
            found.append((unread / BATCH * 1e6, read / BATCH * 1e6, theirs * 1e6))
        return found
    finally:
        engine.close()


def main() -> int:
    print(f"{'payload':>10}  {'unread':>10}  {'read':>10}  {'stock':>10}  {'ratio, read':>12}")
    for size in SIZES:
        unread, read, theirs = map(min, zip(*measured(size, ROUNDS), strict=True))
        print(f"{size:>10,}  {unread:>10.1f}  {read:>10.1f}  {theirs:>10.1f}  {theirs / read:>11.1f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
