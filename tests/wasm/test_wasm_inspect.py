"""What a file says of itself, and files that say nothing true."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from wasm_guests import wasm

from flowrt.graph.facts import ModuleFacts, Unreadable
from flowrt.message import Tensor
from flowrt.wasm.inspect import inspect_bytes, inspect_module


def with_section(code: bytes, text: bytes, name: bytes = b"flowrt") -> bytes:
    def number(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + number(rest) if rest else bytes([low])

    body = number(len(name)) + name + text
    return code + b"\0" + number(len(body)) + body


DECLARED = {"input": [], "output": [{"name": "y", "type": "f32", "shape": [-1, 24]}]}
GUEST = with_section(
    wasm(imports='(import "flowrt" "log" (func (param i32 i32 i32)))(import "env" "t" (table 1 funcref))'),
    json.dumps(DECLARED).encode(),
)
COMPONENT = bytes(
    wasmtime.wat2wasm("""(component
      (import "wasi:logging/logging@0.1.0" (instance (export "log" (func (param "text" string)))))
      (import "kind" (func))
      (core module $m (func (export "f")))
      (core instance $i (instantiate $m))
      (func $f (canon lift (core func $i "f")))
      (instance $made (export "process" (func $f)))
      (export "tinykube:graph/map@1.0.0" (instance $made)))""")
)


def test_a_core_modules_exports_imports_memory_and_tensors_are_read():
    facts = inspect_bytes(GUEST, "m.wasm")

    assert facts == ModuleFacts(
        path="m.wasm",
        digest="sha256:" + hashlib.sha256(GUEST).hexdigest(),
        form="core",
        exports={
            "memory": "memory",
            "flowrt_abi": "() -> (i32)",
            "flowrt_buffer": "(i32) -> (i32)",
            "flowrt_map": "(i32, i32) -> (i32)",
        },
        imports=(("flowrt", "log", "(i32, i32, i32) -> ()"), ("env", "t", "table")),
        memory_bytes=4 * 65536,
        outputs=(Tensor("y", "f32", (-1, 24)),),
    )


def test_a_command_is_told_by_its_start():
    facts = inspect_bytes(bytes(wasmtime.wat2wasm('(module (func (export "_start")))')))

    assert facts.form == "command"


def test_a_components_names_are_read():
    facts = inspect_bytes(COMPONENT)

    assert facts.form == "component"
    assert facts.exports == {"tinykube:graph/map@1.0.0": "instance"}
    assert facts.imports == (("wasi:logging/logging@0.1.0", "", ""), ("kind", "", ""))


@pytest.mark.parametrize("code", [GUEST, COMPONENT], ids=["module", "component"])
def test_no_prefix_raises(code):
    for end in range(len(code)):
        assert isinstance(inspect_bytes(code[:end]), ModuleFacts | Unreadable)


@given(st.integers(0, len(GUEST) - 1), st.binary(min_size=1, max_size=12))
def test_no_damage_raises(at, damage):
    inspect_bytes(GUEST[:at] + damage + GUEST[at + len(damage) :])


@given(st.integers(8, len(COMPONENT) - 1), st.binary(min_size=1, max_size=12))
def test_no_damage_to_a_component_raises(at, damage):
    inspect_bytes(COMPONENT[:at] + damage + COMPONENT[at + len(damage) :])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"", "not a WebAssembly binary"),
        (b"(module)", "text"),
        (b"\0asm\2\0\0\0", "version 02000000"),
        (b"\0asm\1\0\0\0\1\xff\xff\xff\xff\xff", "more than 32 bits"),
        (b"\0asm\1\0\0\0\1\xff\xff\xff\x7f", "ends early"),
        (b"\0asm\1\0\0\0\7\5\1\1a\0\0", "names function 0 of 0"),
        (with_section(GUEST, b"{}"), "two sections"),
    ],
)
def test_the_reason_is_told(code, words):
    assert words in inspect_bytes(code).reason


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b'{"output": 3}',
        b'{"output": [{"name": "y", "type": "f33", "shape": [1]}]}',
        b'{"output": [{"name": "y", "type": "f32", "shape": [-2]}]}',
        b'{"output": [{"name": "y", "type": "f32", "shape": [true]}]}',
        b"[" * 60_000,
    ],
)
def test_a_declaration_that_is_not_one_is_told(text):
    assert "section 'flowrt'" in inspect_bytes(with_section(wasm(), text)).reason


def test_files_are_read_and_validated_when_asked(tmp_path: Path, engine):
    invalid = bytes(wasmtime.wat2wasm('(module (func (export "f") (result i32) i32.const 1))')).replace(
        b"\x41\x01", b"\x01\x01"
    )
    (tmp_path / "m.wasm").write_bytes(invalid)

    assert isinstance(inspect_module(tmp_path / "m.wasm"), ModuleFacts)
    assert "the engine refuses it" in inspect_module(tmp_path / "m.wasm", engine=engine).reason
    assert inspect_module(tmp_path / "gone.wasm").missing
    assert "cannot be read" in inspect_module(tmp_path).reason
