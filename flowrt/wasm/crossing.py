"""The border between Python and one instance of a module: calls in, callbacks out, and what a failure was.

Calls go through `wasmtime_func_call_unchecked` with buffers made once (docs/decisions/003-unchecked-crossing.md). What
makes that safe is checked when a function is bound: its signature. Everything here is used by one thread at a time.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from flowrt.endpoints.base import Stopped
from flowrt.errors import FlowrtBug, GuestMisuse, GuestTrap, NodeFault
from flowrt.quota.meter import Meter
from flowrt.quota.pool import Pool
from flowrt.quota.quantity import format_bytes
from flowrt.values import Struct
from flowrt.wasm import capi
from flowrt.wasm.capi import VALUE_WORDS, Failure
from flowrt.wasm.deadline import Deadline
from flowrt.wasm.engine import STACK_BYTES, Engine, Variant
from flowrt.wasm.imports import BadAddress, HostFunction
from flowrt.wasm.memory import LinearMemory
from flowrt.wasm.quota import MemoryQuota
from flowrt.wasm.tables import ANY_TABLES, Tables

Call = Callable[..., int]
"""An exported function of up to two i32 parameters: takes them unsigned, gives its i32 result unsigned (0 for none)."""

_TYPES = {
    "i32": wasmtime.ValType.i32,
    "i64": wasmtime.ValType.i64,
    "f32": wasmtime.ValType.f32,
    "f64": wasmtime.ValType.f64,
}
_WORDS = {"i32": 1, "i64": 2, "f32": 1, "f64": 2}


class Limits(Struct, frozen=True):
    """What bounds an instance."""

    memory: int
    """Bytes of linear memory and tables."""
    deadline: float
    """Seconds a call may take."""
    fuel: int | None = None
    """Instructions a call may execute."""
    tables: Tables = ANY_TABLES
    meter: Meter | None = None
    """What takes the node's share of the processor: a long call is made to wait in the middle."""
    pool: Pool | None = None
    """What memory and tables are taken from besides: the account of all that is held for the node."""
    stack: int = STACK_BYTES
    """Bytes of stack a call may use."""

    @property
    def variant(self) -> Variant:
        return Variant(self.fuel is not None, self.stack)


