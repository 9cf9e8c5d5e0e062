"""How a row of bytes becomes a model's inputs, and its outputs a row of bytes again.

A row holds the input tensors one after the other, without the batch dimension. The batch is the first dimension where
it is free in every input; several rows then make one run. An output whose first extent does not follow the batch
belongs to the whole run, so a model with such an output is run row by row (docs/decisions/004-wasi-nn-meanings.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from flowrt.message import Tensor
from flowrt.nn.backend import Shape, Slot, byte_size
from flowrt.nn.faults import wrong_shape
from flowrt.values import Struct


class Layout(Struct, frozen=True):
    """The shape of one row."""

    label: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    has_batch: bool
    """Whether every input has a free first dimension: rows come without it."""
    follows: tuple[bool, ...]
    """For each output, whether its first extent is that of the batch."""
    one_by_one: bool = False
    """Whether a run of several rows was tried and failed."""

    @property
    def batches(self) -> bool:
        """Whether one run may serve several rows."""
        return self.has_batch and all(self.follows) and not self.one_by_one

    @property
    def row_inputs(self) -> tuple[Slot, ...]:
        return tuple(map(_without_batch, self.inputs)) if self.has_batch else self.inputs

    @property
    def row_outputs(self) -> tuple[Slot, ...]:
        return tuple(
            _without_batch(slot) if follows else slot for slot, follows in zip(self.outputs, self.follows, strict=True)
        )

    @property
    def row_bytes(self) -> int | None:
        """Bytes of a row, or None where free dimensions leave it open."""
        slots = self.row_inputs
        if any(isinstance(dim, str) for slot in slots for dim in slot.dims):
            return None
        return sum(byte_size(slot.type, slot.tensor.shape) for slot in slots)

    def shapes(self, row_bytes: int) -> tuple[Shape, ...]:
        """The inputs' shapes, without the batch, in a row of this many bytes.

        Raises `ModelFault` of kind `shape` when no size of the free dimension, or more than one, fits."""
        slots = self.row_inputs
        names = {dim for slot in slots for dim in slot.dims if isinstance(dim, str)}
        fixed = linear = 0
        for slot in slots:
            free = [dim for dim in slot.dims if isinstance(dim, str)]
            size = byte_size(slot.type, [dim for dim in slot.dims if isinstance(dim, int)])
            if len(names) > 1 or len(free) > 1:
                raise wrong_shape(
                    f"model '{self.label}': a row of {row_bytes} bytes does not say the size of "
                    f"{', '.join(sorted(names))}; expected {self.expected()}"
                )
            fixed, linear = (fixed, linear + size) if free else (fixed + size, linear)
        extent, rest = divmod(row_bytes - fixed, linear) if linear else (0, row_bytes - fixed)
        if rest or extent < 0:
            raise self.misfit(row_bytes)
        return tuple(tuple(dim if isinstance(dim, int) else extent for dim in slot.dims) for slot in slots)

    def expected(self) -> str:
        return ", ".join(map(str, self.row_inputs))

    def misfit(self, row_bytes: int) -> Exception:
        size = self.row_bytes
        wanted = f"{size} bytes" if size is not None else "a payload"
        return wrong_shape(f"model '{self.label}' takes {wanted} a message ({self.expected()}), not {row_bytes} bytes")

    def tensors(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        return tuple(slot.tensor for slot in self.row_inputs), tuple(slot.tensor for slot in self.row_outputs)


def layout_of(label: str, inputs: Sequence[Slot], outputs: Sequence[Slot]) -> Layout:
    """The layout that the declared shapes tell; whether outputs follow the batch is their word until a run shows it."""
    first = {slot.dims[0] if slot.dims else 0 for slot in inputs}
    text = any(slot.form == "text" for slot in (*inputs, *outputs))
    free = bool(inputs) and not text and all(isinstance(dim, str) for dim in first)
    # A matrix of [N, N] has no batch: its first extent means something else.
    again = any(dim in first for slot in inputs for dim in slot.dims[1:])
    has_batch = free and not again
    follows = tuple(has_batch and bool(slot.dims) and isinstance(slot.dims[0], str) for slot in outputs)
    return Layout(label, tuple(inputs), tuple(outputs), has_batch, follows)


def _without_batch(slot: Slot) -> Slot:
    return Slot(slot.name, slot.type, slot.dims[1:])
