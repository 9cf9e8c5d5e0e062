"""Models of strings and of text as the `inference` operation uses them.

A row holds its tensors one after the other as always, each string behind its length (`strings.py`). A row that is
nothing but one string is the string itself, without a length: the payload is the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flowrt.nn import strings
from flowrt.nn.backend import DTYPES, Array, Session, Slot, byte_size, element_count
from flowrt.nn.faults import ModelFault, wrong_shape
from flowrt.nn.layout import Layout


class _Rows:
    """What both have in common."""

    fallbacks: Mapping[str, int] = {}
    even = False

    def __init__(self, session: Session, layout: Layout, release: Callable[[], None]) -> None:
        self.label = session.label
        self.memory_bytes = session.memory_bytes
        self._session = session
        self._layout = layout
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


class TextModel(_Rows):
    """A model that makes text: a row is a prompt, and becomes what the model says to it."""

    def __init__(self, session: Session, layout: Layout, release: Callable[[], None]) -> None:
        super().__init__(session, layout, release)
        self.inputs = self.row_inputs = tuple(slot.tensor for slot in session.inputs[:1])
        self.outputs = self.row_outputs = tuple(slot.tensor for slot in session.outputs[:1])

    def run_rows(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        others = [None] * (len(self._session.inputs) - 1)
        return [self._session.run([np.frombuffer(row, np.uint8), *others])[0].tobytes() for row in payloads]


class StringModel(_Rows):
    """A model with strings among its tensors."""

    def __init__(self, session: Session, layout: Layout, release: Callable[[], None]) -> None:
        super().__init__(session, layout, release)
        self.inputs = tuple(slot.tensor for slot in session.inputs)
        self.outputs = tuple(slot.tensor for slot in session.outputs)
        self.row_inputs, self.row_outputs = layout.tensors()
        free = [str(slot) for slot in layout.row_inputs if any(isinstance(dim, str) for dim in slot.dims)]
        if free:
            raise ModelFault(
                "unsupported-operation", f"model '{self.label}': a row does not say the size of {', '.join(free)}"
            )
        self._alone = _alone(layout.row_inputs)
        self._alone_out = _alone(layout.row_outputs)

    def run_rows(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        rows = [self._arrays(row) for row in payloads]
        if rows and self._layout.batches:
            joined = [np.concatenate(column) for column in zip(*rows, strict=True)]
            return self._split(self._session.run(joined), len(rows))
        return [self._row(self._session.run(row)) for row in rows]

    def _arrays(self, row: bytes) -> list[Array]:
        at, arrays = 0, []
        for slot in self._layout.row_inputs:
            shape = slot.tensor.shape
            if slot.type != "string":
                size = byte_size(slot.type, shape)
                if at + size > len(row):
                    raise self._misfit(row)
                array = np.frombuffer(row, DTYPES[slot.type], element_count(shape), at).reshape(shape)
                at += size
            elif self._alone:
                array, at = _objects([row], shape), len(row)
            else:
                what = f"model '{self.label}': input {slot}"
                elements, at = strings.unpack(row, at, element_count(shape), what)
                array = _objects(elements, shape)
            arrays.append(array[None] if self._layout.has_batch else array)
        if at != len(row):
            raise self._misfit(row)
        return arrays

    def _misfit(self, row: bytes) -> ModelFault:
        return wrong_shape(f"model '{self.label}' takes {self._layout.expected()}, not {len(row)} bytes")

    def _split(self, outputs: Sequence[Array], rows: int) -> list[bytes]:
        if any(array.shape[:1] != (rows,) for array in outputs):
            raise wrong_shape(f"model '{self.label}': an output does not follow the batch of {rows}")
        return [self._row([array[row] for array in outputs]) for row in range(rows)]

    def _row(self, outputs: Sequence[Array]) -> bytes:
        if self._alone_out:
            (element,) = outputs[0].reshape(-1).tolist()
            return bytes(element)
        return b"".join(
            strings.pack(array.reshape(-1).tolist()) if array.dtype == object else array.tobytes() for array in outputs
        )


def _alone(slots: Sequence[Slot]) -> bool:
    """Whether a row is nothing but one string."""
    return len(slots) == 1 and slots[0].type == "string" and all(dim == 1 for dim in slots[0].dims)


def _objects(elements: Sequence[bytes], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