class Exited(Exception):
    """A command ended itself, which is no fault."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Crossing:
    """One store with one instance. Raises `GuestTrap` when it does not come up; call `close` in the end."""

    def __init__(
        self,
        engine: Engine,
        module: wasmtime.Module,
        imports: Sequence[HostFunction],
        limits: Limits,
        wasi: wasmtime.WasiConfig | None = None,
    ) -> None:
        """`wasi` is for commands: the engine's own WASI preview 1 with these grants, in the place of `imports`' one."""
        self._limits = limits
        self._wasi = wasi is not None
        self._watch = engine.watch
        self._pending: BaseException | None = None
        self._store = wasmtime.Store(engine.native(limits.variant))
        if wasi is not None:
            self._store.set_wasi(wasi)
        tables = limits.tables
        self._quota = MemoryQuota(limits.memory - tables.bytes, limits.pool)
        self._held = 0
        self._store.set_limits(-1, tables.elements, instances=1, tables=tables.count, memories=1)
        self._context = ctypes.cast(self._store._context(), ctypes.c_void_p)
        self._trap = ctypes.c_void_p()
        self._trap_address = ctypes.c_void_p(ctypes.addressof(self._trap))
        self._instance = ffi.wasmtime_instance()
        self._kept: list[Any] = []
        self.memory = LinearMemory(self._quota.view)
        self.broken = False
        """A call has failed: the instance must not be called again."""
        self._deadline = Deadline(engine.watch, self._store, limits.deadline, limits.meter)
        self._quota.used = self._deadline.in_host
        engine.memories.claims[threading.get_ident()] = self._quota
        try:
            self._hold(tables.bytes)
            self._instantiate(module, imports)
        except BaseException:
            self.close()
            raise
        finally:
            del engine.memories.claims[threading.get_ident()]

    def bind(self, name: str, parameters: int, results: int) -> Call | None:
        """The exported function `name` of so many i32 parameters and results, or None when there is none.

        Raises `GuestMisuse` when it has another signature.
        """
        found = self._export(name, ffi.WASMTIME_EXTERN_FUNC.value)
        if found is None:
            return None
        signature = wasmtime.Func._from_raw(found.of.func).type(self._store)
        i32 = wasmtime.ValType.i32()
        if signature.params != [i32] * parameters or signature.results != [i32] * results:
            raise GuestMisuse(f"its export '{name}' has another signature than the ABI gives it")
        return self._caller(found, max(parameters, results))

    def run(self, name: str) -> None:
        """Call an export that takes and gives nothing, when there is one."""
        call = self.bind(name, 0, 0)
        if call is not None:
            call()

    def misuse(self, detail: str) -> GuestMisuse:
        """The guest broke the ABI: the instance is not called again."""
        self.broken = True
        return GuestMisuse(detail)

    def observe(self, look: Callable[..., int | None]) -> int:
        """Let a profiler look whenever the engine's epoch moves on; no deadline holds from then on. The store."""
        callback, store = capi.EPOCH_CALLBACK(look), ctypes.cast(self._store.ptr(), ctypes.c_void_p)
        self._kept.append(callback)
        capi.set_epoch_callback(store, callback, None, None)
        return store.value or 0

    def memory_bytes(self) -> int:
        """Linear memory in use, and all that the tables may come to; safe to ask from any thread."""
        return self._quota.size + self._limits.tables.bytes

    def close(self) -> None:
        """Give the instance and its memory back. Safe to call twice."""
        self.broken = True
        self.memory.close()
        self._deadline.close()
        self._store.close()
        self._quota.release()
        self._kept.clear()
        if self._limits.pool is not None:
            self._limits.pool.give(self._held)
            self._held = 0

    def _hold(self, size: int) -> None:
        pool = self._limits.pool
        if pool is not None and size:
            if not pool.take(size):
                raise GuestTrap("memory", f"its tables may come to more memory than is left of {pool.refusal}")
            self._held = size

    def _caller(self, function: Any, slots: int) -> Call:
        values = (ctypes.c_uint32 * (VALUE_WORDS * 2))()
        self._kept += [values, function]
        raw = memoryview(values).cast("B").cast("I")
        context, trap, trap_address = self._context, self._trap, self._trap_address
        target = ctypes.c_void_p(ctypes.addressof(function.of.func))
        buffer, count = ctypes.c_void_p(ctypes.addressof(values)), ctypes.c_size_t(slots)
        watch, running, clock = self._watch, self._watch.running, self._watch.clock
        cross, due, span, fuel = capi.call_unchecked, self._deadline, self._deadline.span, self._limits.fuel

        def call(first: int = 0, second: int = 0) -> int:
            if self.broken:
                raise FlowrtBug("a guest was called after it had failed")
            if fuel is not None:
                capi.set_fuel(context, fuel)
            raw[0] = first
            raw[4] = second
            running[due] = clock() + span
            try:
                if watch.asleep:
                    watch.wake()
                error = cross(context, target, buffer, count, trap_address)
            finally:
                if due.held:
                    due.let_go()
                del running[due]
            if error or trap.value:
                raise self._failed(error)
            return raw[0]

        return call

    def _instantiate(self, module: wasmtime.Module, imports: Sequence[HostFunction]) -> None:
        linker = wasmtime.Linker(self._store.engine)
        if self._wasi:
            linker.define_wasi()
        wanted = {(found.module, found.name) for found in module.imports}
        for function in imports:
            if (function.module, function.name) in wanted:
                self._define(linker, function)
        if self._limits.fuel is not None:
            capi.set_fuel(self._context, self._limits.fuel)
        self._watch.running[self._deadline] = self._watch.clock() + self._deadline.span
        try:
            if self._watch.asleep:
                self._watch.wake()
            error = capi.instantiate(
                ctypes.cast(linker.ptr(), ctypes.c_void_p),
                self._context,
                ctypes.cast(module.ptr(), ctypes.c_void_p),
                ctypes.addressof(self._instance),
                self._trap_address,
            )
        finally:
            self._deadline.let_go()
            del self._watch.running[self._deadline]
            linker.close()
        if error or self._trap.value:
            raise self._failed(error)
        if self._export("memory", ffi.WASMTIME_EXTERN_MEMORY.value) is None:
            raise self.misuse("it exports no memory named 'memory'")

    def _export(self, name: str, kind: int) -> Any:
        encoded, found = name.encode(), ffi.wasmtime_extern_t()
        present = capi.export_get(
            self._context, ctypes.addressof(self._instance), encoded, len(encoded), ctypes.addressof(found)
        )
        return found if present and int(found.kind) == kind else None

    def _define(self, linker: wasmtime.Linker, function: HostFunction) -> None:
        signature = wasmtime.FuncType(
            [_TYPES[kind]() for kind in function.params], [_TYPES[kind]() for kind in function.results]
        )
        callback = capi.CALLBACK(self._paying(self._callback(function)))
        self._kept.append(callback)
        module, name = function.module.encode(), function.name.encode()
        error = capi.define_unchecked(
            ctypes.cast(linker.ptr(), ctypes.c_void_p),
            module, len(module), name, len(name),
            ctypes.cast(signature.ptr(), ctypes.c_void_p),
            callback, None, None,
        )  # fmt: skip
        if error:
            raise FlowrtBug(f"{function.module}.{function.name} cannot be offered: {capi.take_error(error).message}")

    def _paying(
        self, callback: Callable[[int, int, Any, int], int | None]
    ) -> Callable[[int, int, Any, int], int | None]:
        """A host function that is only begun while the node has something left of its share."""
        at_host_call = self._deadline.at_host_call

        def paying(environment: int, caller: int, values: Any, count: int) -> int | None:
            return at_host_call() or callback(environment, caller, values, count)

        return paying if self._deadline.metered else callback

    def _callback(self, function: HostFunction) -> Callable[[int, int, Any, int], int | None]:
        call, memory = function.call, self.memory
        take = _taker(function.params)
        put = _putter(function.results)

        def failed(error: BaseException) -> int:
            self._pending = error
            return capi.new_trap(b"host", 4)  # type: ignore[no-any-return]

        def callback(_environment: int, _caller: int, values: Any, _count: int) -> int | None:
            try:
                put(values, call(memory, *take(values)))
            except BaseException as error:  # noqa: BLE001 - nothing may pass through the engine's frames; it is raised behind them
                return failed(error)
            return None

        end = VALUE_WORDS * len(function.params)

        def plain(_environment: int, _caller: int, values: Any, _count: int) -> int | None:
            try:
                values[0] = call(memory, *values[0:end:VALUE_WORDS]) & 0xFFFFFFFF  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - as above
                return failed(error)
            return None

        return plain if {*function.params, *function.results} == {"i32"} and function.results else callback

    def _failed(self, error: int | None) -> BaseException:
        """What the call that just failed is to raise. Frees what the engine gave."""
        self.broken = True
        if error:
            failure = capi.take_error(error)
        else:
            failure = capi.take_trap(self._trap.value or 0)
            self._trap.value = None
        pending, self._pending = self._pending, None
        if pending is not None:
            return from_host(pending, failure.backtrace)
        if failure.status is not None:
            return Exited(failure.status)
        if self._deadline.stopped:
            return Stopped()
        overdue, quota = self._deadline.overdue, self._quota
        return trap_of(failure, self._limits, overdue=overdue, refused=quota.refused, bound=quota.words)


