"""WASI preview 1 for core modules: all 46 functions are there, hardly any does anything.

Source: the `wasi_snapshot_preview1` witx of WebAssembly/WASI. A guest has no files, no arguments, no environment and no
sockets; what it writes to standard output and error becomes log lines; clocks and random numbers come with a grant. A
call that would need more fails with errno 76 (not capable) and is counted by its name.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Collection
from typing import get_args

from flowrt.errors import GuestTrap
from flowrt.wasm.imports import BadAddress, GuestMemory, HostFunction, ValueType
from flowrt.wasm.log import LineBuffer

MODULE = "wasi_snapshot_preview1"
SUCCESS, BAD_FD, FAULT, INVALID, NOT_CAPABLE = 0, 8, 21, 28, 76
_CHARACTER_DEVICE = 2
_RIGHT_FD_WRITE = 1 << 6
_VECTORS_MAX = 1024
_RANDOM_ALL_MAX = 1 << 24
"""Bytes of one `random_get`: a tenth of a second at most. A call into the host cannot be interrupted."""
_RANDOM_MAX = 1 << 16
_WRITE_MAX = 1 << 16
"""Bytes of one `fd_write` that become log lines; the rest counts as written and is left out."""

_SIGNATURES = {
    "args_get": "ii", "args_sizes_get": "ii", "clock_res_get": "ii", "clock_time_get": "iIi",
    "environ_get": "ii", "environ_sizes_get": "ii", "fd_advise": "iIIi", "fd_allocate": "iII", "fd_close": "i",
    "fd_datasync": "i", "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii", "fd_fdstat_set_rights": "iII",
    "fd_filestat_get": "ii", "fd_filestat_set_size": "iI", "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi",
    "fd_prestat_dir_name": "iii", "fd_prestat_get": "ii", "fd_pwrite": "iiiIi", "fd_read": "iiii",
    "fd_readdir": "iiiIi", "fd_renumber": "ii", "fd_seek": "iIii", "fd_sync": "i", "fd_tell": "ii",
    "fd_write": "iiii", "path_create_directory": "iii", "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi", "path_link": "iiiiiii", "path_open": "iiiiiIIii", "path_readlink": "iiiiii",
    "path_remove_directory": "iii", "path_rename": "iiiiii", "path_symlink": "iiiii", "path_unlink_file": "iii",
    "poll_oneoff": "iiii", "proc_exit": "i", "proc_raise": "i", "random_get": "ii", "sched_yield": "",
    "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
}  # fmt: skip
"""Parameters by name: i is i32, I is i64. All but `proc_exit` give an errno."""

_TYPES: dict[str, ValueType] = dict(zip("iI", get_args(ValueType), strict=False))


class Wasi:
    """What one guest sees of WASI. `log(severity, text)` takes its lines; `deny` is told the names of refused calls."""

    def __init__(self, grants: Collection[str], log: Callable[[str, str], None], deny: Callable[[str], None]) -> None:
        self._deny = deny
        self._streams = {
            1: LineBuffer(lambda text: log("info", text)),
            2: LineBuffer(lambda text: log("warning", text)),
        }
        self._offered: dict[str, Callable[..., int | None]] = {
            "args_get": _nothing, "args_sizes_get": _no_sizes, "environ_get": _nothing, "environ_sizes_get": _no_sizes,
            "fd_close": _close, "fd_fdstat_get": _fdstat, "fd_prestat_get": _no_folder,
            "fd_prestat_dir_name": _no_folder, "fd_write": self._write, "proc_exit": _exit, "proc_raise": _raise,
            "sched_yield": _nothing,
        }  # fmt: skip
        if "clock" in grants:
            self._offered |= {"clock_time_get": _clock, "clock_res_get": _resolution}
        if "random" in grants:
            self._offered["random_get"] = _random

    def functions(self, names: Collection[str | None] = _SIGNATURES.keys()) -> list[HostFunction]:
        """Those of `names` that are there."""
        return [self._function(name, kinds) for name, kinds in _SIGNATURES.items() if name in names]

    def flush(self) -> None:
        """Log what stands in the streams without a line's end."""
        for stream in self._streams.values():
            stream.flush()

    def _function(self, name: str, kinds: str) -> HostFunction:
        results: tuple[ValueType, ...] = () if name == "proc_exit" else ("i32",)
        call = self._offered.get(name)
        checked = self._refusal(name) if call is None else _answering(call)
        return HostFunction(MODULE, name, tuple(_TYPES[kind] for kind in kinds), results, checked)

    def _refusal(self, name: str) -> Callable[..., int]:
        def refuse(_memory: GuestMemory, *_arguments: int) -> int:
            self._deny(name)
            return NOT_CAPABLE

        return refuse

    def _write(self, memory: GuestMemory, fd: int, vectors: int, count: int, written: int) -> int:
        stream = self._streams.get(fd)
        if stream is None:
            return BAD_FD
        if count > _VECTORS_MAX:
            return INVALID
        total, room = 0, _WRITE_MAX
        for address, size in struct.iter_unpack("<II", memory.read(vectors, 8 * count)):
            part = memory.view(address, size)[:room]
            stream.feed(bytes(part))
            total, room = total + size, room - len(part)
        memory.write(written, struct.pack("<I", total & 0xFFFFFFFF))
        return SUCCESS


