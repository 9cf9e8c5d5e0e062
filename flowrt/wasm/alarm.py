"""Moves an engine's epoch on at a given moment, without Python.

A thread that wants the interpreter's lock waits for others that hand it to each other, milliseconds where it should be
2. A timer of the kernel needs no lock: the C library calls the engine's function on a thread of its own.

Source: timer_create(2), sigevent(3type).
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

_CLOCK_MONOTONIC, _SIGEV_THREAD = 1, 2
_SHORTEST = 20e-6
"""Seconds. A timer of nothing would not go off."""


class _Event(ctypes.Structure):
    """`struct sigevent`, of 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p), ("attributes", ctypes.c_void_p), ("rest", ctypes.c_byte * 32),
    )  # fmt: skip


class _Times(ctypes.Structure):
    """`struct itimerspec`: the interval, then the time to the first."""

    _fields_ = (("again", ctypes.c_long * 2), ("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _function(name: str) -> Any:
    """Of the C library, a part of which is a library of its own where that is older than glibc 2.34."""
    for library in (None, "librt.so.1"):
        with suppress(OSError, AttributeError):
            return getattr(ctypes.CDLL(library), name)
    return lambda *_: -1


_create, _arm, _delete = map(_function, ("timer_create", "timer_settime", "timer_delete"))
_INCREMENT = ctypes.cast(ffi.dll.wasmtime_engine_increment_epoch, ctypes.c_void_p)
_kept: set[int] = set()
"""Addresses of engines that are never freed, not at the process's end either: a thread of the C library may be about to
call an engine's function when its timer is deleted."""


class Alarm:
    """One timer, made when it is wanted first. Where the system gives none it does nothing."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._timer = ctypes.c_void_p()
        self._made: bool | None = None

    def after(self, seconds: float) -> None:
        """Go off once, so long from now, in the place of any time that was said before."""
        if self._made is None:
            self._made = self._make()
        if self._made:
            whole, part = divmod(max(seconds, _SHORTEST), 1.0)
            times = _Times(seconds=int(whole), nanoseconds=int(part * 1e9))
            _arm(self._timer, 0, ctypes.byref(times), None)

    def close(self) -> None:
        """Safe to call twice."""
        if self._made:
            _delete(self._timer)
        self._made = False

    def _make(self) -> bool:
        address = ctypes.cast(self._engine.ptr(), ctypes.c_void_p).value or 0
        if address not in _kept:
            _kept.add(address)
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._engine))
        event = _Event(value=address, notify=_SIGEV_THREAD, function=_INCREMENT)
        return bool(_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)) == 0)
