"""A component that does with `wasi:nn` what it is told: it calls the import a test names with the words it is given, so
that the test is the guest."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from wasmtime.component import Component

from flowrt.graph.worlds import NN_NEWER
from flowrt.guests.nn import imports
from flowrt.nn.doors.component import ComponentDoor
from flowrt.nn.doors.wit import CODES, OFFERED, TARGETS, TYPES
from flowrt.nn.encodings import ENCODINGS
from flowrt.wasm.cache import compile_component
from flowrt.wasm.component import values
from flowrt.wasm.component.factory import import_objections
from flowrt.wasm.component.store import ComponentStore
from flowrt.wasm.component.values import Arena
from flowrt.wasm.crossing import Limits
from flowrt.wasm.engine import Engine
from flowrt.wasm.text import to_binary

NAME = "test:nn/guest"
_OPTIONS = '(memory (core memory $m "memory")) (realloc (core func $m "realloc"))'
_MEMORY = """
(core module $Memory
  (memory (export "memory") 128)
  (global $top (mut i32) (i32.const 1024))
  (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (local.get $at)))
(core instance $m (instantiate $Memory))
"""
_LOWERED = {
    "new": ("nn-tensors", "[constructor]tensor", "(param i32 i32 i32 i32 i32) (result i32)"),
    "dims": ("nn-tensors", "[method]tensor.dimensions", "(param i32 i32)"),
    "type": ("nn-tensors", "[method]tensor.ty", "(param i32) (result i32)"),
    "data": ("nn-tensors", "[method]tensor.data", "(param i32 i32)"),
    "load": ("nn-graphs", "load", "(param i32 i32 i32 i32 i32)"),
    "name": ("nn-graphs", "load-by-name", "(param i32 i32 i32)"),
    "start": ("nn-graphs", "[method]graph.init-execution-context", "(param i32 i32)"),
    "code": ("nn-errors", "[method]error.code", "(param i32) (result i32)"),
    "words": ("nn-errors", "[method]error.data", "(param i32 i32)"),
}
_NEWER = {
    "compute": ("nn-inference", "[method]graph-execution-context.compute", "(param i32 i32 i32 i32)"),
}
_OLDER = {
    "set": ("nn-inference", "[method]graph-execution-context.set-input", "(param i32 i32 i32 i32 i32)"),
    "compute": ("nn-inference", "[method]graph-execution-context.compute", "(param i32 i32)"),
    "get": ("nn-inference", "[method]graph-execution-context.get-output", "(param i32 i32 i32 i32)"),
}
_DROPS = {"drop-tensor": "nn-tensor", "drop-graph": "nn-graph", "drop-context": "nn-context", "drop-error": "nn-error"}


def text(revision: str, pages: int = 128) -> str:
    lowered = {**_LOWERED, **(_NEWER if revision == NN_NEWER else _OLDER)}
    functions = "".join(
        f'(core func ${key} (canon lower (func ${instance} "{name}") {_OPTIONS}))\n'
        for key, (instance, name, _) in lowered.items()
    ) + "".join(f"(core func ${key} (canon resource.drop ${label}))\n" for key, label in _DROPS.items())
    host = " ".join(f'(export "{key}" (func ${key}))' for key in (*lowered, *_DROPS))
    core_imports = "".join(f'(import "h" "{key}" (func ${key} {kind}))\n' for key, (_, _, kind) in lowered.items())
    core_imports += "".join(f'(import "h" "{key}" (func ${key} (param i32)))\n' for key in _DROPS)
    table = "".join(_case(number, key, kind) for number, (key, kind) in enumerate(_entries(lowered)))
    memory = _MEMORY.replace("128", str(pages))
    return f"""(component {imports(revision)} {memory} {functions}
(core instance $h {host})
(core module $Main
  (import "m" "memory" (memory 128))
  (import "m" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  {core_imports}
  (func (export "go") (param $which i32) (param $list i32) (param $size i32) (result i32)
    {table}
    (unreachable))
  (func (export "poke") (param $at i32) (param i32) (result i32) (local.get $at))
  (func (export "peek") (param $from i32) (param $size i32) (result i32)
    (i32.store (i32.const 16) (local.get $from))
    (i32.store (i32.const 20) (local.get $size))
    (i32.const 16)))
(core instance $main (instantiate $Main (with "h" (instance $h)) (with "m" (instance $m))))
(func $go (param "which" u32) (param "with" (list u8)) (result u32) (canon lift (core func $main "go") {_OPTIONS}))
(func $poke (param "with" (list u8)) (result u32) (canon lift (core func $main "poke") {_OPTIONS}))
(func $peek (param "from" u32) (param "size" u32) (result (list u8))
  (canon lift (core func $main "peek") {_OPTIONS}))
(instance $guest (export "go" (func $go)) (export "poke" (func $poke)) (export "peek" (func $peek)))
(export "{NAME}" (instance $guest)))"""


def _entries(lowered: dict[str, tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(key, kind) for key, (_, _, kind) in lowered.items()] + [(key, "(param i32)") for key in _DROPS]


def _case(number: int, key: str, kind: str) -> str:
    """Arguments are the words of the list."""
    count = kind.partition(")")[0].count("i32")
    arguments = " ".join(f"(i32.load offset={4 * index} (local.get $list))" for index in range(count))
    call = f"(call ${key} {arguments})" + ("" if "result" in kind else " (i32.const 0)")
    return f"(if (i32.eq (local.get $which) (i32.const {number})) (then (return {call})))\n"


class Guest:
    """`guest.call("compute", …)` calls an import with core words, as the canonical ABI has them."""

    def __init__(
        self,
        engine: Engine,
        door: ComponentDoor,
        revision: str = NN_NEWER,
        memory: int = 64 << 20,
        *,
        in_place: bool = True,
        pages: int = 128,
    ) -> None:
        """It has so many `pages` of memory. Not `in_place`: its lists cross as the engine hands them over, as those of
        a component that cannot be changed."""
        binary = to_binary(text(revision, pages))
        component = compile_component(engine, binary) if in_place else Component(engine.native(), binary)
        assert import_objections(component, engine.native(), OFFERED) == []
        offer = door.offer(OFFERED)
        streams = (lambda _: None, lambda _: None)
        self.store = ComponentStore(
            engine, component, offer.calls, Limits(memory, 30.0), streams, resources=offer.resources
        )
        lowered = {**_LOWERED, **(_NEWER if revision == NN_NEWER else _OLDER)}
        self._numbers = {key: number for number, (key, _) in enumerate(_entries(lowered))}
        self._arguments = ctypes.create_string_buffer(2 * values.SIZE)
        at = ctypes.addressof(self._arguments)
        self._go, self._peek = (self.store.function(NAME, name, at, 2) for name in ("go", "peek"))
        self._poke = self.store.function(NAME, "poke", at, 1)
        self.result = self.put(bytes(16))
        """Where results of more than one word are written."""

    def call(self, name: str, *words: int) -> int:
        arena = Arena()
        given = arena.byte_list(struct.pack(f"<{len(words)}I", *words))
        return self._called(self._go, values.as_int, values.number(values.U32, self._numbers[name]), given)

    def put(self, data: bytes) -> int:
        """The address of a copy of `data` in the guest."""
        arena = Arena()
        return self._called(self._poke, values.as_int, arena.byte_list(data))

    def read(self, address: int, size: int) -> bytes:
        return self._called(
            self._peek, values.as_bytes, values.number(values.U32, address), values.number(values.U32, size)
        )

    def words(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.read(self.result, 4 * count))

    def told(self, name: str, *words: int) -> int | str:
        """A call with a `result`: the handle, or the error's code and words."""
        self.call(name, *words, self.result)
        wrong, value = self.words(2)
        return self.error(value) if wrong & 0xFF else value

    def error(self, handle: int) -> str:
        code = CODES[self.call("code", handle)]
        self.call("words", handle, self.result)
        text = self.read(*self.words(2)).decode()
        self.call("drop-error", handle)
        return f"{code}: {text}"

    def tensor(self, array: Any, ty: str = "FP32") -> int:
        array = np.asarray(array)
        return self.made(list(array.shape), ty, array.tobytes())

    def made(self, dims: list[int], ty: str, data: bytes) -> int:
        shape = self.put(struct.pack(f"<{len(dims)}I", *dims))
        return self.call("new", shape, len(dims), list(TYPES).index(ty), self.put(data), len(data))

    def data(self, tensor: int) -> bytes:
        self.call("data", tensor, self.result)
        return self.read(*self.words(2))

    def dims(self, tensor: int) -> list[int]:
        self.call("dims", tensor, self.result)
        at, count = self.words(2)
        return list(struct.unpack(f"<{count}I", self.read(at, 4 * count)))

    def context(self, name: str = "m") -> int:
        graph = self.load_by_name(name)
        assert isinstance(graph, int), graph
        found = self.told("start", graph)
        assert isinstance(found, int), found
        return found

    def load_by_name(self, name: str) -> int | str:
        return self.told("name", self.put(name.encode()), len(name.encode()))

    def load(self, *parts: bytes, encoding: str = "onnx", target: str = "cpu") -> int | str:
        spans = self.put(b"".join(struct.pack("<II", self.put(part), len(part)) for part in parts))
        return self.told("load", spans, len(parts), ENCODINGS.index(encoding), TARGETS.index(target))

    def compute(self, context: int, **inputs: int) -> dict[str, int] | str:
        """The newer revision's: tensors by name in and out."""
        pairs = [(self.put(name.encode()), len(name), tensor) for name, tensor in inputs.items()]
        given = self.put(b"".join(struct.pack("<III", *pair) for pair in pairs))
        self.call("compute", context, given, len(pairs), self.result)
        wrong, at, count = self.words(3)
        if wrong & 0xFF:
            return self.error(at)
        named = struct.iter_unpack("<III", self.read(at, 12 * count))
        return {self.read(name, size).decode(): tensor for name, size, tensor in named}

    def close(self) -> None:
        self.store.close()

    def _called(self, function: Callable[[], bytes], read: Callable[[bytes], Any], *arguments: bytes) -> Any:
        self._arguments[: sum(map(len, arguments))] = b"".join(arguments)
        found = read(function())
        self.store.release()
        return found
