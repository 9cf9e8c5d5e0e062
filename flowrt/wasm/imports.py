"""What a module may import from us: the shape of one host function, and the memory it sees.

Whoever offers functions to guests (the log, WASI, the core door of wasi-nn) describes each as a `HostFunction`. The
crossing turns those that a module really imports into engine callbacks; the others cost nothing.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from flowrt.values import Struct

ValueType = Literal["i32", "i64", "f32", "f64"]


class BadAddress(Exception):
    """A guest named bytes outside its linear memory. A host function may answer with an errno of its own; left alone,
    it becomes a trap of kind `abi`."""


Octets: TypeAlias = bytes
"""Under another name, because a memory has an attribute of this one."""


class GuestMemory(Protocol):
    """A guest's linear memory during one host call. Addresses and lengths are taken as unsigned and checked; every
    method raises `BadAddress` when the range is not wholly inside the memory."""

    bytes: memoryview
    """The memory as far as it is known, which is never more than there is. Do not keep it either."""

    def read(self, address: int, length: int) -> Octets:
        """A copy of `length` bytes."""

    def view(self, address: int, length: int) -> memoryview:
        """The bytes in place, writable. Valid only until the host function returns: do not keep it."""

    def write(self, address: int, data: Octets | bytearray | memoryview) -> None:
        """Put `data` at `address`."""


class HostFunction(Struct, frozen=True):
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


LOG_LEVELS = ("trace", "debug", "info", "warning", "error")
"""By the number a guest gives to `flowrt.log`."""
TEXT_MAX = 8192
"""Bytes of one text of a guest that are kept: a log line, the words of a failure."""


def read_text(memory: GuestMemory, address: int, size: int) -> str:
    """A guest's text, cut to `TEXT_MAX`. Raises `BadAddress` for bytes outside its memory or that are not UTF-8."""
    data = bytes(memory.view(address, size)[:TEXT_MAX])
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=size <= TEXT_MAX)
    except UnicodeDecodeError as error:
        raise BadAddress("a text that is not UTF-8") from error


class Log(Protocol):
    """Where a guest's lines go."""

    def write(self, severity: str, text: str) -> None: ...

    def cut(self) -> None:
        """Told of a line that has lost its end."""


def flowrt_functions(log: Log, fail: Callable[[int, str], None]) -> list[HostFunction]:
    """`flowrt.log` and `flowrt.fail` of docs/abi.md. `fail(row, words)`."""

    def on_log(memory: GuestMemory, level: int, text: int, size: int) -> None:
        log.write(LOG_LEVELS[min(level, len(LOG_LEVELS) - 1)], read_text(memory, text, size))
        if size > TEXT_MAX:
            log.cut()

    def on_fail(memory: GuestMemory, row: int, text: int, size: int) -> None:
        fail(row, read_text(memory, text, size))

    i32x3: tuple[ValueType, ...] = ("i32", "i32", "i32")
    return [HostFunction("flowrt", "log", i32x3, (), on_log), HostFunction("flowrt", "fail", i32x3, (), on_fail)]
