"""A command that talks to a language model as WasmEdge's guests do: by name with options, piece by piece."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import command, run

pytestmark = pytest.mark.skipif(
    find_spec("llama_cpp") is None or find_spec("gguf") is None, reason="llama.cpp is not installed: make test-ggml"
)

IMPORTS = """
  (import "wasi_ephemeral_nn" "load_by_name_with_config" (func $load (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute_single" (func $next (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "fini_single" (func $fini (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output_single" (func $piece (param i32 i32 i32 i32 i32) (result i32)))"""
OPTIONS = '{"n-predict":8,"temp":0,"ctx-size":64}'
TABLES = f"""
  (data (i32.const 512) "default") (data (i32.const 528) "\\01\\00\\00\\00")
  (data (i32.const 544) "Once") (data (i32.const 1024) "{OPTIONS.replace('"', chr(92) + '"')}")
  (data (i32.const 560) "\\10\\02\\00\\00\\01\\00\\00\\00\\03\\42\\10\\00\\20\\02\\00\\00\\04\\00\\00\\00")"""
"""The prompt's dimensions are [1], and rubbish stands beside its type, as in published guests."""
TALK = f"""
  (local.set $n (call $load (i32.const 512) (i32.const 7) (i32.const 1024) (i32.const {len(OPTIONS)}) (i32.const 600)))
  (if (local.get $n) (then (call $exit (local.get $n))))
  (drop (call $init (i32.load (i32.const 600)) (i32.const 604)))
  (local.set $n (call $set (i32.load (i32.const 604)) (i32.const 0) (i32.const 560)))
  (if (local.get $n) (then (call $exit (local.get $n))))
  (local.set $n (call $compute (i32.load (i32.const 604))))
  (if (local.get $n) (then (call $exit (local.get $n))))
  (drop (call $get (i32.load (i32.const 604)) (i32.const 0) (i32.const 4096) (i32.const 4096) (i32.const 608)))
  (call $print (i32.const 1) (i32.const 4096) (i32.load (i32.const 608)))
  (drop (call $set (i32.load (i32.const 604)) (i32.const 0) (i32.const 560)))
  (loop $more
    (local.set $n (call $next (i32.load (i32.const 604))))
    (if (i32.eqz (local.get $n)) (then
      (drop (call $piece (i32.load (i32.const 604)) (i32.const 0) (i32.const 4096) (i32.const 4096) (i32.const 608)))
      (call $print (i32.const 1) (i32.const 4096) (i32.load (i32.const 608)))
      (br $more))))
  (drop (call $fini (i32.load (i32.const 604))))
  (call $exit (local.get $n))"""


def test_a_text_is_said_while_it_is_made_when_the_guest_asks_for_that(tmp_path: Path) -> None:
    """WasmEdge's option; the guest prints the same again, then piece by piece."""
    import gguf_models

    gguf_models.write(tmp_path / "m.gguf")
    asked = OPTIONS.replace("}", ',"stream-stdout":true}')
    escaped = [text.replace('"', chr(92) + '"') for text in (OPTIONS, asked)]
    talk = TALK.replace(f"(i32.const {len(OPTIONS)})", f"(i32.const {len(asked)})")
    done = run(tmp_path, command(talk, TABLES.replace(*escaped), IMPORTS), "--nn", "default=gguf:m.gguf")
    assert done.status == 100, done.errors
    third = len(done.out) // 3
    assert third > 0
    assert done.out == done.out[:third] * 3


def test_a_text_at_once_and_the_same_piece_by_piece(tmp_path: Path) -> None:
    import gguf_models

    gguf_models.write(tmp_path / "m.gguf")
    done = run(tmp_path, command(TALK, TABLES, IMPORTS), "--nn", "default=ggml@auto:m.gguf")
    assert done.status == 100, done.errors  # how a text ends
    half = len(done.out) // 2
    assert half > 0
    assert done.out[:half] == done.out[half:]
