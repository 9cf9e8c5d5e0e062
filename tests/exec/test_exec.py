"""`flowrt exec`: commands with arguments, folders, streams, limits and models."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from commands import command, component, run
from nn_models import double, external

from flowrt.cli.main import parser

ARGUMENTS = """
  (drop (call $args-sizes (i32.const 16) (i32.const 20)))
  (drop (call $args (i32.const 1024) (i32.const 2048)))
  (call $print (i32.const 1) (i32.const 2048) (i32.load (i32.const 20)))"""
ENVIRONMENT = """
  (drop (call $env-sizes (i32.const 16) (i32.const 20)))
  (drop (call $env (i32.const 1024) (i32.const 2048)))
  (call $print (i32.const 1) (i32.const 2048) (i32.load (i32.const 20)))"""
PASS_ON = """
  (i32.store (i32.const 16) (i32.const 2048)) (i32.store (i32.const 20) (i32.const 1000))
  (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
  (call $print (i32.const 1) (i32.const 2048) (i32.load (i32.const 24)))
  (call $print (i32.const 2) (i32.const 2048) (i32.load (i32.const 24)))"""
SHOW_FILE = """
  (if (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 8) (i32.const 0) (i64.const 2) (i64.const 0)
      (i32.const 0) (i32.const 32))
    (then (call $exit (i32.const 9))))
  (i32.store (i32.const 16) (i32.const 2048)) (i32.store (i32.const 20) (i32.const 1000))
  (drop (call $read (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 24)))
  (call $print (i32.const 1) (i32.const 2048) (i32.load (i32.const 24)))"""
FILE_NAME = '(data (i32.const 512) "file.txt")'
SPIN = "(loop $l (br $l))"
GROW = "(if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1)) (then (unreachable)))"

NN = """
  (import "wasi_ephemeral_nn" "load_by_name" (func $load (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $get (param i32 i32 i32 i32 i32) (result i32)))"""
MODEL = """
  (data (i32.const 512) "m") (data (i32.const 528) "\\01\\00\\00\\00\\03\\00\\00\\00")
  (data (i32.const 544) "\\00\\00\\80\\3f\\00\\00\\00\\40\\00\\00\\40\\40")
  (data (i32.const 560) "\\10\\02\\00\\00\\02\\00\\00\\00\\01\\10\\10\\00\\20\\02\\00\\00\\0c\\00\\00\\00")"""
INFER = """
  (local.set $n (call $load (i32.const 512) (i32.const 1) (i32.const 600)))
  (if (local.get $n) (then (call $exit (local.get $n))))
  (drop (call $init (i32.load (i32.const 600)) (i32.const 604)))
  (drop (call $set (i32.load (i32.const 604)) (i32.const 0) (i32.const 560)))
  (drop (call $compute (i32.load (i32.const 604))))
  (drop (call $get (i32.load (i32.const 604)) (i32.const 0) (i32.const 2048) (i32.const 100) (i32.const 608)))
  (call $print (i32.const 1) (i32.const 2048) (i32.load (i32.const 608)))"""
INFERENCE = command(INFER, MODEL, NN)
DOUBLED = struct.pack("<3f", 2, 4, 6)


def test_arguments_are_what_stands_behind_the_dashes(tmp_path: Path) -> None:
    done = run(tmp_path, command(ARGUMENTS), "--env", "A=B", "--", "--nn", "-x", "--", "a b")
    assert (done.status, done.out, done.errors) == (0, b"guest.wasm\0--nn\0-x\0--\0a b\0", "")


def test_nothing_of_the_environment_is_passed_on_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    assert run(tmp_path, command(ENVIRONMENT)).out == b""
    assert run(tmp_path, command(ENVIRONMENT), "--env", "OURS", "--env", "K=a=b").out == b"OURS=1\0K=a=b\0"


def test_streams_pass_through(tmp_path: Path) -> None:
    done = run(tmp_path, command(PASS_ON), stdin=b"\xffhello\n")
    assert (done.out, done.errors) == (b"\xffhello\n", "\udcffhello\n")


def test_a_folder_is_seen_under_its_name_and_no_other(tmp_path: Path) -> None:
    shown = command(SHOW_FILE, FILE_NAME)
    (tmp_path / "file.txt").write_text("content")
    assert run(tmp_path, shown, "--dir", f"{tmp_path}::/data").out == b"content"
    assert run(tmp_path, shown, "--dir", ".").out == b"content"
    assert run(tmp_path, shown).status == 9


@pytest.mark.parametrize(
    ("body", "options", "status", "told"),
    [
        ("(call $exit (i32.const 0))", [], 0, ""),
        ("(call $exit (i32.const 42))", [], 42, ""),
        ("(unreachable)", [], 134, "trap: wasm trap: wasm `unreachable` instruction executed"),
        (SPIN, ["--deadline", "100ms"], 134, "deadline: a call took longer than 0.1 s"),
        (SPIN, ["--fuel", "100000"], 134, "fuel: "),
        (GROW, ["--memory", "1Mi"], 134, "memory: it asked for more memory than its quota of 1Mi"),
        (GROW, ["--memory", "128Mi"], 0, ""),
    ],
)
def test_how_a_command_ends(tmp_path: Path, body: str, options: list[str], status: int, told: str) -> None:
    done = run(tmp_path, command(body), *options)
    assert done.status == status
    assert told in done.errors
    assert "Traceback" not in done.errors
    assert told or not done.errors


def test_a_command_that_is_a_component(tmp_path: Path) -> None:
    assert run(tmp_path, component("(i32.const 0)")).status == 0
    assert run(tmp_path, component("(i32.const 1)")).status == 1
    assert run(tmp_path, component("unreachable")).status == 134


def test_a_model_by_name(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(double())
    done = run(tmp_path, INFERENCE, "--nn", "m=onnx@cpu:m.onnx")
    assert (done.status, done.out, done.errors) == (0, DOUBLED, "")


def test_a_function_of_a_model_that_the_guest_knows_nothing_of(tmp_path: Path) -> None:
    """The guest loads it by name alone; the command line says which function of the file that is."""
    pytest.importorskip("ai_edge_litert")
    from tflite_models import signed

    (tmp_path / "m.tflite").write_bytes(signed({"double": "ADD", "square": "MUL"}, same=True))
    given = ["--nn", "m=tflite:m.tflite"]
    assert run(tmp_path, INFERENCE, *given).out == DOUBLED
    assert run(tmp_path, INFERENCE, *given, "--nn-option", "m:signature=square").out == struct.pack("<3f", 1, 4, 9)


@pytest.mark.parametrize("spelling", ["autodetect", "onnx@auto", "ONNX@CPU"])
def test_spellings_of_encoding_and_target(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "m.onnx").write_bytes(double())
    assert run(tmp_path, INFERENCE, "--nn", f"m={spelling}:m.onnx").out == DOUBLED


def test_a_folder_with_a_model_as_wasmtime_has_it(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/model.onnx").write_bytes(double())
    assert run(tmp_path, INFERENCE, "--nn", "m=onnx:models").out == DOUBLED


def test_a_name_without_a_model_and_a_model_without_a_file(tmp_path: Path) -> None:
    """The guest tells the two apart, as under WasmEdge."""
    done = run(tmp_path, INFERENCE)
    assert (done.status, done.out) == (8, b"")
    assert "not-found: the node has no model named 'm'; it has none" in done.errors
    done = run(tmp_path, INFERENCE, "--nn", "m=onnx:gone.onnx")
    assert done.status == 103
    assert "--nn m: there is no file gone.onnx; the guest is told so" in done.errors


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--nn", "m"], 2, "'m' is not NAME=ENCODING[@TARGET]:PATH[,PATH]"),
        (["--nn", "m=onnks:m.onnx"], 2, "'onnks' is no encoding; did you mean 'onnx'?"),
        (["--nn", "m=onnx@gpus:m.onnx"], 2, "'gpus' is no target; did you mean 'gpu'?"),
        (["--nn", "m=onnx:a,b,c"], 2, "has 3 paths"),
        (["--nn", "m=onnx:text.onnx"], 3, "--nn m: "),
        (["--nn", "m=onnx:."], 3, "--nn m: . is a folder without one of model.onnx"),
        (["--nn-option", "m=x"], 2, "'m=x' is not NAME:KEY=VALUE"),
        (["--nn-option", "n:signature=x", "--nn", "m=onnx:m.onnx"], 3, "--nn-option n:signature: there is no --nn n"),
        (["--nn-option", "m:signature=x", "--nn", "m=onnx:m.onnx"], 3, "'m.onnx' has no signature 'x'; it has none"),
        (["--dir", "::/x"], 2, "'::/x' is not HOST::GUEST"),
        (["--dir", "nowhere"], 3, "--dir nowhere: it is no folder that can be opened"),
        (["--env", "=x"], 2, "'=x' is not KEY=VALUE"),
        (["--env", "NOT_SET_HERE"], 2, "NOT_SET_HERE is not set here; write NOT_SET_HERE=VALUE"),
        (["--memory", "lots"], 2, "'lots' is not a size"),
        (["--deadline", "5"], 2, "'5' is not a duration"),
        (["--fuel", "-1"], 3, "must be above 0"),
    ],
)
def test_mistakes_are_told_in_words(tmp_path: Path, options: list[str], status: int, told: str) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "m.onnx").write_bytes(double())
    done = run(tmp_path, INFERENCE, *options)
    assert done.status == status
    assert told in done.errors
    assert "Traceback" not in done.errors


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (b"not wasm", "guest.wasm: it is not a WebAssembly binary"),
        (b"\0asm\1\0\0\0", "guest.wasm is no command: it does not export _start"),
        (component("(i32.const 0)", name="my:own/thing"), "guest.wasm is no command: it does not export wasi:cli/run@"),
        (command("", imports='(import "env" "f" (func))'), "guest.wasm imports env.f, which no host offers here"),
        (component("(i32.const 0)", imports='(import "my:own/x" (instance))'), "guest.wasm imports my:own/x"),
    ],
)
def test_what_is_no_command(tmp_path: Path, code: bytes, told: str) -> None:
    done = run(tmp_path, code)
    assert done.status == 3
    assert told in done.errors


def test_weights_outside_the_models_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    external(tmp_path / "models", "../../secret")
    done = run(tmp_path, INFERENCE, "--nn", "m=onnx:models/m.onnx")
    assert done.status == 3
    assert "points to '../../secret', outside its folder" in done.errors


def test_the_command_line_is_read_as_it_stands_in_the_documentation() -> None:
    words = ["exec", "m.wasm", "--dir", "a::b", "--nn", "x=gguf:y", "--", "--memory", "1"]
    options = parser().parse_args(words)
    assert (options.dir, options.arguments) == ([("a", "b")], ["--memory", "1"])
    assert (options.nn[0].encoding, options.nn[0].path) == ("ggml", Path("y"))
    assert np.isinf(options.deadline)
