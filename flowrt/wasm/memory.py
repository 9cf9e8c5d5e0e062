"""A guest's linear memory as the host reads and writes it: one kept `memoryview`, every range checked."""

from __future__ import annotations

from collections.abc import Callable

from flowrt.wasm.imports import BadAddress

_UNSIGNED = 0xFFFFFFFF


class LinearMemory:
    """Implements `imports.GuestMemory`.

    The base of a memory never moves (`engine.MEMORY_RESERVATION`) and memory only grows, so the kept view stays valid;
    it is made again when a guest names an address beyond what it shows.
    """

    __slots__ = ("_look", "bytes", "size")

    def __init__(self, look: Callable[[], memoryview]) -> None:
        self._look = look
        self.bytes = look()
        """The memory as far as it was known; `room` extends it."""
        self.size = len(self.bytes)

    def room(self, end: int) -> memoryview:
        """The memory, when the bytes before `end` are inside it."""
        if end > self.size:
            self.bytes = self._look()
            self.size = len(self.bytes)
            if end > self.size:
                raise BadAddress(f"address 0x{end:x} is outside its memory of 0x{self.size:x} bytes")
        return self.bytes

    def read(self, address: int, length: int) -> bytes:
        address, length = address & _UNSIGNED, length & _UNSIGNED
        return self.room(address + length)[address : address + length].tobytes()

    def view(self, address: int, length: int) -> memoryview:
        address, length = address & _UNSIGNED, length & _UNSIGNED
        return self.room(address + length)[address : address + length]

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        address &= _UNSIGNED
        source = memoryview(data).cast("B")
        room = self.room(address + len(source))
        if source:  # a memory that nobody has looked at yet is an empty view, which is read-only
            room[address : address + len(source)] = source

    def close(self) -> None:
        """Let go of the memory, which is about to vanish."""
        self.bytes = memoryview(b"")
        self.size = 0
        self._look = _gone


def _gone() -> memoryview:
    return memoryview(b"")
