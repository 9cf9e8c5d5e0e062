"""What a crossing into a core-module guest costs: `python -m benchmarks.crossing`.

Prints microseconds, the best of several rounds: the engine's Python layer beside the unchecked call, and a whole
`CoreGuest.map` by batch size. Figures of one run stand in docs/decisions/003-unchecked-crossing.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import wasmtime

from flowrt.message import Batch, Head
from flowrt.quota.resources import Resources
from flowrt.wasm.engine import Engine, variant_of
from flowrt.wasm.factory import CoreGuestFactory
from flowrt.wasm.heads import NodeHeads
from flowrt.wasm.log import GuestLog

ROUNDS = 15
ADD = '(module (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
LOOP = """(module
  (memory (export "memory") 1)
  (func (export "flowrt_abi") (result i32) (i32.const 1))
  (func (export "flowrt_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "flowrt_filter") (param i32 i32) (result i32) (local $n i32) (local $h i32)
    (loop $again
      (local.set $h (i32.mul (i32.xor (local.get $h) (local.get $n)) (i32.const 16777619)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
    (i32.store8 (i32.const 8) (i32.and (local.get $h) (i32.const 1)))
    (i32.const 8)))"""
"""A filter that hashes a million numbers: what counting fuel and interpreting cost."""


def best(action: Callable[[], object], times: int) -> float:
    """Microseconds a call in the quickest round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            action()
        rounds.append(time.perf_counter() - began)
    return min(rounds) / times * 1e6


def batch(count: int, size: int = 100) -> Batch:
    heads = [Head("plant/1/pump")] * count
    return Batch(heads, [bytes(size)] * count, list(range(count)), [0.0] * count, range(count))


def factory(engine: Engine, code: bytes, resources: Resources) -> CoreGuestFactory:
    module = wasmtime.Module(engine.native(variant_of(resources)), code)
    log = GuestLog(lambda _event: None, "benchmark", "node", 0)
    return CoreGuestFactory(engine, module, resources, (), NodeHeads(), log, frozenset(), tuple)


def python_layer() -> None:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    instance = wasmtime.Instance(store, wasmtime.Module(engine, ADD), [])
    function = instance.exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    print(f"Func.__call__, two numbers in, one out       {best(lambda: function(store, 1, 2), 2000):8.2f}")


def guests(engine: Engine) -> None:
    code = (Path(__file__).parent.parent / "modules/passthrough/passthrough.wasm").read_bytes()
    make = factory(engine, code, Resources())
    guest = make()
    one = batch(1)
    guest.map(one)
    entry = guest._map
    assert entry is not None
    print(f"unchecked call of an empty map, with deadline {best(lambda: entry(guest._buffer_at, 0), 20_000):7.2f}")
    for count, size in ((1, 100), (8, 100), (64, 100), (256, 100), (64, 10_000)):
        rows = batch(count, size)
        cost = best(lambda rows=rows: guest.map(rows), 20_000 // count)  # type: ignore[misc]
        print(f"map, {count:3} of {size:6} bytes: a call {cost:8.2f}, a message {cost / count:6.3f}")
    guest.close()
    print(f"instantiate, init and close                   {best(lambda: make().close(), 50):7.1f}")


def loops() -> None:
    code = bytes(wasmtime.wat2wasm(LOOP))
    for name, interpreter, fuel in (
        ("compiled", False, None),
        ("with fuel", False, 10**9),
        ("interpreted", True, None),
    ):
        engine = Engine(interpreter=interpreter)
        guest = factory(engine, code, Resources(fuel=fuel))()
        one = batch(1)
        print(f"a million turns of a loop, {name:12}       {best(lambda: guest.decide('filter', one), 3):8.0f}")  # noqa: B023
        guest.close()
        engine.close()


def main() -> None:
    python_layer()
    engine = Engine()
    guests(engine)
    engine.close()
    loops()


if __name__ == "__main__":
    main()
