"""The component door: `wasi:nn` for guests that are components (docs/wasi-nn.md).

Graphs, contexts, tensors and errors are resources of the host: the guest has handles, the bytes stay here until they
are read. A handle that does not exist never gets this far, the engine ends such a call. Whatever else is wrong comes
back as an error resource with the specification's code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from flowrt.errors import GuestTrap
from flowrt.graph.worlds import NN_NEWER, direct_interface, nn_interface
from flowrt.nn.backend import Shape
from flowrt.nn.doors import wit
from flowrt.nn.doors.holdings import MAX_CONTEXTS, MAX_GRAPHS, TEXT_MAX, Context, Graph, Holdings
from flowrt.nn.doors.witx import MAX_BUILDERS, MAX_RANK
from flowrt.nn.faults import ModelFault
from flowrt.quota.quantity import format_bytes
from flowrt.values import replace
from flowrt.wasm.component import owned, values
from flowrt.wasm.component.store import ComponentStore, HostCall, HostResource, Offer

GRAPH, CONTEXT, TENSOR, ERROR = range(101, 105)
"""Kinds of our resources: apart from those of WASI and of AIO's host."""
MAX_HANDLES = 4096
"""Resources one guest may hold: the engine keeps an entry for each."""
_TENSOR_BYTES = 512
"""What a tensor holds beside its data."""
_CROSSING = 72
"""Bytes that the host and the engine hold for each byte of a list while it crosses."""
_NAME_MAX = 4096
_WORDS_KEPT = 1024
"""Errors that a guest keeps with their words; of more than these it has the codes alone."""

_SPAN = struct.Struct("<II")
"""Address and size of a list, as a guest holds it."""

T = TypeVar("T")


class Tensor:
    """Type, shape and bytes; or why it could not be made, which the guest is told when it uses it: the interface's
    constructor has no error."""

    def __init__(self, kind: str, dims: Shape, data: bytes, charged: int, fault: ModelFault | None = None) -> None:
        self.kind = kind
        self.dims = dims
        self.data = data
        self.charged = charged
        self.fault = fault


class _Error:
    """What a refused call was told."""

    def __init__(self, code: str, words: str) -> None:
        self.code = code
        self.words = words


