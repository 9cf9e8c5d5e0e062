"""The deadline of one store's calls: what the engine asks when its epoch moves on (`watch.py`)."""

from __future__ import annotations

import ctypes
from typing import Any

import wasmtime

from flowrt.wasm import capi
from flowrt.wasm.watch import Watch

_GRACE = 0.05
"""Seconds an overdue call goes on at most before it is ended."""


class Deadline:
    """Enter it into `watch.running` with the time it is due around each call into the store."""

    def __init__(self, watch: Watch, store: wasmtime.Store, seconds: float) -> None:
        self.overdue = False
        """A call has been ended."""
        self._watch = watch
        self._seconds = seconds
        self._extended: float | None = None
        self._callback = capi.EPOCH_CALLBACK(self._on_epoch)
        watch.expect(seconds)
        # The engine asks when its epoch moves on, which it only does when some call is overdue.
        capi.set_epoch_callback(ctypes.cast(store.ptr(), ctypes.c_void_p), self._callback, None, None)
        capi.set_epoch_deadline(ctypes.cast(store._context(), ctypes.c_void_p), 1)

    def _on_epoch(self, _context: int, _data: int, delta: Any, kind: Any) -> int | None:
        due, now = self._watch.running.get(self), self._watch.clock()
        if due is not None and due <= now and due != self._extended:
            # On a busy machine the thread may have waited between noting when it is due and entering the guest, so the
            # first time it is found overdue proves nothing: from here the guest runs at once.
            self._extended = self._watch.running[self] = now + min(self._seconds / 4, _GRACE)
        elif due is not None and due <= now:
            self.overdue = True
            return capi.new_error(b"deadline")  # type: ignore[no-any-return]
        delta[0], kind[0] = 1, 0
        return None
