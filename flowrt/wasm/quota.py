"""Linear memory that knows its quota, and remembers that it refused.

The engine's own limiter says no without telling anyone, so that a guest which gives up afterwards would look like one
with a mistake. Therefore the memories of core modules are made here: address space for all that a wasm32 guest can
name, of which as much may be used as the quota allows. Its base never moves.

Source: `wasmtime_memory_creator_t` and `wasmtime_linear_memory_t` in `wasmtime/config.h`.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Callable
from typing import Any

from wasmtime import _ffi as ffi

from flowrt.quota.pool import Pool
from flowrt.wasm import capi

_NO_ACCESS, _READ_WRITE = 0, mmap.PROT_READ | mmap.PROT_WRITE
_MAP_NORESERVE = 0x4000  # of Linux on x86-64 and aarch64; Python's mmap does not name it
_MAP = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
_LIBC = ctypes.CDLL(None, use_errno=True)
_mmap = _LIBC.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_munmap = _LIBC.munmap
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_mprotect = _LIBC.mprotect
_mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype = ctypes.py_object
_view.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_WRITABLE = 0x200
"""`PyBUF_WRITE`."""
_FAILED = ctypes.c_void_p(-1).value


class MemoryQuota:
    """The linear memory of one instance: at most `limit` bytes, taken from `pool` too where there is one."""

    def __init__(self, limit: int, pool: Pool | None = None) -> None:
        self.limit = limit
        self.refused = False
        """The guest, or its module's start, has asked for more."""
        self.words = ""
        """What it asked for more than, where that is another bound than `limit`."""
        self.size = 0
        """Bytes in use."""
        self.used: Callable[[], None] = lambda: None
        """Called when the guest wants more, on its thread."""
        self._base = self._reserved = self._capacity = 0
        self._kept: list[Any] = []
        self._pool = pool

    def create(self, minimum: int, capacity: int, guard: int, made: Any) -> int | None:
        """Fill in a `wasmtime_linear_memory_t`; gives an error of the engine's or None."""
        if self._base:
            return capi.new_error(b"a second memory")  # type: ignore[no-any-return]
        base = _mmap(None, capacity + guard, _NO_ACCESS, _MAP, -1, 0)
        if base == _FAILED:
            return capi.new_error(b"no address space")  # type: ignore[no-any-return]
        self._base, self._reserved, self._capacity = base, capacity + guard, capacity
        get, grow = ffi.wasmtime_memory_get_callback_t(self._get), ffi.wasmtime_memory_grow_callback_t(self._grow)
        self._kept += [get, grow]
        made.env, made.get_memory, made.grow_memory = None, get, grow
        return self._grow(0, minimum) or None

    def view(self) -> memoryview:
        """The bytes in use, writable. It must not outlive `release`."""
        if not self.size:
            return memoryview(b"")
        return _view(self._base, self.size, _WRITABLE).cast("B")  # type: ignore[no-any-return]

    def release(self) -> None:
        """Give the memory back, after its store is gone. Safe to call twice."""
        if self._base:
            _munmap(self._base, self._reserved)
            if self._pool is not None:
                self._pool.give(self.size)
            self._base = self.size = 0
            self._kept.clear()

    def _get(self, _environment: int, size: Any, capacity: Any) -> int:
        size[0], capacity[0] = self.size, self._capacity
        return self._base

    def _grow(self, _environment: int, size: int) -> int:
        self.used()
        if size > self.limit:
            self.refused = True
            return capi.new_error(b"over the quota")  # type: ignore[no-any-return]
        if self._pool is not None and not self._pool.take(size - self.size):
            self.refused, self.words = True, f"is left of {self._pool.refusal}"
            return capi.new_error(b"over the budget")  # type: ignore[no-any-return]
        if size and _mprotect(self._base, size, _READ_WRITE):
            if self._pool is not None:
                self._pool.give(size - self.size)
            return capi.new_error(b"no memory")  # type: ignore[no-any-return]
        self.size = size
        return 0


class MemoryMaker:
    """Makes the memories of one engine. An instantiation names its quota in `claims` under its thread's id."""

    def __init__(self) -> None:
        self.claims: dict[int, MemoryQuota] = {}
        self._new = ffi.wasmtime_new_memory_callback_t(self._create)
        self._creator = ffi.wasmtime_memory_creator_t(env=None, new_memory=self._new)

    def attach(self, config: Any) -> None:
        """Make a `wasm_config_t` use this."""
        ffi.wasmtime_config_host_memory_creator_set(config, ctypes.byref(self._creator))

    def _create(
        self, _environment: int, _kind: Any, minimum: int, _maximum: int, reserved: int, guard: int, made: Any
    ) -> int:
        quota = self.claims.get(threading.get_ident())
        if quota is None:
            return capi.new_error(b"no quota was named")  # type: ignore[no-any-return]
        return quota.create(minimum, reserved, guard, made.contents) or 0
