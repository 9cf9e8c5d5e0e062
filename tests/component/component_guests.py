"""Small operator components: core modules in text, made into components as our own are."""

from __future__ import annotations

from flowrt.counters import NodeCounters, OwnMetrics
from flowrt.guests.component import componentize
from flowrt.message import Batch, Head
from flowrt.quota.resources import Resources
from flowrt.state.store import StateStore
from flowrt.wasm.cache import CodeCache, compile_component
from flowrt.wasm.component.factory import ComponentGuestFactory
from flowrt.wasm.engine import Engine, variant_of
from flowrt.wasm.log import GuestLog
from flowrt.wasm.text import to_binary

TIME = 1_700_000_000_123 << 20 | 7
HEAD = Head("plant/1/pump", "application/json", (("unit", "bar"), ("site", "北")), schema="aio-sr://ns/pump:1")

PRELUDE = """
  (import "env" "memory" (memory 2))
  (import "env" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "host" "buffer-read" (func $read (param i32 i32)))
  (import "host" "buffer-drop" (func $drop (param i32)))
  (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
"""
BASE = """
  (func $alloc (param $size i32) (result i32)
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $size)))
  (func $ok (param $model i32) (result i32) (local $at i32)
    (local.set $at (call $alloc (i32.const 136)))
    (i32.store8 (local.get $at) (i32.const 0))
    (memory.copy (i32.add (local.get $at) (i32.const 8)) (local.get $model) (i32.const 128))
    (local.get $at))
  (func $fail (param $text i32) (param $size i32) (result i32) (local $at i32)
    (local.set $at (call $alloc (i32.const 136)))
    (i32.store8 (local.get $at) (i32.const 1))
    (i32.store offset=8 (local.get $at) (local.get $text))
    (i32.store offset=12 (local.get $at) (local.get $size))
    (local.get $at))
  (func $verdict (param $yes i32) (result i32) (local $at i32)
    (local.set $at (call $alloc (i32.const 12)))
    (i32.store8 (local.get $at) (i32.const 0))
    (i32.store8 offset=4 (local.get $at) (local.get $yes))
    (local.get $at))
  (func $read-payload (param $model i32) (local $at i32)
    (if (i32.eqz (i32.load8_u offset=76 (local.get $model))) (then
      (local.set $at (call $alloc (i32.const 8)))
      (call $read (i32.load offset=80 (local.get $model)) (local.get $at))
      (call $drop (i32.load offset=80 (local.get $model)))
      (i32.store8 offset=76 (local.get $model) (i32.const 1))
      (i32.store offset=80 (local.get $model) (i32.load (local.get $at)))
      (i32.store offset=84 (local.get $model) (i32.load offset=4 (local.get $at))))))
"""
"""The `data-model` of a message: topic at 48 (form, address, size), payload at 76, user properties at 88."""
ACCEPT = "(i32.const 1)"


def core(bodies: dict[str, str], init: str = ACCEPT, extra: str = "", imports: str = "") -> bytes:
    """A core module with a body for each operator; `$model` (and for a branch `$clock`) are addresses."""
    functions = []
    for kind, body in bodies.items():
        clock = "(param $clock i32)" if kind == "branch" else "(param $model i32)"
        model = "(local $model i32)" if kind == "branch" else ""
        start = "(local.set $model (i32.add (local.get $clock) (i32.const 32)))" if kind == "branch" else ""
        functions.append(
            f'(func (export "{kind}-init") (param $properties i32) (param $count i32) (param i32 i32) (result i32)'
            f" {init})"
            f'(func (export "{kind}-process") {clock} (result i32) {model} (local $at i32) {start} {body})'
        )
    return to_binary(f"(module {PRELUDE} {imports} {BASE} {extra} {''.join(functions)})")


def component(bodies: dict[str, str], **options: str) -> bytes:
    return componentize(core(bodies, **options))


ECHO = "(call $ok (local.get $model))"
READ = "(call $read-payload (local.get $model)) (call $ok (local.get $model))"


class Maker:
    """`maker(code)` makes an instance; `events`, `metrics` and `state` are those of its node."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[object] = []
        self.metrics = OwnMetrics()
        self.state = StateStore()
        self.counters = NodeCounters()
        self.cache: CodeCache | None = None
        """Of compiled code; None compiles each time."""
        self._made: list[object] = []

    def factory(self, code, kind="map", properties=(), pool=None, schemas=(), **resources):
        quota = Resources.model_validate(resources)
        made = compile_component(self.engine, code, self.cache, variant_of(quota))
        log = GuestLog(self.events.append, "g", "n", 100)
        return ComponentGuestFactory(
            self.engine, made, kind, quota, properties, log, self.metrics, self.state, schemas, pool=pool,
            counters=self.counters,
        )  # fmt: skip

    def __call__(self, code, kind="map", properties=(), **options):
        guest = self.factory(code, kind, properties, **options)()
        self._made.append(guest)
        return guest

    def texts(self):
        return [(event.severity, event.text) for event in self.events]

    def close(self):
        for guest in self._made:
            guest.close()


def batch(*payloads: bytes, head: Head = HEAD) -> Batch:
    count = len(payloads)
    return Batch([head] * count, list(payloads), [TIME] * count, [0.0] * count, range(count))
