"""The core door: `wasi_ephemeral_nn` for guests that are core modules (docs/wasi-nn.md).

Nothing a guest passes raises beyond this file: it gets an errno, the node's counter rises, and the reason is reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from flowrt.nn import encodings
from flowrt.nn.doors import witx
from flowrt.nn.doors.execution import Budget, Execution
from flowrt.nn.doors.handles import Handles
from flowrt.nn.faults import ModelFault
from flowrt.quota.pool import Pool
from flowrt.wasm.imports import BadAddress, GuestMemory, HostFunction, ValueType

if TYPE_CHECKING:
    from flowrt.counters import ModelCounters
    from flowrt.graph.plan import ModelUse
    from flowrt.nn.registry import Handle, Models

MAX_GRAPHS = 64
"""Models one node may hold. A guest that loads the same name again gets the same handle, so few need more than two."""
MAX_CONTEXTS = 1024
"""Contexts one node may hold; a guest that makes one per call and frees none is told after so many."""
_TEXT_MAX = 1000
"""Characters of a reason that are reported: a guest chooses names."""
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


class _Graph:
    """A model a guest holds: by its graph handle, by contexts, or both."""

    def __init__(self, handle: Handle, charged: int, runs: ModelCounters | None = None) -> None:
        self.model = handle
        self.runs = runs
        self.charged = charged
        self.users = 1


class _Context:
    def __init__(self, graph: _Graph, execution: Execution) -> None:
        self.graph = graph
        self.execution = execution


class CoreDoor:
    """wasi-nn for one instance of one node. One thread at a time, as the instance itself."""

    def __init__(
        self,
        models: Models,
        uses: Sequence[ModelUse],
        memory: int,
        report: Callable[[str], None],
        refusals: dict[str, int] | None = None,
        runs: Mapping[str, ModelCounters] | None = None,
        pool: Pool | None = None,
    ) -> None:
        """`memory` bounds in bytes what the host holds for the guest: models it brought, tensors and outputs, which are
        taken from `pool` too. `report`
        is given the reason of a refusal, at the first, second, fourth, eighth … of its kind; `refusals` counts them.
        `runs` takes the times of the models it has by name."""
        self._refusals = {} if refusals is None else refusals
        self._runs = runs or {}
        self._models = models
        self._uses = {use.name: use for use in uses}
        self._report = report
        self._budget = Budget(memory, pool)
        self._graphs: Handles[_Graph] = Handles("graph", MAX_GRAPHS)
        self._contexts: Handles[_Context] = Handles("context", MAX_CONTEXTS)
        self._named: dict[str, int] = {}

    def functions(self) -> Sequence[HostFunction]:
        """What to link into the guest. The functions live as long as the door."""
        return [
            HostFunction(witx.MODULE, name, params, ("i32",), partial(self._call, name, getattr(self, "_" + name)))
            for name, params in _FUNCTIONS.items()
        ]

    def memory_bytes(self) -> int:
        return self._budget.used

    def close(self) -> None:
        """Free everything the guest left open. Safe to call twice."""
        for context in self._contexts.clear():
            self._end(context)
        for graph in self._graphs.clear():
            self._drop(graph)
        self._named.clear()

    def _call(self, name: str, function: Callable[..., None], memory: GuestMemory, *arguments: int) -> int:
        try:
            function(memory, *arguments)
        except ModelFault as fault:
            self._refuse(name, fault.code, fault.detail)
            return witx.ERRNO[fault.code]
        except BadAddress as bad:
            self._refuse(name, "invalid-argument", str(bad))
            return witx.INVALID_ARGUMENT
        return witx.SUCCESS

    def _refuse(self, name: str, code: str, detail: str) -> None:
        count = self._refusals[code] = self._refusals.get(code, 0) + 1
        if count & (count - 1) == 0:  # a hostile guest must not fill the log
            self._report(f"{name}: {code}: {detail[:_TEXT_MAX]}" + (f" ({count} refusals so far)" if count > 1 else ""))

    # What guests call. An out pointer is looked at first: a result nobody can be told of would stay open for ever.

    def _load(self, memory: GuestMemory, builders: int, count: int, encoding: int, target: int, out: int) -> None:
        memory.view(out, 4)
        self._graphs.check_room()
        device, declared = witx.target(target), witx.encoding(encoding)
        spans = witx.read_builders(memory, builders, count)
        size = sum(length for _, length in spans)
        self._budget.charge(size, "a model")
        try:
            parts = [memory.read(address, length) for address, length in spans]
            handle = self._models.open_bytes(parts, encodings.of_bytes(parts[0], declared), device)
        except BaseException:
            self._budget.refund(size)
            raise
        memory.write(out, witx.pack_u32(self._graphs.add(_Graph(handle, size))))

    def _load_by_name(self, memory: GuestMemory, name: int, length: int, out: int) -> None:
        memory.view(out, 4)
        text = _utf8(memory.view(name, length), "the name of a model")
        known = self._named.get(text)
        if known is None or known not in self._graphs:
            known = self._named[text] = self._open(text)
        memory.write(out, witx.pack_u32(known))

    def _load_by_name_with_config(
        self, memory: GuestMemory, name: int, length: int, config: int, config_length: int, out: int
    ) -> None:
        if config_length > MAX_CONFIG:
            raise ModelFault("too-large", f"options of {config_length} bytes; at most {MAX_CONFIG}")
        if config_length:
            _check_config(_utf8(memory.view(config, config_length), "the options of a model"))
        self._load_by_name(memory, name, length, out)

    def _unload(self, _memory: GuestMemory, graph: int) -> None:
        self._drop(self._graphs.remove(graph))

    def _init_execution_context(self, memory: GuestMemory, graph: int, out: int) -> None:
        memory.view(out, 4)
        self._contexts.check_room()
        owner = self._graphs.get(graph)
        context = _Context(owner, Execution(owner.model.session, self._budget))
        owner.users += 1
        memory.write(out, witx.pack_u32(self._contexts.add(context)))

    def _finalize_execution_context(self, _memory: GuestMemory, context: int) -> None:
        self._end(self._contexts.remove(context))

    def _set_input(self, memory: GuestMemory, context: int, index: int, tensor: int) -> None:
        execution = self._contexts.get(context).execution
        kind, shape, address, length = witx.read_tensor(memory, tensor)
        execution.set_input(index, kind, shape, memory.view(address, length))

    def _compute(self, _memory: GuestMemory, context: int) -> None:
        found = self._contexts.get(context)
        began = monotonic()
        found.execution.compute()
        if found.graph.runs is not None:
            found.graph.runs.inference.observe(monotonic() - began)

    def _get_output(self, memory: GuestMemory, context: int, index: int, out: int, room: int, written: int) -> None:
        data = self._contexts.get(context).execution.output(index)
        size = len(data)
        memory.view(written, 4)
        if size > room:
            memory.write(written, witx.pack_u32(size))
            raise ModelFault("too-large", f"output {index} has {size} bytes, the guest's buffer {room}")
        memory.view(out, size)[:] = data
        memory.write(written, witx.pack_u32(size))

    def _compute_single(self, _memory: GuestMemory, context: int, *_: int) -> None:
        """Token by token, for engines that make text. There is none yet, so the two functions that go with it answer
        the same."""
        label = self._contexts.get(context).graph.model.session.label
        raise ModelFault("unsupported-operation", f"model '{label}' makes its outputs at once, not token by token")

    _get_output_single = _fini_single = _compute_single

    def _open(self, name: str) -> int:
        use = self._uses.get(name)
        if use is None:
            known = ", ".join(self._uses) or "none"
            raise ModelFault("not-found", f"the node has no model named '{name}'; it has {known}")
        self._graphs.check_room()
        return self._graphs.add(_Graph(self._models.open(use), 0, self._runs.get(name)))

    def _end(self, context: _Context) -> None:
        context.execution.close()
        self._drop(context.graph)

    def _drop(self, graph: _Graph) -> None:
        """One user less; a context keeps its graph alive after `unload`."""
        graph.users -= 1
        if not graph.users:
            graph.model.close()
            self._budget.refund(graph.charged)


def _utf8(data: memoryview, what: str) -> str:
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        raise ModelFault("invalid-argument", f"{what} is not UTF-8") from None


def _check_config(text: str) -> None:
    """Options must be a JSON object. No engine here takes any, so their members are ignored, as WasmEdge does with
    those it does not know."""
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise ModelFault("invalid-argument", "the options of a model are not a JSON object")
