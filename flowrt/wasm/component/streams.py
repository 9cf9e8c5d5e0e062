"""What a component writes to standard output and error.

The engine hands it over on a thread of its own, some time after the guest wrote it, and lets go of the callback there
too. A thread that wants to enter Python when the process ends would bring it down; so whoever closes an instance waits
until the engine has let go, and that is told by a semaphore of the C library, without Python.
"""

from __future__ import annotations

import ctypes
import errno
import time
from collections.abc import Callable
from typing import Any

import wasmtime

from flowrt.wasm.component import capi

_WRITE_MAX = 1 << 16
"""Bytes of one write that are looked at; the rest counts as written and is left out."""
_LET_GO_SECONDS = 1.0
_SEMAPHORE_BYTES = 64
"""More than a `sem_t` has on any Linux."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_sem_init = _LIBC.sem_init
_sem_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
_sem_post = ctypes.cast(_LIBC.sem_post, ctypes.c_void_p)
_sem_timedwait = _LIBC.sem_timedwait
_sem_timedwait.argtypes = [ctypes.c_void_p, ctypes.c_void_p]


class Stream:
    """`write` takes the bytes, on any thread, one call at a time."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._callback = capi.STREAM_WRITE(self._on_write)
        self._let_go = ctypes.create_string_buffer(_SEMAPHORE_BYTES)
        _sem_init(ctypes.addressof(self._let_go), 0, 0)

    def attach(self, config: wasmtime.WasiConfig, setter: Any) -> None:
        """Make it the output (`capi.set_stdout`) or the errors of a WASI configuration, which the engine then owns."""
        setter(ctypes.cast(config.ptr(), ctypes.c_void_p), self._callback, ctypes.addressof(self._let_go), _sem_post)

    def wait(self) -> None:
        """Until the engine has let go, which it does once its store is gone."""
        until = time.time() + _LET_GO_SECONDS
        due = (ctypes.c_long * 2)(int(until), int(until % 1 * 1e9))
        while _sem_timedwait(ctypes.addressof(self._let_go), ctypes.addressof(due)):
            if ctypes.get_errno() != errno.EINTR:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # it may still be called: never give it back
                return

    def _on_write(self, _data: int, address: int, size: int) -> int:
        try:
            self._write(ctypes.string_at(address, min(size, _WRITE_MAX)))
        except BaseException:  # noqa: BLE001 - nothing may pass through the engine's frames
            return -errno.EIO
        return size
