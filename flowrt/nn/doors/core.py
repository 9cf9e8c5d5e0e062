"""The core door: `wasi_ephemeral_nn` for guests that are core modules (docs/wasi-nn.md).

Nothing a guest passes raises beyond this file: it gets an errno, the node's counter rises, and the reason is reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from flowrt.nn.doors import witx
from flowrt.nn.doors.handles import Handles
from flowrt.nn.doors.holdings import MAX_CONTEXTS, MAX_GRAPHS, Context, Graph, Holdings
from flowrt.nn.doors.repeats import remember, repeats
from flowrt.nn.faults import ModelFault
from flowrt.wasm.imports import BadAddress, GuestMemory, HostFunction, ValueType

MAX_CONFIG = 64 * 1024
"""Bytes of a model's JSON options."""

_FUNCTIONS: dict[str, tuple[ValueType, ...]] = {
    "load": ("i32",) * 5,
    "load_by_name": ("i32",) * 3,
    "load_by_name_with_config": ("i32",) * 5,
    "unload": ("i32",),
    "init_execution_context": ("i32",) * 2,
    "finalize_execution_context": ("i32",),
    "set_input": ("i32",) * 3,
    "compute": ("i32",),
    "get_output": ("i32",) * 5,
    "compute_single": ("i32",),
    "get_output_single": ("i32",) * 5,
    "fini_single": ("i32",),
}
"""Each with its parameters; the one result is an nn_errno."""


class CoreDoor:
    """wasi-nn for one instance of one node. One thread at a time, as the instance itself."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._graphs: Handles[Graph] = Handles("graph", MAX_GRAPHS)
        self._contexts: Handles[Context] = Handles("context", MAX_CONTEXTS)
        self._named: dict[tuple[str, str], int] = {}
        """By name and options."""

    def functions(self) -> Sequence[HostFunction]:
        """What to link into the guest. The functions live as long as the door."""
        whole = {name: self._guarded(name, getattr(self, "_" + name)) for name in _FUNCTIONS}
        calls = whole | repeats(whole, self._contexts.live)
        return [HostFunction(witx.MODULE, name, params, ("i32",), calls[name]) for name, params in _FUNCTIONS.items()]

    def memory_bytes(self) -> int:
        return self._holdings.budget.used

    def close(self) -> None:
        """Free everything the guest left open. Safe to call twice."""
        for context in self._contexts.clear():
            self._holdings.end(context)
        for graph in self._graphs.clear():
            self._holdings.drop(graph)
        self._named.clear()

    def _guarded(self, name: str, function: Callable[..., None]) -> Callable[..., int]:
        def call(memory: GuestMemory, *arguments: int) -> int:
            try:
                function(memory, *arguments)
            except ModelFault as fault:
                if fault.code != "end-of-sequence":  # which is how a text ends
                    self._holdings.refuse(name, fault.code, fault.detail)
                return witx.ERRNO[fault.code]
            except BadAddress as bad:
                self._holdings.refuse(name, "invalid-argument", str(bad))
                return witx.INVALID_ARGUMENT
            return witx.SUCCESS

        return call

    # What guests call. An out pointer is looked at first: a result nobody can be told of would stay open for ever.

    def _load(self, memory: GuestMemory, builders: int, count: int, encoding: int, target: int, out: int) -> None:
        memory.view(out, 4)
        self._graphs.check_room()
        device, declared = witx.target(target), witx.encoding(encoding)
        spans = witx.read_builders(memory, builders, count)
        graph = self._holdings.open_bytes(
            [length for _, length in spans], lambda index: memory.read(*spans[index]), declared, device
        )
        memory.write(out, witx.pack_u32(self._graphs.add(graph)))

    def _load_by_name(self, memory: GuestMemory, name: int, length: int, out: int) -> None:
        memory.view(out, 4)
        text = _utf8(memory.view(name, length), "the name of a model")
        memory.write(out, witx.pack_u32(self._named_graph(text, "")))

    def _load_by_name_with_config(
        self, memory: GuestMemory, name: int, length: int, config: int, config_length: int, out: int
    ) -> None:
        memory.view(out, 4)
        if config_length > MAX_CONFIG:
            raise ModelFault("too-large", f"options of {config_length} bytes; at most {MAX_CONFIG}")
        text = _utf8(memory.view(name, length), "the name of a model")
        options = _utf8(memory.view(config, config_length), "the options of a model")
        memory.write(out, witx.pack_u32(self._named_graph(text, options)))

    def _unload(self, _memory: GuestMemory, graph: int) -> None:
        self._holdings.drop(self._graphs.remove(graph))

    def _init_execution_context(self, memory: GuestMemory, graph: int, out: int) -> None:
        memory.view(out, 4)
        self._contexts.check_room()
        context = self._holdings.start(self._graphs.get(graph))
        memory.write(out, witx.pack_u32(self._contexts.add(context)))

    def _finalize_execution_context(self, _memory: GuestMemory, context: int) -> None:
        self._holdings.end(self._contexts.remove(context))

    def _set_input(self, memory: GuestMemory, context: int, index: int, tensor: int) -> None:
        found = self._contexts.get(context)
        head, kind, address = witx.read_tensor(memory, tensor)
        found.execution.set_input(index, kind, head.dims, memory.view(address, head.length))
        remember(found, index, head)

    def _compute(self, _memory: GuestMemory, context: int) -> None:
        self._holdings.compute(self._contexts.get(context))

    def _get_output(self, memory: GuestMemory, context: int, index: int, out: int, room: int, written: int) -> None:
        _give(memory, self._contexts.get(context).execution.output(index), index, out, room, written)

    def _compute_single(self, _memory: GuestMemory, context: int) -> None:
        """The next piece of text; errno 100 when there is no more."""
        found = self._contexts.get(context)
        self._holdings.patiently(found, found.execution.compute_single)

    def _get_output_single(
        self, memory: GuestMemory, context: int, index: int, out: int, room: int, written: int
    ) -> None:
        _give(memory, self._contexts.get(context).execution.output_single(index), index, out, room, written)

    def _fini_single(self, _memory: GuestMemory, context: int) -> None:
        self._contexts.get(context).execution.fini_single()

    def _named_graph(self, name: str, config: str) -> int:
        """The same handle for the same name and options until it is unloaded."""
        known = self._named.get((name, config))
        if known is None or known not in self._graphs:
            self._graphs.check_room()
            known = self._graphs.add(self._holdings.open_name(name, _options(config)))
            self._named[name, config] = known
        return known


def _give(memory: GuestMemory, data: memoryview | bytes, index: int, out: int, room: int, written: int) -> None:
    size = len(data)
    told = memory.view(written, 4)
    if size > room:
        told[:] = witx.pack_u32(size)
        raise ModelFault("too-large", f"output {index} has {size} bytes, the guest's buffer {room}")
    memory.view(out, size)[:] = data
    told[:] = witx.pack_u32(size)


def _utf8(data: memoryview, what: str) -> str:
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        raise ModelFault("invalid-argument", f"{what} is not UTF-8") from None


def _options(text: str) -> dict[str, Any]:
    """Options must be a JSON object. What an engine does not know of them it ignores, as WasmEdge does."""
    if not text:
        return {}
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise ModelFault("invalid-argument", "the options of a model are not a JSON object")
    return options
