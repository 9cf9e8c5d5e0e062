"""What a guest does with wasi-nn, without an engine around it: its memory is a bytearray behind the runtime's own
bounds checks, and its imports are called as they would be."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from flowrt.wasm.imports import HostFunction
from flowrt.wasm.memory import LinearMemory

SIZE = 1 << 20
OUT = 16
"""Where results are written."""


class Guest:
    def __init__(self, functions: Sequence[HostFunction]) -> None:
        self.bytes = bytearray(SIZE)
        self.memory = LinearMemory(lambda: memoryview(self.bytes))
        self._functions = {function.name: function.call for function in functions}
        self._top = 64

    def call(self, name: str, *arguments: int) -> int:
        """An import with unsigned arguments; its errno."""
        errno = self._functions[name](self.memory, *arguments)
        assert isinstance(errno, int)
        return errno

    def put(self, data: bytes) -> int:
        """The address of a copy of `data`, 16-byte aligned."""
        at = self._top
        self._top += len(data) + 15 & ~15
        self.memory.write(at, data)
        return at

    def result(self) -> int:
        return int.from_bytes(self.bytes[OUT : OUT + 4], "little")

    def load(self, data: bytes, encoding: int = 1, target: int = 0) -> int:
        builders = self.put(struct.pack("<II", self.put(data), len(data)))
        return self.call("load", builders, 1, encoding, target, OUT)

    def load_by_name(self, name: str | bytes) -> int:
        text = name.encode() if isinstance(name, str) else name
        return self.call("load_by_name", self.put(text), len(text), OUT)

    def context(self, name: str = "m") -> int:
        """A fresh context of a named model."""
        assert self.load_by_name(name) == 0
        assert self.call("init_execution_context", self.result(), OUT) == 0
        return self.result()

    def tensor(self, dims: Sequence[int], tag: int, data: bytes, padding: int = 0) -> int:
        """The address of a tensor; `padding` is what the guest left beside the type byte."""
        shape = self.put(struct.pack(f"<{len(dims)}I", *dims))
        return self.put(struct.pack("<IIIII", shape, len(dims), tag | padding << 8, self.put(data), len(data)))

    def set_input(self, context: int, array: Any, tag: int = 1, index: int = 0, padding: int = 0) -> int:
        array = np.asarray(array)
        return self.call("set_input", context, index, self.tensor(array.shape, tag, array.tobytes(), padding))

    def output(self, context: int, index: int = 0, room: int = 4096) -> bytes:
        at = self.put(bytes(room))
        assert self.call("get_output", context, index, at, room, OUT) == 0
        return bytes(self.bytes[at : at + self.result()])
