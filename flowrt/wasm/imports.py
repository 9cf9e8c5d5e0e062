"""What a module may import from us: the shape of one host function, and the memory it sees.

Whoever offers functions to guests (the log, WASI, the core door of wasi-nn) describes each as a `HostFunction`. The
crossing turns those that a module really imports into engine callbacks; the others cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

ValueType = Literal["i32", "i64", "f32", "f64"]


class BadAddress(Exception):
    """A guest named bytes outside its linear memory. A host function may answer with an errno of its own; left alone,
    it becomes a trap of kind `abi`."""


class GuestMemory(Protocol):
    """A guest's linear memory during one host call. Addresses and lengths are taken as unsigned and checked; every
    method raises `BadAddress` when the range is not wholly inside the memory."""

    def read(self, address: int, length: int) -> bytes:
        """A copy of `length` bytes."""

    def view(self, address: int, length: int) -> memoryview:
        """The bytes in place, writable. Valid only until the host function returns: do not keep it."""

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `address`."""


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function a guest may import."""

    module: str
    name: str
    params: tuple[ValueType, ...]
    results: tuple[ValueType, ...]
    """None or one."""
    call: Callable[..., int | float | None]
    """`call(memory, *arguments)`: integers come unsigned, floats as float; what it returns is the result (any integer,
    taken modulo 2^32 or 2^64). It runs on the guest's thread, one call at a time, and counts against the call's
    deadline. A `NodeFault` raised here ends the guest's call as a `GuestTrap` of the same kind; anything else that
    escapes becomes a trap of kind `internal` with the exception as its cause."""
