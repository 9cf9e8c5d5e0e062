"""One execution context: the inputs a guest set, a run, and the outputs. Every door that a guest uses has these."""

from __future__ import annotations

from collections.abc import Sequence

from flowrt.nn.backend import DTYPES, Array, Prepared, Session, Shape, Slot, byte_size
from flowrt.nn.faults import ModelFault, wrong_shape

_STANDS_FOR = {"u8": ("i8", "bool", "u16", "i16"), "i32": ("u32",), "i64": ("u64",)}
"""wasi-nn has no tags for some types models use. Their bytes come under the tag that is nearest, as guests do it."""

_TO_BOOL = bytes([0]) + bytes([1]) * 255
"""Other bytes than 0 and 1 are undefined inside an engine."""


class Budget:
    """Bytes that the host may hold for one node: models it brought, tensors, outputs."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def charge(self, size: int, what: str) -> None:
        if self.used + size > self.limit:
            raise ModelFault(
                "too-large", f"{what} of {size} bytes: {self.used} of the node's {self.limit} are in use already"
            )
        self.used += size

    def refund(self, size: int) -> None:
        self.used -= size


class Execution:
    """Inputs stay set between runs, as in Wasmtime and WasmEdge."""

    def __init__(self, session: Session, budget: Budget) -> None:
        self._session = session
        self._budget = budget
        self._charged = 0
        self._inputs: list[Array | None] = [None] * len(session.inputs)
        self._outputs: Sequence[Array] | None = None
        self._output_bytes = 0
        self._prepared: Prepared | None = None
        try:
            self._prepared = self._prepare()
        except ModelFault:
            self.close()
            raise

    def index_of(self, name: str) -> int:
        """An input by its name, or by its index in decimal."""
        for index, slot in enumerate(self._session.inputs):
            if slot.name == name:
                return index
        if name.isascii() and name.isdecimal() and len(name) < 10 and int(name) < len(self._inputs):
            return int(name)
        known = ", ".join(slot.name for slot in self._session.inputs)
        raise ModelFault("invalid-argument", f"model '{self._session.label}' has no input '{name}'; it has {known}")

    def set_input(self, index: int, kind: str, shape: Shape, data: memoryview) -> None:
        """Copy a tensor in. Raises `ModelFault` with what the model expects when it does not fit."""
        slot = self._slot(index, kind, shape, len(data))
        array = self._room(index, slot, shape)
        if slot.type == "bool":
            array.reshape(-1).view("u1").data[:] = bytes(data).translate(_TO_BOOL)
        elif len(data):
            array.reshape(-1).view("u1").data[:] = data

    def compute(self) -> None:
        """Run the model on the inputs that are set."""
        missing = [str(slot) for slot, array in zip(self._session.inputs, self._inputs, strict=True) if array is None]
        if missing:
            raise ModelFault("invalid-argument", f"model '{self._session.label}': not set: {', '.join(missing)}")
        if self._prepared is not None and self._run_prepared(self._prepared):
            return
        self._forget_outputs()
        outputs = self._session.run([array for array in self._inputs if array is not None])
        self._prepared = None
        size = sum(array.nbytes for array in outputs)
        self._charge(size, f"model '{self._session.label}': outputs")
        self._outputs, self._output_bytes = outputs, size

    def output(self, index: int) -> Array:
        """One output of the last run, contiguous; valid until the next."""
        if self._outputs is None:
            raise ModelFault("runtime-error", f"model '{self._session.label}': there is no output before compute")
        if index >= len(self._outputs):
            raise ModelFault(
                "invalid-argument", f"model '{self._session.label}' has {len(self._outputs)} outputs, no number {index}"
            )
        array = self._outputs[index]
        return array if array.flags.c_contiguous else array.copy()

    def close(self) -> None:
        """Give back what was charged. Safe to call twice."""
        self._budget.refund(self._charged)
        self._charged = 0
        self._inputs = [None] * len(self._inputs)
        self._outputs = self._prepared = None

    def _run_prepared(self, prepared: Prepared) -> bool:
        """False when bound arrays may be to blame: some models declare an output shape that is not theirs."""
        try:
            prepared.run()
        except ModelFault:
            return False
        self._outputs = prepared.outputs
        return True

    def _slot(self, index: int, kind: str, shape: Shape, length: int) -> Slot:
        label = self._session.label
        if index >= len(self._inputs):
            raise ModelFault("invalid-argument", f"model '{label}' has {len(self._inputs)} inputs, no number {index}")
        slot = self._session.inputs[index]
        found = f"{kind}[{', '.join(map(str, shape))}]"
        if kind != slot.type and slot.type not in _STANDS_FOR.get(kind, ()):
            raise wrong_shape(f"model '{label}': input {slot} was given {found}")
        if not slot.takes(shape):
            raise wrong_shape(f"model '{label}': input {slot} was given {found}")
        if length != byte_size(slot.type, shape):
            raise wrong_shape(
                f"model '{label}': input {slot} was given {found} in {length} bytes, not {byte_size(slot.type, shape)}"
            )
        return slot

    def _room(self, index: int, slot: Slot, shape: Shape) -> Array:
        """The array to copy into: the last one again where the shape is the same."""
        array = self._inputs[index]
        if array is not None and array.shape == shape:
            return array
        if self._prepared is not None:
            array = self._prepared.inputs[index]
        else:
            array = self._allocate(slot, shape, 0 if array is None else array.nbytes)
        self._inputs[index] = array
        return array

    def _allocate(self, slot: Slot, shape: Shape, before: int) -> Array:
        import numpy as np

        self._charge(byte_size(slot.type, shape) - before, f"model '{self._session.label}': input {slot.name}")
        return np.empty(shape, DTYPES[slot.type])

    def _prepare(self) -> Prepared | None:
        """Bound arrays, for a model that leaves no dimension free."""
        slots = (*self._session.inputs, *self._session.outputs)
        if any(isinstance(dim, str) for slot in slots for dim in slot.dims):
            return None
        shapes = [slot.tensor.shape for slot in slots]
        size = sum(byte_size(slot.type, shape) for slot, shape in zip(slots, shapes, strict=True))
        self._charge(size, f"model '{self._session.label}': tensors")
        inputs = len(self._session.inputs)
        return self._session.prepare(shapes[:inputs], shapes[inputs:])

    def _charge(self, size: int, what: str) -> None:
        self._budget.charge(size, what)
        self._charged += size

    def _forget_outputs(self) -> None:
        self._budget.refund(self._output_bytes)
        self._charged -= self._output_bytes
        self._outputs, self._output_bytes = None, 0
