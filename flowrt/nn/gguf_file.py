"""What a GGUF file says of itself, read without the engine: a language model's architecture, context and weights.

Format: GGUF versions 2 and 3: a header of key and value pairs, then the tensors' names, shapes, types and offsets, then
their data, which is not looked at.
"""

from __future__ import annotations

import struct
from collections import Counter

from flowrt.nn.backend import Slot, element_count
from flowrt.nn.described import Described
from flowrt.nn.faults import ModelFault
from flowrt.nn.protowire import Malformed

HEAD_BYTES = 256 * 2**20
"""As much of a file is read for its header; a vocabulary of 250,000 words takes some 10 MiB."""
_VERSIONS = (2, 3)
_MAX_ENTRIES, _MAX_TENSORS, _MAX_ITEMS, _MAX_TEXT, _MAX_DIMS = 10_000, 200_000, 4_000_000, 2**20, 4
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_TYPES = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110), 12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 24: ("i8", 1, 1), 26: ("i32", 1, 4), 28: ("f64", 1, 8),
    30: ("bf16", 1, 2),
}  # fmt: skip
"""ggml_type: name, values in a block, bytes of a block."""

INPUTS = (
    Slot("prompt", "u8", ("bytes",), form="text"),
    Slot("options", "u8", ("bytes of JSON",), optional=True, form="text"),
)
OUTPUTS = (Slot("text", "u8", ("bytes",), form="text"), Slot("about", "u8", ("bytes of JSON",), form="text"))
"""The tensors of every text model, as WasmEdge's guests know them."""
_SHOWN = ("general.architecture", "general.name", "general.license", "tokenizer.ggml.model")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 4

    def number(self, code: str) -> int | float | bool:
        size = struct.calcsize("<" + code)
        if self._at + size > len(self._data):
            raise Malformed("its header ends early")
        (value,) = struct.unpack_from("<" + code, self._data, self._at)
        self._at += size
        return value  # type: ignore[no-any-return]

    def count(self, most: int, what: str) -> int:
        value = int(self.number("Q"))
        if value > most:
            raise Malformed(f"{value} {what}")
        return value

    def text(self) -> str:
        size = self.count(_MAX_TEXT, "bytes in a text")
        if self._at + size > len(self._data):
            raise Malformed("its header ends early")
        self._at += size
        return self._data[self._at - size : self._at].decode("utf-8", "replace")

    def value(self) -> object:
        kind = int(self.number("I"))
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            return self.number(self._code(kind))
        kind, items = int(self.number("I")), self.count(_MAX_ITEMS, "items in a list")
        if kind == _TEXT:
            for _ in range(items):
                self.text()
        else:
            self._at += items * _SIZES[self._known(kind)]
        return f"{items} items"

    def _code(self, kind: int) -> str:
        return _CODES[self._known(kind)]

    @staticmethod
    def _known(kind: int) -> int:
        if kind not in _SIZES:
            raise Malformed(f"a value of type {kind}")
        return kind


def read(data: bytes, label: str, length: int | None = None) -> Described:
    """`data` is the file's beginning and `length` all of it. Raises `ModelFault` of code `invalid-encoding`."""
    if data[:4] != b"GGUF":
        raise ModelFault("invalid-encoding", f"'{label}' is no GGUF model: it does not begin with GGUF")
    try:
        return _described(_Reader(data), len(data) if length is None else length)
    except Malformed as bad:
        raise ModelFault("invalid-encoding", f"'{label}' is no GGUF model: {bad}") from None


def _described(reader: _Reader, length: int) -> Described:
    version = int(reader.number("I"))
    if version not in _VERSIONS:
        raise Malformed(f"its version is {version}, not {' or '.join(map(str, _VERSIONS))}")
    tensors, entries = reader.count(_MAX_TENSORS, "tensors"), reader.count(_MAX_ENTRIES, "entries")
    facts: dict[str, object] = {}
    for _ in range(entries):
        key = reader.text()
        facts[key] = reader.value()
    weights: Counter[str] = Counter()
    for _ in range(tensors):
        kind, size = _tensor(reader)
        weights[kind] += size
    if sum(weights.values()) > length:
        raise Malformed(f"its tensors are {sum(weights.values())} bytes, and the file has {length}")
    return Described(INPUTS, OUTPUTS, version=f"GGUF {version}", weights=weights, notes=_notes(facts))


def _tensor(reader: _Reader) -> tuple[str, int]:
    reader.text()
    rank = int(reader.number("I"))
    if rank > _MAX_DIMS:
        raise Malformed(f"a tensor of {rank} dimensions")
    count = element_count([int(reader.number("Q")) for _ in range(rank)])
    name, block, size = _TYPES.get(int(reader.number("I")), ("another type", 1, 0))
    reader.number("Q")
    return name, count // block * size


def _notes(facts: dict[str, object]) -> dict[str, str]:
    found = {key.rpartition(".")[2]: str(facts[key])[:200] for key in _SHOWN if key in facts}
    architecture = found.get("architecture", "")
    for key in ("context_length", "embedding_length", "block_count"):
        if f"{architecture}.{key}" in facts:
            found[key.replace("_", " ")] = str(facts[f"{architecture}.{key}"])
    if "tokenizer.ggml.tokens" in facts:
        found["vocabulary"] = str(facts["tokenizer.ggml.tokens"])
    return found
