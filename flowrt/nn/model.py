"""A loaded model as the `inference` operation uses it: rows of bytes in, rows of bytes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flowrt.message import Tensor
from flowrt.nn.backend import DTYPES, Array, Prepared, Session, Shape
from flowrt.nn.faults import ModelFault, wrong_shape
from flowrt.nn.layout import Layout

_KEEP_RUNS = 32
"""Batch sizes whose arrays stay bound. A busy stage meets few sizes: one row, its full batch, and some between."""
_KEEP_BYTES = 2**18
"""Arrays larger than this are not kept: binding costs microseconds, which a long run does not notice."""


class LoadedModel:
    """One node's use of a model: `flowrt.operators.base.Model`. Called by one thread at a time; the session behind it
    is shared."""

    fallbacks: Mapping[str, int] = {}

    def __init__(self, session: Session, layout: Layout, release: Callable[[], None]) -> None:
        self.label = session.label
        self.inputs: tuple[Tensor, ...] = tuple(slot.tensor for slot in session.inputs)
        self.outputs: tuple[Tensor, ...] = tuple(slot.tensor for slot in session.outputs)
        self.row_inputs, self.row_outputs = layout.tensors()
        self.memory_bytes = session.memory_bytes
        self._session = session
        self._layout = layout
        self._release: Callable[[], None] | None = release
        self._row_bytes = layout.row_bytes
        self._batches = layout.batches
        self.even = self._row_bytes is not None and self._batches
        self._runs: dict[int, _BoundRun] = {}
        self._bindable = self._row_bytes is not None and all(
            extent >= 0 for tensor in self.row_outputs for extent in tensor.shape
        )

    def run_rows(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        """One run for all rows where the model takes a batch, otherwise one a row.

        Raises `ModelFault` of kind `shape` when a row does not fit (then nothing ran), else `inference`."""
        rows = len(payloads)
        size = self._row_bytes
        if size is None:
            return self._run_by_length(payloads)
        if list(map(len, payloads)).count(size) != rows:
            raise self._layout.misfit(next(len(row) for row in payloads if len(row) != size))
        if rows > 1 and not self._batches:
            return [self._run(payloads[row : row + 1], size)[0] for row in range(rows)]
        return self._run(payloads, size) if rows else []

    def close(self) -> None:
        """Give the model back; the last to do so frees it. Safe to call twice."""
        release, self._release = self._release, None
        self._runs.clear()
        if release is not None:
            release()

    def _run(self, payloads: Sequence[bytes], size: int) -> list[bytes]:
        run = self._runs.get(len(payloads)) or self._bind(len(payloads), size)
        if run is None:
            return self._run_shapes(payloads, self._layout.shapes(size))
        try:
            return run(payloads)
        except ModelFault:
            # Some models declare an output shape that is not theirs, which only bound arrays take amiss.
            outputs = self._run_shapes(payloads, self._layout.shapes(size))
            self._bindable = False
            self._runs.clear()
            return outputs

    def _bind(self, rows: int, size: int) -> _BoundRun | None:
        outputs = [(rows, *tensor.shape) if follows else tensor.shape for tensor, follows in self._outputs_with_rows()]
        total = rows * (size + sum(tensor.bytes for tensor in self.row_outputs)) if self._bindable else 0
        if not 0 < total <= _KEEP_BYTES or len(self._runs) >= _KEEP_RUNS:
            return None
        inputs = [self._with_rows(rows, tensor.shape) for tensor in self.row_inputs]
        prepared = self._session.prepare(inputs, outputs)
        if prepared is None:
            self._bindable = False
            return None
        self._runs[rows] = run = _BoundRun(prepared, rows)
        return run

    def _outputs_with_rows(self) -> list[tuple[Tensor, bool]]:
        return list(zip(self.row_outputs, self._layout.follows, strict=True))

    def _with_rows(self, rows: int, shape: Shape) -> Shape:
        return (rows, *shape) if self._layout.has_batch else shape

    def _run_by_length(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Rows whose length decides the size of a free dimension: those of one length make a batch."""
        groups: dict[int, list[int]] = {}
        for row, payload in enumerate(payloads):
            groups.setdefault(len(payload), []).append(row)
        shapes = {length: self._layout.shapes(length) for length in groups}
        outputs: list[bytes] = [b""] * len(payloads)
        for length, rows in groups.items():
            together = [rows] if self._batches else [[row] for row in rows]
            for some in together:
                found = self._run_shapes([payloads[row] for row in some], shapes[length])
                for row, output in zip(some, found, strict=True):
                    outputs[row] = output
        return outputs

    def _run_shapes(self, payloads: Sequence[bytes], shapes: Sequence[Shape]) -> list[bytes]:
        rows = len(payloads)
        data = np.frombuffer(payloads[0] if rows == 1 else b"".join(payloads), np.uint8).reshape(rows, -1)
        arrays: list[Array] = []
        at = 0
        for tensor, shape in zip(self.inputs, shapes, strict=True):
            whole = Tensor(tensor.name, tensor.type, self._with_rows(rows, shape))
            size = whole.bytes // rows
            part = np.ascontiguousarray(data[:, at : at + size])
            arrays.append(_typed(part, whole))
            at += size
        outputs = [np.ascontiguousarray(array) for array in self._session.run(arrays)]
        if rows > 1:
            self._check_rows(outputs, rows)
        return _rows_of(outputs, rows)

    def _check_rows(self, outputs: Sequence[Array], rows: int) -> None:
        for tensor, array in zip(self.outputs, outputs, strict=True):
            if array.shape[:1] != (rows,):
                raise wrong_shape(
                    f"model '{self.label}': output {tensor} came as {list(array.shape)} for a batch of {rows}; "
                    "set batch.max to 1 for a model whose outputs do not follow the batch"
                )


