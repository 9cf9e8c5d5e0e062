"""One instance of a component in a store of its own: what bounds it, calls in, callbacks out.

As `crossing.py` for core modules: the same kinds of faults, the same deadlines, an exact memory quota. Everything here
is used by one thread at a time.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component as native

from flowrt.endpoints.base import Stopped
from flowrt.errors import FlowrtBug, GuestMisuse, GuestTrap
from flowrt.graph.worlds import direct_interface, interface
from flowrt.values import Struct
from flowrt.wasm import capi as core
from flowrt.wasm.component import buffers, capi
from flowrt.wasm.component.buffers import Buffers
from flowrt.wasm.component.memory import TotalQuota
from flowrt.wasm.component.streams import Stream
from flowrt.wasm.component.values import SIZE, memory, values_at
from flowrt.wasm.crossing import Exited, Limits, from_host, trap_of
from flowrt.wasm.deadline import Deadline
from flowrt.wasm.engine import Engine
from flowrt.wasm.memory import LinearMemory

if TYPE_CHECKING:
    from flowrt.wasm.component.grants import Grants

_INSTANCES, _TABLES, _MEMORIES, _TABLE_ELEMENTS = 64, 16, 16, 1 << 17
"""A component made of Python has 19 core instances, and a table of 40,000 functions."""
_ELEMENT_PART = 512
"""A table has an element of 8 bytes for so many bytes of memory: all tables come to a quarter of the quota at most."""
_TOO_MUCH = "fuel allocated for hostcalls"
"""In the engine's words for a call that hands over more values than the host should hold."""
_NO_FINALIZER = None

Answer = Callable[["ComponentStore", list[bytes]], bytes | None]
"""A host function: takes the values of its arguments (valid during the call), gives an owned value (`owned.py`)."""
Output = Callable[[bytes], None]
"""Takes what a guest writes to a stream."""


class HostCall(Struct, frozen=True):
    """One function of an interface that a component may import."""

    interface: str
    name: str
    call: Answer


class HostResource(Struct, frozen=True):
    """A type of resource whose things the host keeps, each under a number."""

    interface: str
    name: str
    kind: int
    """Tells it from all others of one store; `buffers.KIND` is taken."""
    drop: Callable[[int], None]
    """The guest is done with that number."""


class Offer(Struct, frozen=True):
    """What somebody else than AIO's host offers to one instance, as the component door of wasi-nn does."""

    calls: Sequence[HostCall] = ()
    resources: Sequence[HostResource] = ()


NOTHING = Offer()


