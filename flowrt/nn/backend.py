"""What an inference engine must offer: the small protocol behind which each backend is one file in `backends/`.

Tensors cross it as numpy arrays, which carry type, shape and bytes at once, in the order of the model's inputs and
outputs. numpy has no bfloat16: those arrays hold the same bits as `uint16`. numpy is imported by whoever runs a model,
never by whoever only describes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from flowrt.message import TENSOR_BYTES, Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"

DTYPES = {
    "f16": "<f2", "f32": "<f4", "f64": "<f8", "bf16": "<u2", "u8": "u1", "i8": "i1", "u16": "<u2", "i16": "<i2",
    "u32": "<u4", "i32": "<i4", "u64": "<u8", "i64": "<i8", "bool": "?",
}  # fmt: skip
"""numpy's spelling of each tensor type."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """One input or output of a model."""

    name: str
    type: str
    """A key of `flowrt.message.TENSOR_BYTES`."""
    dims: tuple[int | str, ...]
    """A free extent is its name; extents of one name are meant to be equal. Nameless ones get names of their own."""

    @property
    def tensor(self) -> Tensor:
        """The same with -1 for a free extent."""
        return Tensor(self.name, self.type, tuple(dim if isinstance(dim, int) else -1 for dim in self.dims))

    def takes(self, shape: Shape) -> bool:
        """Whether a tensor of this shape fits the declared one, free extents taking any size."""
        return len(shape) == len(self.dims) and all(
            isinstance(dim, str) or dim == extent for dim, extent in zip(self.dims, shape, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.type}[{', '.join(map(str, self.dims))}]"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: its files, or the bytes of them."""

    label: str
    """What log lines call it."""
    parts: tuple[bytes, ...]
    """The files' contents: one part for most formats, two for OpenVINO (the network, then the weights)."""
    folder: Path | None = None
    """The folder that files named inside the model may lie in; None: such files are refused."""
    path: Path | None = None
    """The first part's file, where there is one."""


class Prepared(Protocol):
    """A run whose arrays are bound once and used again: fill `inputs`, run, read `outputs`. One thread at a time."""

    inputs: Sequence[Array]
    outputs: Sequence[Array]

    def run(self) -> None:
        """Raises `ModelFault`."""


class Session(Protocol):
    """One loaded model. Any number of threads may call `run` at once."""

    label: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    device: str
    """Where it really runs, in the engine's words."""

    def run(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """All outputs, in order. Raises `ModelFault` of kind `shape` for tensors that do not fit, else `inference`."""

    def prepare(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Prepared | None:
        """Arrays of these shapes bound for repeated runs, or None from an engine that gains nothing by it."""

    def memory_bytes(self) -> int:
        """An estimate: the weights, and what the engine holds beside them where it tells."""

    def close(self) -> None:
        """Give the engine's memory back. Safe to call twice."""


class Backend(Protocol):
    """One engine for one encoding."""

    encoding: str

    def load(self, source: Source, target: str, threads: int) -> Session:
        """Raises `ModelFault`. `target` is cpu, gpu, tpu or npu; `threads` bounds one run."""


def element_count(shape: Sequence[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def byte_size(kind: str, shape: Sequence[int]) -> int:
    return TENSOR_BYTES[kind] * element_count(shape)


def to_array(tensor: Tensor, data: bytes | bytearray | memoryview) -> Array:
    """A read-only view of `data` as an array; raises ValueError when the length does not fit."""
    import numpy as np

    return np.frombuffer(data, np.dtype(DTYPES[tensor.type])).reshape(tensor.shape)


def from_array(name: str, kind: str, array: np.ndarray[Any, Any]) -> tuple[Tensor, bytes]:
    """An array of this tensor type as a description and its bytes."""
    return Tensor(name, kind, tuple(array.shape)), array.tobytes()