class _Things(Generic[T]):
    """Things of one kind by number. A number that was given back may come again: the guest sees none of them."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._next = 0
        self._live: dict[int, T] = {}

    def check_room(self) -> None:
        if len(self._live) >= self._limit:
            raise ModelFault("too-large", f"{self._limit} {self._what}s are open; drop one first")

    def add(self, thing: T) -> int:
        while True:
            number, self._next = self._next, (self._next + 1) % 2**32
            if number not in self._live:
                self._live[number] = thing
                return number

    def __getitem__(self, number: int) -> T:
        return self._live[number]

    def __len__(self) -> int:
        return len(self._live)

    def pop(self, number: int) -> T | None:
        return self._live.pop(number, None)

    def clear(self) -> list[T]:
        things = list(self._live.values())
        self._live.clear()
        return things


class ComponentDoor:
    """wasi-nn for one instance of a component. One thread at a time, as the instance itself."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._graphs: _Things[Graph] = _Things("graph", MAX_GRAPHS)
        self._contexts: _Things[Context] = _Things("context", MAX_CONTEXTS)
        self._tensors: _Things[Tensor] = _Things("tensor", MAX_HANDLES)
        self._errors: _Things[_Error] = _Things("error", MAX_HANDLES)

    def offer(self, wanted: Collection[str]) -> Offer:
        """The interfaces among `wanted` that are ours. What is offered lives as long as the door."""
        calls, resources = [], []
        for revision in wit.REVISIONS:
            calls += self._calls(revision)
            resources += self._resources(revision)
        calls += [self._direct(call) for call in calls if direct_interface(call.interface) in wit.OFFERED]
        resources += [
            replace(resource, interface=direct_interface(resource.interface))
            for resource in resources
            if direct_interface(resource.interface) in wit.OFFERED
        ]
        wanted = {*wanted, *map(direct_interface, wanted)}
        return Offer(
            [call for call in calls if call.interface in wanted],
            [resource for resource in resources if resource.interface in wanted],
        )

    def memory_bytes(self) -> int:
        return self._holdings.budget.used

    def close(self) -> None:
        """Free everything the guest left open. Safe to call twice."""
        for context in self._contexts.clear():
            self._holdings.end(context)
        for graph in self._graphs.clear():
            self._holdings.drop(graph)
        for tensor in self._tensors.clear():
            self._holdings.budget.refund(tensor.charged)
        self._errors.clear()

    def _calls(self, revision: str) -> list[HostCall]:
        tensor, graph, inference, errors = (
            nn_interface(name, revision) for name in ("tensor", "graph", "inference", "errors")
        )
        context = "[method]graph-execution-context."
        answer = self._answering
        return [
            HostCall(tensor, "[constructor]tensor", self._make_tensor),
            HostCall(tensor, "[method]tensor.dimensions", self._dimensions),
            HostCall(tensor, "[method]tensor.ty", self._type),
            HostCall(tensor, "[method]tensor.data", self._data),
            HostCall(graph, "[method]graph.init-execution-context", answer("init-execution-context", self._start)),
            HostCall(graph, "load", answer("load", self._load)),
            HostCall(graph, "load-by-name", answer("load-by-name", self._load_by_name)),
            HostCall(errors, "[method]error.code", self._code),
            HostCall(errors, "[method]error.data", self._words),
            *(
                [HostCall(inference, context + "compute", answer("compute", self._compute_all))]
                if revision == NN_NEWER
                else [
                    HostCall(inference, context + "set-input", answer("set-input", self._set_input)),
                    HostCall(inference, context + "compute", answer("compute", self._compute)),
                    HostCall(inference, context + "get-output", answer("get-output", self._get_output)),
                ]
            ),
        ]

    def _direct(self, call: HostCall) -> HostCall:
        """The same for a component whose long lists cross in place."""
        own = {
            "[constructor]tensor": self._make_tensor_of,
            "[method]tensor.data": self._write_data,
            "load": self._answering("load", self._load_from),
        }
        return HostCall(direct_interface(call.interface), call.name, own.get(call.name, call.call))

    def _resources(self, revision: str) -> list[HostResource]:
        return [
            HostResource(nn_interface("tensor", revision), "tensor", TENSOR, self._drop_tensor),
            HostResource(nn_interface("graph", revision), "graph", GRAPH, self._drop_graph),
            HostResource(nn_interface("inference", revision), "graph-execution-context", CONTEXT, self._drop_context),
            HostResource(nn_interface("errors", revision), "error", ERROR, self._drop_error),
        ]

    def _answering(
        self, name: str, function: Callable[[ComponentStore, list[bytes]], bytes | None]
    ) -> Callable[[ComponentStore, list[bytes]], bytes]:
        """Of a function that gives a `result` with an error."""

        def answer(store: ComponentStore, arguments: list[bytes]) -> bytes:
            try:
                return owned.result(ok=True, value=function(store, arguments))
            except ModelFault as fault:
                self._holdings.refuse(name, fault.code, fault.detail)
                words = fault.detail[:TEXT_MAX] if len(self._errors) < _WORDS_KEPT else ""
                made = self._errors.add(_Error(wit.code_of(fault.code), words))
                return owned.result(ok=False, value=self._resource(store, ERROR, made))

        return answer

    def _resource(self, store: ComponentStore, kind: int, number: int) -> bytes:
        held = len(self._graphs) + len(self._contexts) + len(self._tensors) + len(self._errors)
        if held > MAX_HANDLES:
            raise GuestTrap("memory", f"it keeps {MAX_HANDLES} resources of wasi:nn")
        return owned.resource(store.make(kind, number))

    # Graphs.

    def _load(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        builders, encoding, target = arguments
        _check_parts(values.length(builders))
        parts = values.as_items(builders)
        sizes = list(map(values.length, parts))
        return self._loaded(store, sizes, lambda index: values.as_bytes(parts[index]), encoding, target)

    def _load_from(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        """The same with the model in the guest's memory."""
        at, count, encoding, target = arguments
        _check_parts(values.as_int(count))
        spans = list(_SPAN.iter_unpack(store.guest.read(values.as_int(at), _SPAN.size * values.as_int(count))))
        sizes = [size for _, size in spans]
        return self._loaded(store, sizes, lambda index: store.guest.read(*spans[index]), encoding, target)

    def _loaded(
        self,
        store: ComponentStore,
        sizes: Sequence[int],
        read: Callable[[int], bytes],
        encoding: bytes,
        target: bytes,
    ) -> bytes:
        self._graphs.check_room()
        graph = self._holdings.open_bytes(sizes, read, values.as_text(encoding), values.as_text(target))
        return self._resource(store, GRAPH, self._graphs.add(graph))

    def _load_by_name(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        self._graphs.check_room()
        graph = self._holdings.open_name(values.as_text(arguments[0], _NAME_MAX))
        return self._resource(store, GRAPH, self._graphs.add(graph))

    def _start(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        graph = self._graphs[store.number_of(values.as_resource(arguments[0]), GRAPH)]
        self._contexts.check_room()
        return self._resource(store, CONTEXT, self._contexts.add(self._holdings.start(graph)))

    # Tensors. The engine has copied what it hands over; the bytes are copied once more, into one piece.

    def _make_tensor(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        dims, kind, data = arguments
        return self._made(store, dims, kind, values.length(data), lambda: values.as_bytes(data))

    def _make_tensor_of(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        """The same with the data in the guest's memory."""
        dims, kind, at, count = arguments
        start, size = values.as_int(at), values.as_int(count)
        store.guest.view(start, size)  # a list outside its memory ends the instance, whatever its budget
        return self._made(store, dims, kind, size, lambda: store.guest.read(start, size))

    def _made(self, store: ComponentStore, dims: bytes, kind: bytes, size: int, read: Callable[[], bytes]) -> bytes:
        label = wit.TYPES[values.as_text(kind)]
        try:
            tensor = self._tensor(dims, label, size, read)
        except ModelFault as fault:
            self._holdings.refuse("tensor", fault.code, fault.detail)
            tensor = Tensor(label, (), b"", 0, fault)
        return self._resource(store, TENSOR, self._tensors.add(tensor))

    def _tensor(self, dims: bytes, kind: str, size: int, read: Callable[[], bytes]) -> Tensor:
        if values.length(dims) > MAX_RANK:
            raise ModelFault("invalid-argument", f"a tensor of {values.length(dims)} dimensions; at most {MAX_RANK}")
        shape = tuple(map(values.as_int, values.as_items(dims)))
        charged = size + _TENSOR_BYTES
        self._holdings.budget.charge(charged, f"a tensor {kind}{list(shape)}")
        try:
            return Tensor(kind, shape, read(), charged)
        except BaseException:
            self._holdings.budget.refund(charged)
            raise

    def _dimensions(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        return owned.sequence(*(values.number(values.U32, dim) for dim in self._seen(store, arguments[0]).dims))

    def _type(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        return owned.enum(wit.LABELS[self._seen(store, arguments[0]).kind])

    def _data(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        data = self._seen(store, arguments[0]).data
        needed = len(data) * _CROSSING
        if needed > store.memory:
            size, taken, quota = map(format_bytes, (len(data), needed, store.memory))
            raise GuestTrap(
                "memory", f"reading a tensor of {size} takes {taken} while it crosses; its quota is {quota}"
            )
        return owned.byte_list(data)

    def _write_data(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        """How many bytes a tensor has; in the second call they are written where the guest made room for them."""
        tensor, fill, at = arguments
        data = self._seen(store, tensor).data
        if values.as_int(fill):
            store.guest.write(values.as_int(at), data)
        return values.number(values.U32, len(data))

    def _seen(self, store: ComponentStore, value: bytes) -> Tensor:
        return self._tensors[store.number_of(values.as_resource(value), TENSOR)]

    def _taken(self, store: ComponentStore, value: bytes) -> Tensor:
        """A tensor that the guest gives away: it holds nothing any more, whatever becomes of the call."""
        number = store.number_of(values.as_resource(value), TENSOR)
        tensor = self._tensors[number]
        self._drop_tensor(number)
        return tensor

    # Runs.

    def _context(self, store: ComponentStore, value: bytes) -> Context:
        return self._contexts[store.number_of(values.as_resource(value), CONTEXT)]

    def _set_input(self, store: ComponentStore, arguments: list[bytes]) -> None:
        context, name, given = arguments
        tensor = self._taken(store, given)
        self._fill(self._context(store, context), values.as_text(name, _NAME_MAX), tensor)

    def _fill(self, context: Context, name: str, tensor: Tensor) -> int:
        if tensor.fault is not None:
            raise tensor.fault
        index = context.execution.index_of(name)
        context.execution.set_input(index, tensor.kind, tensor.dims, memoryview(tensor.data))
        return index

    def _compute(self, store: ComponentStore, arguments: list[bytes]) -> None:
        self._holdings.compute(self._context(store, arguments[0]))

    def _compute_all(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        named = [values.as_items(pair) for pair in values.as_items(arguments[1])]
        given = [(values.as_text(name, _NAME_MAX), self._taken(store, tensor)) for name, tensor in named]
        context = self._context(store, arguments[0])
        context.execution.keep_only({self._fill(context, name, tensor) for name, tensor in given})
        self._holdings.compute(context)
        slots, outputs = context.graph.model.session.outputs, self._outputs(context)
        numbers = map(self._tensors.add, outputs)
        return owned.sequence(
            *(
                owned.pair(owned.string(slot.name), self._resource(store, TENSOR, number))
                for slot, number in zip(slots, numbers, strict=True)
            )
        )

    def _outputs(self, context: Context) -> list[Tensor]:
        """All of a run, or none of them."""
        outputs: list[Tensor] = []
        try:
            outputs.extend(self._output(context, index) for index in range(len(context.graph.model.session.outputs)))
        except ModelFault:
            for tensor in outputs:
                self._holdings.budget.refund(tensor.charged)
            raise
        return outputs

    def _get_output(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        context = self._context(store, arguments[0])
        index = context.execution.output_index_of(values.as_text(arguments[1], _NAME_MAX))
        return self._resource(store, TENSOR, self._tensors.add(self._output(context, index)))

    def _output(self, context: Context, index: int) -> Tensor:
        slot = context.graph.model.session.outputs[index]
        data, shape = context.execution.output(index), context.execution.output_shape(index)
        self._holdings.budget.charge(len(data) + _TENSOR_BYTES, f"output {slot.name}")
        return Tensor(slot.type, shape, bytes(data), len(data) + _TENSOR_BYTES)

    # Errors, and the end of each kind.

    def _code(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        return owned.enum(self._errors[store.number_of(values.as_resource(arguments[0]), ERROR)].code)

    def _words(self, store: ComponentStore, arguments: list[bytes]) -> bytes:
        return owned.string(self._errors[store.number_of(values.as_resource(arguments[0]), ERROR)].words)

    def _drop_tensor(self, number: int) -> None:
        if (tensor := self._tensors.pop(number)) is not None:
            self._holdings.budget.refund(tensor.charged)

    def _drop_graph(self, number: int) -> None:
        if (graph := self._graphs.pop(number)) is not None:
            self._holdings.drop(graph)

    def _drop_context(self, number: int) -> None:
        if (context := self._contexts.pop(number)) is not None:
            self._holdings.end(context)

    def _drop_error(self, number: int) -> None:
        self._errors.pop(number)


def _check_parts(count: int) -> None:
    if not 0 < count <= MAX_BUILDERS:
        raise ModelFault("invalid-argument", f"a model of {count} parts; 1 to {MAX_BUILDERS} are possible")
