"""Guests that only the fault bench needs, from WebAssembly text."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

_ITERATIONS = 1_000_000
_SPIN = """
  (func $spin (export "spin") (param $n i32)
    (loop $again
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (i32.store (i32.const 64) (i32.mul (i32.load (i32.const 64)) (local.get $n)))
      (br_if $again (local.get $n))))
"""
_BUSY = """(module
  (memory (export "memory") 64)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 1048576)
  {spin}
  (func (export "flowrt_map") (param $in i32) (param $count i32) (result i32)
    (local $i i32) (local $at i32)
    (local.set $at (i32.const 1024))
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count)) (then
        (call $spin (i32.const {iterations}))
        (i32.store (local.get $at) (local.get $i))
        (i32.store offset=4 (local.get $at) (i32.load offset=8 (local.get $in)))
        (i32.store offset=8 (local.get $at) (i32.load offset=12 (local.get $in)))
        (i32.store offset=12 (local.get $at) (i32.const 0))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (local.get $count))
    (i32.const 0)))
"""
WINDOW_MS = 250
_ROUND = """(module
  (memory (export "memory") 64)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 1048576)
  (func (export "flowrt_delay") (param $in i32) (param $count i32) (result i32) (local $i i32) (local $ms i64)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count)) (then
        (local.set $ms (i64.shr_u (i64.load (local.get $in)) (i64.const 20)))
        (local.set $ms (i64.sub (i64.add (local.get $ms) (i64.const {window}))
          (i64.rem_u (local.get $ms) (i64.const {window}))))
        (i64.store (i32.mul (local.get $i) (i32.const 8)) (i64.shl (local.get $ms) (i64.const 20)))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (i32.const 0)))
"""
_JOIN = """(module
  (memory (export "memory") 64)
  (global $at (mut i32) (i32.const 0))
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 2097152)
  (func (export "flowrt_accumulate") (param $in i32) (param $count i32) (result i32)
    (global.set $at (i32.const 65536))
    (loop $next
      (memory.copy (global.get $at) (i32.load offset=8 (local.get $in)) (i32.load offset=12 (local.get $in)))
      (global.set $at (i32.add (global.get $at) (i32.load offset=12 (local.get $in))))
      (local.set $in (i32.add (local.get $in) (i32.const 24)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1))
    (i32.store (i32.const 1028) (i32.const 65536))
    (i32.store (i32.const 1032) (i32.sub (global.get $at) (i32.const 65536)))
    (i32.const 0)))
"""
BUSY_SECONDS = 0.002
"""What `busy` spends on a message: at 1000 messages a second twice what one core can do."""


def write_busy(folder: Path, seconds: float = BUSY_SECONDS) -> None:
    """`busy.wasm`: hands on what it gets after spinning for so long, calibrated here and now."""
    import wasmtime

    module = wasmtime.wat2wasm(f'(module (memory (export "memory") 1){_SPIN})')
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    spin = wasmtime.Instance(store, wasmtime.Module(engine, module), []).exports(store)["spin"]
    assert isinstance(spin, wasmtime.Func)
    quickest = min(_timed(lambda: spin(store, _ITERATIONS)) for _ in range(5))
    iterations = max(1, int(_ITERATIONS * seconds / quickest))
    folder.mkdir(parents=True, exist_ok=True)
    text = _BUSY.format(spin=_SPIN, iterations=iterations)
    (folder / "busy.wasm").write_bytes(bytes(wasmtime.wat2wasm(text)))


def write_windows(folder: Path) -> None:
    """`round.wasm` puts a message's time to the end of its window; `join.wasm` makes one message of a window's."""
    import wasmtime

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("round", _ROUND.format(window=WINDOW_MS)), ("join", _JOIN)):
        (folder / f"{name}.wasm").write_bytes(bytes(wasmtime.wat2wasm(text)))


def _timed(call: object) -> float:
    started = perf_counter()
    call()  # type: ignore[operator]
    return perf_counter() - started