def trap_of(failure: Failure, limits: Limits, *, overdue: bool, refused: bool, bound: str = "") -> GuestTrap:
    """What a failed call is: `overdue` by its deadline, or `refused` memory before, beyond `bound`, or a trap of the
    guest's own."""
    if overdue:
        return GuestTrap("deadline", f"a call took longer than {limits.deadline:g} s", failure.backtrace)
    if refused and failure.code in {None, capi.TRAP_UNREACHABLE}:
        bound = bound or f"its quota of {format_bytes(limits.memory)}"
        return GuestTrap("memory", f"it asked for more memory than {bound}", failure.backtrace)
    kind = {capi.TRAP_OUT_OF_FUEL: "fuel", capi.TRAP_INTERRUPT: "deadline"}.get(failure.code or -1, "trap")
    return GuestTrap(kind, failure.message or "the engine gave no reason", failure.backtrace)


def from_host(error: BaseException, backtrace: str) -> BaseException:
    """What a host function raised, as the fault of the guest's call."""
    if isinstance(error, BadAddress):
        fault: GuestTrap = GuestMisuse(str(error))
        fault.backtrace = backtrace
    elif isinstance(error, NodeFault):
        fault = GuestTrap(error.kind, error.detail, backtrace)
    elif isinstance(error, Exception):
        fault = GuestTrap("internal", f"{type(error).__name__}: {error}", backtrace)
    else:
        return error
    fault.__cause__ = error
    return fault


def _taker(kinds: Sequence[str]) -> Callable[[Any], Sequence[int | float]]:
    """Reads the arguments of a signature out of its raw values."""
    count = len(kinds)
    if all(kind == "i32" for kind in kinds):
        return lambda values: values[0 : VALUE_WORDS * count : VALUE_WORDS] if count else ()

    def take(values: Any) -> list[int | float]:
        return [_value(kind, values, VALUE_WORDS * index) for index, kind in enumerate(kinds)]

    return take


def _value(kind: str, values: Any, at: int) -> int | float:
    if kind == "i32":
        return values[at]  # type: ignore[no-any-return]
    if kind == "f32":
        return struct.unpack("<f", struct.pack("<I", values[at]))[0]  # type: ignore[no-any-return]
    bits: int = values[at] | values[at + 1] << 32
    if kind == "i64":
        return bits
    return struct.unpack("<d", struct.pack("<Q", bits))[0]  # type: ignore[no-any-return]


def _putter(kinds: Sequence[str]) -> Callable[[Any, Any], None]:
    """Writes the result of a signature into its raw values."""
    if not kinds:
        return lambda _values, _result: None
    kind = kinds[0]

    def put(values: Any, result: Any) -> None:
        if kind == "f32":
            result = struct.unpack("<I", struct.pack("<f", result))[0]
        elif kind == "f64":
            result = struct.unpack("<Q", struct.pack("<d", result))[0]
        for word in range(_WORDS[kind]):
            values[word] = result >> (32 * word) & 0xFFFFFFFF

    return put
