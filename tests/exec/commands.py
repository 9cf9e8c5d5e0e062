"""Commands in WebAssembly text, and how they are run: as a process, as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flowrt.wasm.text import to_binary

WASI = """
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args-sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env-sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
"""
BASE = """
  (memory (export "memory") 4)
  (func $print (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $size))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
"""


def command(body: str, extra: str = "", imports: str = "") -> bytes:
    """A core module whose `_start` does this. Memory below 1024 is for scratch."""
    return bytes(to_binary(f'(module {WASI} {imports} {BASE} {extra} (func (export "_start") (local $n i32) {body}))'))


def component(body: str, name: str = "wasi:cli/run@0.2.3", imports: str = "") -> bytes:
    """A component whose `run` gives the result that this i32 is: 0 for ok, 1 for an error."""
    return bytes(
        to_binary(f"""(component {imports}
      (core module $m (func (export "run") (result i32) {body}))
      (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $r (export "run" (func $run)))
      (export "{name}" (instance $r)))""")
    )


class Done:
    """What a run ended with."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status, self.out, self.errors = done.returncode, done.stdout, done.stderr.decode(errors="surrogateescape")


def run(folder: Path, code: bytes, *options: str, stdin: bytes = b"") -> Done:
    path = folder / "guest.wasm"
    path.write_bytes(code)
    program = [sys.executable, "-m", "flowrt.cli.main", "exec", str(path), "--no-cache", *options]
    return Done(subprocess.run(program, input=stdin, capture_output=True, cwd=folder, timeout=60, check=False))