class _BoundRun:
    """A run of one batch size with its arrays bound: rows are copied in, run and copied out."""

    def __init__(self, prepared: Prepared, rows: int) -> None:
        self._prepared = prepared
        self._rows = rows
        self._inputs = [array.reshape(rows, -1).view(np.uint8) for array in prepared.inputs]
        self._single = prepared.inputs[0].reshape(-1).view(np.uint8).data if len(prepared.inputs) == 1 else None
        self._bools = [array for array in prepared.inputs if array.dtype == np.bool_]

    def __call__(self, payloads: Sequence[bytes]) -> list[bytes]:
        data = payloads[0] if self._rows == 1 else b"".join(payloads)
        if self._single is not None:
            self._single[:] = data
        else:
            self._scatter(data)
        for array in self._bools:
            np.not_equal(array.view(np.uint8), 0, out=array)
        self._prepared.run()
        return _rows_of(self._prepared.outputs, self._rows)

    def _scatter(self, data: bytes) -> None:
        matrix = np.frombuffer(data, np.uint8).reshape(self._rows, -1)
        at = 0
        for part in self._inputs:
            part[:] = matrix[:, at : at + part.shape[1]]
            at += part.shape[1]


def _typed(part: Array, tensor: Tensor) -> Array:
    if tensor.type == "bool":
        return np.not_equal(part, 0).reshape(tensor.shape)  # other bytes than 0 and 1 are undefined inside an engine
    typed: Array = part.view(DTYPES[tensor.type]).reshape(tensor.shape)
    return typed if typed.flags.aligned else typed.copy()  # an input behind three bytes of another


def _rows_of(outputs: Sequence[Array], rows: int) -> list[bytes]:
    """Each row's part of every output, one after the other."""
    if rows == 1:
        return [outputs[0].tobytes() if len(outputs) == 1 else b"".join([array.tobytes() for array in outputs])]
    if len(outputs) == 1:
        array = outputs[0]
    else:
        array = np.concatenate([array.reshape(rows, -1).view(np.uint8) for array in outputs], axis=1)
    size = array.nbytes // rows
    if not size:
        return [b""] * rows
    # One element a row, as opaque bytes: numpy cuts them four times faster than slices do.
    return array.reshape(-1).view(f"V{size}").tolist()
