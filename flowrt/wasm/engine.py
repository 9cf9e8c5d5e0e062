"""The WebAssembly engine of a process: how code is compiled, which proposals a guest may use, who watches deadlines."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import wasmtime

from flowrt.values import Struct
from flowrt.wasm import capi
from flowrt.wasm.quota import MemoryMaker
from flowrt.wasm.watch import Watch

if TYPE_CHECKING:
    from flowrt.quota.resources import Resources

MEMORY_RESERVATION = 2**32
"""Address space reserved a memory: all a wasm32 guest can have, so that its base never moves."""
STACK_BYTES = 1 << 20
"""A guest's stack, unless a node says otherwise. 1 MiB: half the engine's default, far from the 8 MiB of a thread,
which host functions share."""

_FEATURES = {
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    "wasm_simd": True,
    "wasm_tail_call": True,
    "wasm_component_model": True,
    "wasm_relaxed_simd": False,  # results differ from machine to machine
    "wasm_threads": False,
    "shared_memory": False,
    "wasm_multi_memory": False,
    "wasm_memory64": False,
    "wasm_exceptions": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "wasm_stack_switching": False,
    "wasm_wide_arithmetic": False,
    "wasm_custom_page_sizes": False,
}
"""Proposals by their names in `wasmtime.Config`: what LLVM, Rust, Zig and componentize-py emit, and nothing else."""


class Variant(Struct, frozen=True):
    """What may differ from guest to guest, and is the engine's to know."""

    fuel: bool = False
    """Whether instructions are counted: that is compiled into the code, and every store must then be given fuel."""
    stack: int = STACK_BYTES
    """Bytes of stack a call may use."""


PLAIN = Variant()


def variant_of(resources: Resources) -> Variant:
    """What a node's quota asks of the engine."""
    return Variant(resources.fuel is not None, resources.stack)


class Engine:
    """One a process. `interpreter=True` compiles to Pulley bytecode, which needs no executable memory (the locked-down
    mode).

    Guests with fuel or a stack of their own run on further engines of the same settings, one a variant, made when the
    first asks for it.
    """

    def __init__(self, *, interpreter: bool = False, threads: bool = True) -> None:
        """`threads`: whether one module may be compiled on all cores."""
        self.interpreter = interpreter
        self._threads = threads
        self.target = "pulley64" if interpreter else "host"
        self.watch = Watch(self.interrupt)
        self.memories = MemoryMaker()
        self._lock = threading.Lock()
        self._engines: dict[Variant, wasmtime.Engine] = {}
        self._addresses: tuple[int, ...] = ()

    def native(self, variant: Variant = PLAIN) -> wasmtime.Engine:
        """The engine itself. It is for core modules: each memory needs a quota (`quota.py`)."""
        with self._lock:
            engine = self._engines.get(variant)
            if engine is None:
                engine = self._engines[variant] = wasmtime.Engine(self._config(variant))
                address = ctypes.cast(engine.ptr(), ctypes.c_void_p).value or 0
                self._addresses = (*self._addresses, address)
            return engine

    def settings(self, variant: Variant = PLAIN) -> str:
        """All that decides what code is compiled to, as text: part of a cache key."""
        features = ",".join(name for name, on in sorted(_FEATURES.items()) if on)
        own = f"fuel={variant.fuel:d};epoch=1;stack={variant.stack}"
        return f"{self.target};{own};memory={MEMORY_RESERVATION};cow=0;{features}"

    def refusal(self, code: bytes) -> str | None:
        """Why the engine does not take a module's code, or None when it does. Compiles nothing."""
        try:
            wasmtime.Module.validate(self.native(), code)
        except wasmtime.WasmtimeError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Stop watching deadlines. Guests must be closed first. Safe to call twice."""
        self.watch.close()

    def interrupt(self) -> None:
        """Have each call under way looked at: whether it is overdue, or its graph ends. From any thread."""
        for address in self._addresses:
            capi.increment_epoch(address)

    def _config(self, variant: Variant) -> wasmtime.Config:
        config = wasmtime.Config()
        for name, on in _FEATURES.items():
            setattr(config, name, on)
        config.parallel_compilation = self._threads
        config.epoch_interruption = True
        config.consume_fuel = variant.fuel
        config.max_wasm_stack = variant.stack
        if self.interpreter:
            config.target = self.target
        config.memory_may_move = False
        config.memory_reservation = MEMORY_RESERVATION
        config.memory_init_cow = False  # the engine crashes when it maps an image over memory it did not make
        self.memories.attach(config.ptr())
        return config
