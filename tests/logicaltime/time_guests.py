"""Small guests that keep time, in WebAssembly text."""

from __future__ import annotations

import wasmtime

_PRELUDE = """
  (memory (export "memory") 64)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 1048576)
"""
ROUND_UP = """
  (func (export "flowrt_delay") (param $in i32) (param $count i32) (result i32) (local $i i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count)) (then
        (i64.store (i32.mul (local.get $i) (i32.const 8))
          (i64.shl
            (i64.mul (i64.const {window})
              (i64.div_u
                (i64.add
                  (i64.shr_u (i64.add (i64.load (local.get $in)) (i64.const 1048575)) (i64.const 20))
                  (i64.const {less}))
                (i64.const {window})))
            (i64.const 20)))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (i32.const 0))
"""
"""A `delay`: every time becomes the next multiple of {window} milliseconds."""
BACK = '(func (export "flowrt_delay") (param $in i32) (param $count i32) (result i32) (i32.const 0))'
"""A `delay` that puts everything to the beginning of time."""
APPEND = """
  (func (export "flowrt_accumulate") (param $in i32) (param $count i32) (result i32) (local $i i32) (local $at i32)
    (local.set $at (i32.const 65536))
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $count)) (then
        {each}
        (memory.copy (local.get $at) (i32.load offset=8 (local.get $in)) (i32.load offset=12 (local.get $in)))
        (local.set $at (i32.add (local.get $at) (i32.load offset=12 (local.get $in))))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1))
    (i32.store (i32.const 1024) (i32.const 0))
    (i32.store (i32.const 1028) (i32.const 65536))
    (i32.store (i32.const 1032) (i32.sub (local.get $at) (i32.const 65536)))
    (i32.store (i32.const 1036) (i32.const 0))
    (i32.const 0))
"""
"""An `accumulate`: all payloads one after the other."""
TRAPS_AT_X = """
  (if (i32.and
        (i32.gt_u (local.get $i) (i32.const 0))
        (i32.eq (i32.load8_u (i32.load offset=8 (local.get $in))) (i32.const 120)))
    (then (unreachable)))
"""


def delaying(window_ms: int) -> bytes:
    return _made(ROUND_UP.format(window=window_ms, less=window_ms - 1))


def backwards() -> bytes:
    return _made(BACK)


def appending(each: str = "") -> bytes:
    return _made(APPEND.format(each=each))


def _made(body: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {_PRELUDE} {body})"))


COUNT = """
  (global $count (mut i32) (i32.const 0))
  (func (export "flowrt_map") (param $in i32) (param $rows i32) (result i32) (local $i i32) (local $at i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $rows)) (then
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.store8 (i32.add (i32.const 32768) (local.get $i)) (i32.add (i32.const 48) (global.get $count)))
        (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 16))))
        (i32.store (local.get $at) (local.get $i))
        (i32.store offset=4 (local.get $at) (i32.add (i32.const 32768) (local.get $i)))
        (i32.store offset=8 (local.get $at) (i32.const 1))
        (i32.store offset=12 (local.get $at) (i32.const 0))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (local.get $rows))
    (i32.const 0))
  (func (export "flowrt_save") (result i32)
    (i32.store (i32.const 16) (i32.const 24))
    (i32.store (i32.const 20) (i32.const 4))
    (i32.store (i32.const 24) (global.get $count))
    (i32.const 16))
  (func (export "flowrt_restore") (param $at i32) (param $size i32) (result i32)
    (global.set $count (i32.load (local.get $at)))
    (i32.const {verdict}))
"""
"""A `map` that numbers its messages from 1 on, and keeps how far it got."""


def counting(*, refuses: bool = False) -> bytes:
    return _made(COUNT.format(verdict=int(refuses)))
