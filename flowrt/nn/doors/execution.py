"""One execution context: the inputs a guest set, a run, and the outputs. Every door that a guest uses has these."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from flowrt.nn.backend import DTYPES, Array, Prepared, Session, Shape, Slot, Stream, byte_size
from flowrt.nn.faults import ModelFault
from flowrt.quota.pool import Pool

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
ALOUD = "stream-stdout"

_TO_BOOL = bytes([0]) + bytes([1]) * 255
"""Other bytes than 0 and 1 are undefined inside an engine."""


_Target = tuple[tuple[str, Shape, int], memoryview, bool]
"""What was accepted as an input (type, shape, bytes), where its bytes go, and whether they are truth values."""


class Budget:
    """Bytes that the host may hold for one node: models it brought, tensors, outputs."""

    def __init__(self, limit: int, pool: Pool | None = None) -> None:
        """`pool` is the account of all that is held for the node, its linear memory included."""
        self.limit = limit
        self.used = 0
        self._pool = pool

    def charge(self, size: int, what: str) -> None:
        if self.used + size > self.limit:
            raise ModelFault(
                "too-large", f"{what} of {size} bytes: {self.used} of the node's {self.limit} are in use already"
            )
        if self._pool is not None and not self._pool.take(size):
            raise ModelFault("too-large", f"{what} of {size} bytes: more than is left of {self._pool.refusal}")
        self.used += size

    def refund(self, size: int) -> None:
        self.used -= size
        if self._pool is not None:
            self._pool.give(size)


class Execution:
    """Inputs stay set between runs, as in Wasmtime and WasmEdge.

    The second run of the same shapes binds its arrays, and later ones cost the engine's time alone. A model whose
    output then comes in another shape is run the plain way from there on.
    """

    def __init__(
        self,
        session: Session,
        budget: Budget,
        options: Mapping[str, Any] = NO_OPTIONS,
        aloud: Callable[[bytes], None] | None = None,
    ) -> None:
        """`options` are those the model was opened with. `aloud` takes a text's pieces as they are made, where the
        guest asks for that with WasmEdge's option `stream-stdout`."""
        self._session = session
        self._options = options
        self._aloud = aloud
        self._budget = budget
        self._charged = 0
        self._inputs: list[Array | None] = [None] * len(session.inputs)
        self.targets: list[_Target | None] = [None] * len(session.inputs)
        """Where the bytes of each input go that was set."""
        self.outputs: Sequence[memoryview] | None = None
        """The bytes of each output of the last run; valid until the next."""
        self._output_bytes = 0
        self._shapes: Sequence[Shape] = ()
        self._prepared: Prepared | None = None
        self._bound: Sequence[memoryview] = ()
        self._bindable = True
        self._last: tuple[list[Shape], list[Shape]] | None = None
        """Shapes of the last plain run, in and out."""
        self._stream: Stream | None = None
        self._piece: bytes | None = None

    def index_of(self, name: str) -> int:
        """An input by its name, or by its index in decimal."""
        return self._index(self._session.inputs, "input", name)

    def output_index_of(self, name: str) -> int:
        """An output likewise."""
        return self._index(self._session.outputs, "output", name)

    def keep_only(self, given: Collection[int]) -> None:
        """Of a door whose runs name all their inputs: forget those of the last run that this one leaves out. Raises
        `ModelFault` when one is missing that the model needs."""
        left_out = [index for index in range(len(self._inputs)) if index not in given]
        if missing := [str(slot) for slot in map(self._session.inputs.__getitem__, left_out) if not slot.optional]:
            raise ModelFault("invalid-argument", f"model '{self._session.label}': not given: {', '.join(missing)}")
        for index in left_out:
            array, self._inputs[index], self.targets[index] = self._inputs[index], None, None
            if array is not None:
                self._charge(-array.nbytes, "")
                self._prepared = None

    def set_input(self, index: int, kind: str, shape: Shape, data: memoryview) -> None:
        """Copy a tensor in. Raises `ModelFault` with what the model expects when it does not fit."""
        target = self.targets[index] if index < len(self.targets) else None
        # Most guests set a tensor of one type and shape again and again: it was checked the first time.
        if target is None or target[0] != (kind, shape, len(data)):
            target = self._target(index, kind, shape, len(data))
        if self._stream is not None:
            self.fini_single()
        _, bytes_, is_bool = target
        bytes_[:] = bytes(data).translate(_TO_BOOL) if is_bool else data

    def compute(self) -> None:
        """Run the model on the inputs that are set."""
        if self.again():
            return
        if self._aloud is None or not self._asked_aloud() or not self._run_aloud(self._aloud):
            self._run_plain()

    def again(self) -> bool:
        """Run with the arrays of earlier runs; False where none are bound, or they no longer do."""
        prepared = self._prepared
        if prepared is None:
            return False
        try:
            prepared.run()
        except ModelFault:
            self._prepared, self._bindable = None, False
            return False
        self.outputs = self._bound
        return True

    def output(self, index: int) -> memoryview:
        """The bytes of one output of the last run; valid until the next."""
        if self.outputs is None:
            raise ModelFault("runtime-error", f"model '{self._session.label}': there is no output before compute")
        if index >= len(self.outputs):
            raise ModelFault(
                "invalid-argument", f"model '{self._session.label}' has {len(self.outputs)} outputs, no number {index}"
            )
        return self.outputs[index]

    def output_shape(self, index: int) -> Shape:
        """Of an output that is there."""
        return self._shapes[index]

    def compute_single(self) -> None:
        """The next piece of the text that the inputs ask for; the first call begins it. Raises `ModelFault`, of code
        `end-of-sequence` when there is no more."""
        label = self._session.label
        if self._stream is None:
            self._stream = self._session.stream(self._given())
            if self._stream is None:
                raise ModelFault(
                    "unsupported-operation", f"model '{label}' makes its outputs at once, not piece by piece"
                )
        self._piece = self._stream.next()
        if self._piece is None:
            raise ModelFault("end-of-sequence", f"model '{label}' has no more to say")

    def output_single(self, index: int) -> bytes:
        """0 is the last piece; 1 what is known of the text so far, as JSON."""
        label = self._session.label
        if self._stream is None:
            raise ModelFault("runtime-error", f"model '{label}': there is no output before compute_single")
        if index > 1:
            raise ModelFault("invalid-argument", f"model '{label}' has 2 outputs piece by piece, no number {index}")
        return self._stream.about() if index else self._piece or b""

    def fini_single(self) -> None:
        """End the text, at its end or before."""
        stream, self._stream, self._piece = self._stream, None, None
        if stream is not None:
            stream.close()

    def close(self) -> None:
        """Give back what was charged. Safe to call twice."""
        self.fini_single()
        self._budget.refund(self._charged)
        self._charged = 0
        self._inputs = [None] * len(self._inputs)
        self.targets = [None] * len(self._inputs)
        self.outputs = self._prepared = None
        self._bound = ()

    def _asked_aloud(self) -> bool:
        given = self._inputs[1] if len(self._inputs) > 1 else None
        if given is None or self._session.inputs[1].form != "text":
            return bool(self._options.get(ALOUD))
        try:
            options = json.loads(given.tobytes())
        except (ValueError, RecursionError):
            return False  # the engine has the words for that
        return isinstance(options, dict) and bool(options.get(ALOUD, self._options.get(ALOUD)))

    def _run_aloud(self, aloud: Callable[[bytes], None]) -> bool:
        """As `compute`, with every piece said as it comes. False from an engine that makes its outputs at once."""
        self.fini_single()
        stream = self._session.stream(self._given())
        if stream is None:
            return False
        pieces: list[bytes] = []
        try:
            while (piece := stream.next()) is not None:
                aloud(piece)
                pieces.append(piece)
        except ModelFault as fault:
            if fault.code != "context-full":
                raise
        finally:
            about = stream.about()
            stream.close()
        self._forget_outputs()
        outputs = [b"".join(pieces), about]
        size = sum(map(len, outputs))
        self._charge(size, f"model '{self._session.label}': outputs")
        self.outputs, self._output_bytes = [memoryview(output) for output in outputs], size
        self._shapes = [(len(output),) for output in outputs]
        return True

    def _index(self, slots: Sequence[Slot], role: str, name: str) -> int:
        for index, slot in enumerate(slots):
            if slot.name == name:
                return index
        if name.isascii() and name.isdecimal() and len(name) < 10 and int(name) < len(slots):
            return int(name)
        known = ", ".join(slot.name for slot in slots)
        raise ModelFault("invalid-argument", f"model '{self._session.label}' has no {role} '{name}'; it has {known}")

    def _run_plain(self) -> None:
        arrays = self._given()
        self._forget_outputs()
        outputs = self._session.run(arrays)
        size = sum(array.nbytes for array in outputs)
        self._charge(size, f"model '{self._session.label}': outputs")
        self.outputs, self._output_bytes = [_bytes_of(array) for array in outputs], size
        given = [array for array in arrays if array is not None]
        shapes = [array.shape for array in given], [array.shape for array in outputs]
        if self._bindable and shapes == self._last and len(given) == len(arrays):
            self._bind(given, *shapes)
        self._last = shapes
        self._shapes = shapes[1]

    def _given(self) -> list[Array | None]:
        pairs = zip(self._session.inputs, self._inputs, strict=True)
        if missing := [str(slot) for slot, array in pairs if array is None and not slot.optional]:
            raise ModelFault("invalid-argument", f"model '{self._session.label}': not set: {', '.join(missing)}")
        return self._inputs

    def _bind(self, arrays: Sequence[Array], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> None:
        self._prepared = prepared = self._session.prepare(inputs, outputs)
        if prepared is None:
            self._bindable = False
            return
        self._bound = [_bytes_of(array) for array in prepared.outputs]
        for index, (array, target) in enumerate(zip(prepared.inputs, self.targets, strict=True)):
            array[...] = arrays[index]
            self._inputs[index] = array
            self.targets[index] = target and (target[0], _bytes_of(array), target[2])

    def _target(self, index: int, kind: str, shape: Shape, length: int) -> _Target:
        label = self._session.label
        if index >= len(self._inputs):
            raise ModelFault("invalid-argument", f"model '{label}' has {len(self._inputs)} inputs, no number {index}")
        slot = self._session.inputs[index]
        actual, held = slot.fit(label, kind, shape, length)
        array = self._room(index, slot, actual, held)
        target = self.targets[index] = ((kind, shape, length), _bytes_of(array), actual == "bool")
        return target

    def _room(self, index: int, slot: Slot, kind: str, shape: Shape) -> Array:
        """The array to copy into: the last one again where type and shape are the same."""
        import numpy as np

        array = self._inputs[index]
        if array is not None and array.shape == shape and array.dtype == np.dtype(DTYPES[kind]):
            return array
        before = 0 if array is None else array.nbytes
        self._charge(byte_size(kind, shape) - before, f"model '{self._session.label}': input {slot.name}")
        self._prepared = None
        array = self._inputs[index] = np.empty(shape, DTYPES[kind])
        return array

    def _charge(self, size: int, what: str) -> None:
        self._budget.charge(size, what)
        self._charged += size

    def _forget_outputs(self) -> None:
        self._budget.refund(self._output_bytes)
        self._charged -= self._output_bytes
        self.outputs, self._output_bytes = None, 0


def _bytes_of(array: Array) -> memoryview:
    """The bytes of an array, in place where they lie together. Raises `ModelFault` for strings."""
    if array.dtype.hasobject:
        raise ModelFault(
            "unsupported-operation", "wasi-nn has no tensors of strings; run the model by an inference node"
        )
    flat: memoryview = array.reshape(-1).view("u1").data
    return flat