def _answering(call: Callable[..., int | None]) -> Callable[..., int | None]:
    """WASI answers a wild address with an errno, not with a trap."""

    def answer(memory: GuestMemory, *arguments: int) -> int | None:
        try:
            return call(memory, *arguments)
        except BadAddress:
            return FAULT

    return answer


def _nothing(_memory: GuestMemory, *_arguments: int) -> int:
    return SUCCESS


def _no_sizes(memory: GuestMemory, count: int, size: int) -> int:
    memory.write(count, bytes(4))
    memory.write(size, bytes(4))
    return SUCCESS


def _no_folder(_memory: GuestMemory, *_arguments: int) -> int:
    """The C library asks for folder after folder until it hears that the descriptor is bad."""
    return BAD_FD


def _close(_memory: GuestMemory, fd: int) -> int:
    return SUCCESS if fd <= 2 else BAD_FD


def _fdstat(memory: GuestMemory, fd: int, stat: int) -> int:
    if fd > 2:
        return BAD_FD
    memory.write(stat, struct.pack("<BxHxxxxQQ", _CHARACTER_DEVICE, 0, _RIGHT_FD_WRITE if fd else 0, 0))
    return SUCCESS


def _exit(_memory: GuestMemory, status: int) -> None:
    raise GuestTrap("trap", f"the guest ended itself with status {status}")


def _raise(_memory: GuestMemory, signal: int) -> int:
    raise GuestTrap("trap", f"the guest raised signal {signal}")


_CLOCKS = {0: time.time_ns, 1: time.monotonic_ns, 2: time.process_time_ns, 3: time.thread_time_ns}


def _clock(memory: GuestMemory, clock: int, _precision: int, result: int) -> int:
    read = _CLOCKS.get(clock)
    if read is None:
        return INVALID
    memory.write(result, struct.pack("<Q", read()))
    return SUCCESS


def _resolution(memory: GuestMemory, clock: int, result: int) -> int:
    if clock not in _CLOCKS:
        return INVALID
    memory.write(result, struct.pack("<Q", 1000))
    return SUCCESS


def _random(memory: GuestMemory, address: int, size: int) -> int:
    target = memory.view(address, size)
    if size > _RANDOM_ALL_MAX:
        return INVALID
    for start in range(0, size, _RANDOM_MAX):
        part = min(_RANDOM_MAX, size - start)
        target[start : start + part] = os.urandom(part)
    return SUCCESS
