"""Where a guest spends its time: samples of its stack, through Wasmtime's guest profiler.

The engine's epoch moves on every millisecond; the store that runs then asks its callback, which takes a sample. Source:
`wasmtime/profiling.h` of Wasmtime 50.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns, sleep
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from flowrt.events import Emit
from flowrt.graph.facts import ModuleFacts
from flowrt.quota.resources import Resources
from flowrt.wasm import capi
from flowrt.wasm.cache import compile_module
from flowrt.wasm.engine import Engine
from flowrt.wasm.factory import CoreGuestFactory, read_code
from flowrt.wasm.guest import CoreGuest
from flowrt.wasm.heads import NodeHeads
from flowrt.wasm.log import GuestLog
from flowrt.wasm.tables import tables_of

CALL_SECONDS = 3600.0
"""A guest's deadline while it is looked at, which slows it down; the command that asked for it can be interrupted."""
INTERVAL_SECONDS = 0.001
"""Between samples: a thousand a second show what takes one part in a hundred within seconds."""


class Profiler:
    """Of one guest, whose module it must be given. The guest's calls have no deadline from then on."""

    def __init__(self, engine: Engine, module: wasmtime.Module, name: str, guest: CoreGuest) -> None:
        self.samples = 0
        """Taken so far, those of an empty stack included."""
        self._engine = ctypes.cast(engine.native().ptr(), ctypes.c_void_p).value or 0
        text = _name(name)
        listed = ffi.wasmtime_guestprofiler_modules(ctypes.pointer(text), module.ptr())
        interval = int(INTERVAL_SECONDS * 1e9)
        self._profiler: int | None = capi.profiler_new(
            self._engine, ctypes.addressof(text), interval, ctypes.addressof(listed), 1
        )
        self._last = perf_counter_ns()
        self._store = guest.observe(self._on_epoch)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Samples are taken of what the guest does within."""
        done = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(done,), name="flowrt-profiler", daemon=True)
        self._last = perf_counter_ns()
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()

    def finish(self) -> bytes:
        """The profile, as JSON for https://profiler.firefox.com. Nothing is sampled after it."""
        profiler, self._profiler = self._profiler, None
        out = ffi.wasm_byte_vec_t()
        error = capi.profiler_finish(profiler, ctypes.addressof(out))
        if error:
            raise ValueError(capi.take_error(error).message)
        try:
            return ctypes.string_at(out.data, out.size)
        finally:
            capi.bytes_delete(ctypes.addressof(out))

    def _tick(self, done: threading.Event) -> None:
        while not done.is_set():
            sleep(INTERVAL_SECONDS)
            capi.increment_epoch(self._engine)

    def _on_epoch(self, _context: int, _data: int, delta: Any, kind: Any) -> int | None:
        now = perf_counter_ns()
        if self._profiler is not None:
            capi.profiler_sample(self._profiler, self._store, now - self._last)
            self.samples += 1
        self._last = now
        delta[0], kind[0] = 1, 0
        return None


def profiled(
    facts: ModuleFacts,
    resources: Resources,
    properties: Sequence[tuple[str, str]],
    grants: frozenset[str],
    *,
    emit: Emit,
    graph: str,
    node: str,
) -> tuple[CoreGuest, Profiler]:
    """A guest of its own for one node, on an engine of its own, and its profiler. Raises `StartError` and `GuestTrap`
    as a start of the graph does."""
    engine, code = Engine(), read_code(facts, node)
    module = compile_module(engine, code)
    resources = resources.model_copy(update={"deadline": CALL_SECONDS, "fuel": None, "cpu": None})
    log = GuestLog(emit, graph, node, resources.log_lines)
    guest = CoreGuestFactory(
        engine, module, resources, properties, NodeHeads(facts.outputs), log, grants, tuple,
        tables=tables_of(code, resources.memory),
    )()  # fmt: skip
    return guest, Profiler(engine, module, node, guest)


def _name(text: str) -> ffi.wasm_byte_vec_t:
    """A name in the engine's form; it lives as long as what is returned."""
    data = text.encode()
    vector = ffi.wasm_byte_vec_t()
    vector.size = len(data)
    vector.data = ctypes.cast(ctypes.create_string_buffer(data, len(data)), ctypes.POINTER(ctypes.c_uint8))
    return vector