class ComponentStore:
    """A store with one instance. Raises `GuestTrap` when it does not come up; call `close` in the end."""

    def __init__(
        self,
        engine: Engine,
        component: native.Component,
        imports: Sequence[HostCall],
        limits: Limits,
        streams: tuple[Output, Output] | None = None,
        *,
        resources: Sequence[HostResource] = (),
        wasi: wasmtime.WasiConfig | None = None,
        grants: Grants | None = None,
        types: str = interface("types"),
    ) -> None:
        """`streams` take what the guest writes, and of WASI it has what `grants` says; or `wasi` says what a command
        has. `types`: the interface that the component imports buffers from."""
        self.buffers = Buffers(limits.memory)
        self.broken = False
        """A call has failed: the instance must not be called again."""
        self.memory = limits.memory
        """Bytes the node may hold."""
        self._limits = limits
        self._watch = engine.watch
        self._pending: BaseException | None = None
        self._quota = TotalQuota(limits.memory, limits.pool)
        self.guest = LinearMemory(self._quota.view)
        """Its memory, for functions whose lists cross in place."""
        self._store = wasmtime.Store(engine.native(limits.variant))
        elements = min(_TABLE_ELEMENTS, limits.memory // _ELEMENT_PART)
        self._store.set_limits(-1, elements, instances=_INSTANCES, tables=_TABLES, memories=_MEMORIES)
        self._streams = [Stream(write) for write in streams or ()]
        self._store.set_wasi(wasi or _wasi(*self._streams, grants=grants))
        self._context = ctypes.cast(self._store._context(), ctypes.c_void_p)
        self._deadline = Deadline(engine.watch, self._store, limits.deadline, limits.meter)
        self._result = ctypes.create_string_buffer(SIZE)
        self._result_address = ctypes.c_void_p(ctypes.addressof(self._result))
        self._kept: list[Any] = []
        self._quota.used = self._deadline.in_host
        engine.memories.claims[threading.get_ident()] = self._quota
        places = (types, direct_interface(types))
        held = [HostResource(place, "buffer", buffers.KIND, self.buffers.drop) for place in places]
        try:
            self._instance = self._instantiate(component, imports, [*held, *resources])
        except BaseException:
            self.close()
            raise
        finally:
            del engine.memories.claims[threading.get_ident()]

    def function(self, name: str, function: str, arguments: int, count: int) -> Callable[[], bytes]:
        """An exported function of an interface, bound to `count` arguments at that address, whose type the caller has
        compared. Called, it gives the value of its result, which is valid until `release`."""
        index = self._instance.get_export_index(self._store, name)
        inner = index and self._instance.get_export_index(self._store, function, index)
        found = inner and self._instance.get_func(self._store, inner)
        if not found:
            raise GuestMisuse(f"it does not export {function} of {name}")
        self._kept.append(found)
        target = ctypes.c_void_p(ctypes.addressof(found._func))
        given, given_count, one = ctypes.c_void_p(arguments), ctypes.c_size_t(count), ctypes.c_size_t(1)
        context, result, result_address = self._context, self._result, self._result_address
        watch, running, clock = self._watch, self._watch.running, self._watch.clock
        cross, due, span, fuel = capi.call, self._deadline, self._deadline.span, self._limits.fuel
        patience = due.patience

        def call() -> bytes:
            if self.broken:
                raise FlowrtBug("a guest was called after it had failed")
            if fuel is not None:
                core.set_fuel(context, fuel)
            running[due] = clock() + span
            try:
                if watch.asleep:
                    watch.wake()
                error = cross(target, context, given, given_count, result_address, one)
            finally:
                if due.held:
                    due.let_go()
                look = running.pop(due)
            if error:
                raise self._failed(error)
            if clock() > look + patience:
                self._slept()
            return result.raw

        return call

    def _slept(self) -> None:
        """Nobody can end a call while it sleeps with the engine, and this one came back without being looked at."""
        self.broken = True
        raise GuestTrap("deadline", f"a call took longer than {self._limits.deadline:g} s")

    def release(self) -> None:
        """Give the result of the last call back."""
        capi.value_delete(self._result_address)
        ctypes.memset(self._result, 0, SIZE)

    def lend(self, payload: bytes) -> int:
        """The address of a resource for a buffer that the guest will own; for one call, then `forget` it."""
        return self.make(buffers.KIND, self.buffers.add(payload))

    def make(self, kind: int, number: int) -> int:
        """The address of a resource that the guest will own."""
        host = capi.host_new(True, number, kind)
        made = ctypes.c_void_p()
        error = capi.host_to_any(self._context, host, ctypes.addressof(made))
        capi.host_delete(host)
        if error:
            raise FlowrtBug(f"a resource cannot be made: {core.take_error(error).message}")
        return int(made.value or 0)

    def forget(self, resource: int) -> None:
        """Free our side of a resource."""
        capi.any_delete(resource)

    def number_of(self, resource: int, kind: int = buffers.KIND) -> int:
        """The number behind a resource that the guest gave. Raises `GuestMisuse` when it is of another kind."""
        host = ctypes.c_void_p()
        error = capi.any_to_host(self._context, resource, ctypes.addressof(host))
        if error:
            raise GuestMisuse(f"it gave a resource that is not the host's: {core.take_error(error).message}")
        number, found = capi.host_number(host.value), capi.host_kind(host.value)
        capi.host_delete(host.value)
        if found != kind:
            raise GuestMisuse("it gave a resource of another type")
        return int(number)

    def give_back(self, resource: int) -> None:
        """Let go of a resource that is not ours and that the guest lent for a call; else the engine ends the call."""
        error = capi.any_drop(self._context, resource)
        if error:
            raise GuestMisuse(f"it lent a resource that cannot be given back: {core.take_error(error).message}")

    def take(self, resource: int) -> bytes:
        """What the buffer behind a resource held that the guest gave back."""
        return self.buffers.take(self.number_of(resource))

    def memory_bytes(self) -> int:
        """Linear memory in use; safe to ask from any thread."""
        return self._quota.size

    def close(self) -> None:
        """Give the instance and its memory back. Safe to call twice."""
        self.broken = True
        self.guest.close()
        self._deadline.close()
        self._store.close()
        while self._streams:
            self._streams.pop().wait()
        self._quota.release()
        self._kept.clear()

    def _instantiate(
        self, component: native.Component, imports: Sequence[HostCall], resources: Sequence[HostResource]
    ) -> native.Instance:
        linker = native.Linker(self._store.engine)
        linker.add_wasip2()
        linker.allow_shadowing = True  # of what is not granted
        self._define(linker, imports, resources)
        if self._limits.fuel is not None:
            core.set_fuel(self._context, self._limits.fuel)
        made = ffi.wasmtime_component_instance_t()
        self._watch.running[self._deadline] = self._watch.clock() + self._deadline.span
        try:
            if self._watch.asleep:
                self._watch.wake()
            error = capi.instantiate(
                ctypes.cast(linker.ptr(), ctypes.c_void_p),
                self._context,
                ctypes.cast(component.ptr(), ctypes.c_void_p),
                ctypes.addressof(made),
            )
        finally:
            self._deadline.let_go()
            del self._watch.running[self._deadline]
            linker.close()
        if error:
            raise self._failed(error)
        return native.Instance._from_raw(made)

    def _define(self, linker: native.Linker, imports: Sequence[HostCall], resources: Sequence[HostResource]) -> None:
        names = dict.fromkeys([*(kind.interface for kind in resources), *(call.interface for call in imports)])
        with linker.root() as root:
            for name in names:
                with root.add_instance(name) as instance:
                    address = ctypes.cast(instance.ptr(), ctypes.c_void_p)
                    for resource in resources:
                        if resource.interface == name:
                            self._define_resource(address, resource)
                    for call in imports:
                        if call.interface == name:
                            self._define_call(address, call)

    def _define_resource(self, instance: ctypes.c_void_p, resource: HostResource) -> None:
        forget, in_host = resource.drop, self._deadline.in_host

        def drop(_data: int, _context: int, number: int) -> int:
            in_host()
            try:
                forget(number)
            except BaseException as error:  # noqa: BLE001 - as in `_define_call`
                self._pending = error
                return int(core.new_error(b"host"))
            return 0

        callback, name = capi.DESTRUCTOR(drop), resource.name.encode()
        kind = native.ResourceType.host(resource.kind)
        self._kept += [callback, kind]
        pointer = ctypes.cast(kind.ptr(), ctypes.c_void_p)
        made = capi.add_resource(instance, name, len(name), pointer, callback, None, _NO_FINALIZER)
        _defined(resource.name, made)

    def _define_call(self, instance: ctypes.c_void_p, function: HostCall) -> None:
        answer, in_host = function.call, self._deadline.in_host

        def callback(_d: int, _c: int, _t: int, given: int, count: int, results: int, _n: int) -> int:
            in_host()
            try:
                value = answer(self, values_at(given, count))
                if value is not None:
                    memory(results, SIZE)[:] = value
            except BaseException as error:  # noqa: BLE001 - nothing may pass through the engine's frames; it is raised behind them
                self._pending = error
                return int(core.new_error(b"host"))
            return 0

        kept, name = capi.FUNCTION(callback), function.name.encode()
        self._kept.append(kept)
        _defined(function.name, capi.add_function(instance, name, len(name), kept, None, _NO_FINALIZER))

    def _failed(self, error: int) -> BaseException:
        """What the call that just failed is to raise. Frees what the engine gave."""
        self.broken = True
        failure = core.take_error(error)
        pending, self._pending = self._pending, None
        if pending is not None:
            return from_host(pending, failure.backtrace)
        if failure.status is not None:
            return Exited(failure.status)
        if self._limits.fuel is not None and not self._fuel_left():
            return GuestTrap("fuel", f"a call used up its fuel of {self._limits.fuel}", failure.backtrace)
        if failure.message and _TOO_MUCH in failure.message:
            words = "it hands over too much data in one call: 128 MiB are the most, where a byte of a list counts as 32"
            return GuestTrap("size", words, failure.backtrace)
        if self._deadline.stopped:
            return Stopped()
        overdue, quota = self._deadline.overdue, self._quota
        return trap_of(failure, self._limits, overdue=overdue, refused=quota.refused, bound=quota.words)

    def _fuel_left(self) -> int:
        try:
            return self._store.get_fuel()
        except wasmtime.WasmtimeError:
            return 0


def _wasi(output: Stream, errors: Stream, *, grants: Grants | None) -> wasmtime.WasiConfig:
    """WASI 0.2 with no argument, an empty input, and no folder, environment or network but what is granted."""
    config = wasmtime.WasiConfig()
    if grants is not None:
        grants.apply(config)
    output.attach(config, capi.set_stdout)
    errors.attach(config, capi.set_stderr)
    return config


def _defined(name: str, error: int | None) -> None:
    if error:
        raise FlowrtBug(f"{name} cannot be offered: {core.take_error(error).message}")
