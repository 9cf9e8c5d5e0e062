"""Small guests in WebAssembly text, and batches to feed them."""

from __future__ import annotations

from collections.abc import Sequence

import wasmtime

from flowrt.message import Batch, Head
from flowrt.quota.resources import Resources
from flowrt.wasm.engine import Engine, variant_of
from flowrt.wasm.factory import CoreGuestFactory
from flowrt.wasm.guest import CoreGuest
from flowrt.wasm.heads import NodeHeads
from flowrt.wasm.log import GuestLog
from flowrt.wasm.tables import tables_of

TOPIC = Head("plant/1/pump", content_type="text/plain", properties=(("unit", "bar"), ("unit", "psi")))

PRELUDE = """
  (memory (export "memory") 4)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)
  ;; result at 0, output[] from 1024
  (func $out (param $n i32) (param $row i32) (param $payload i32) (param $size i32) (param $head i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $n) (i32.const 16))))
    (i32.store (local.get $at) (local.get $row))
    (i32.store offset=4 (local.get $at) (local.get $payload))
    (i32.store offset=8 (local.get $at) (local.get $size))
    (i32.store offset=12 (local.get $at) (local.get $head)))
  (func $result (param $count i32) (result i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (local.get $count))
    (i32.const 0))
"""
"""What every guest here has; `$out` writes an output, `$result` returns them."""

COPY = """
  (func (export "flowrt_map") (param $in i32) (param $count i32) (result i32)
    (local $i i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count)) (then
        (call $out (local.get $i) (local.get $i)
          (i32.load offset=8 (local.get $in)) (i32.load offset=12 (local.get $in)) (i32.const 0))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (call $result (local.get $count)))
"""
"""A `flowrt_map` that gives each message on as it is, its payload in place."""


def wasm(body: str = COPY, *, imports: str = "", prelude: str = PRELUDE) -> bytes:
    """The binary of a guest: imports come first, as the format wants."""
    return bytes(wasmtime.wat2wasm(f"(module {imports} {prelude} {body})"))


def map_once(body: str) -> str:
    """A `flowrt_map` whose body is `body`; it has the parameters $in and $count."""
    return f'(func (export "flowrt_map") (param $in i32) (param $count i32) (result i32) {body})'


def batch(*payloads: bytes, head: Head = TOPIC, heads: Sequence[Head] | None = None) -> Batch:
    count = len(payloads)
    return Batch(heads or [head] * count, list(payloads), list(range(count)), [0.0] * count, range(count))


class Maker:
    """Makes guests on one engine and closes them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[object] = []
        self.now = 0.0
        self._made: list[CoreGuest] = []

    def factory(
        self, code: bytes, *, properties=(), grants=(), extra=tuple, declared=(), meter=None, pool=None, **resources
    ) -> CoreGuestFactory:
        limits = Resources(**resources)
        log = GuestLog(self.events.append, "graph", "node", limits.log_lines, lambda: self.now)
        module = wasmtime.Module(self.engine.native(variant_of(limits)), code)
        heads = NodeHeads(declared)
        return CoreGuestFactory(
            self.engine, module, limits, properties, heads, log, frozenset(grants), extra,
            tables=tables_of(code, limits.memory), meter=meter, pool=pool,
        )  # fmt: skip

    def __call__(self, code: bytes, **options) -> CoreGuest:
        guest = self.factory(code, **options)()
        self._made.append(guest)
        return guest

    def logged(self) -> list[tuple[str, str]]:
        return [(event.severity, event.text) for event in self.events]

    def close(self) -> None:
        for guest in self._made:
            guest.close()
