"""What an inference engine must offer: the small protocol behind which each backend is one file in `backends/`.

Tensors cross it as numpy arrays, which carry type, shape and bytes at once, in the order of the model's inputs and
outputs. numpy has no bfloat16: those arrays hold the same bits as `uint16`. numpy is imported by whoever runs a model,
never by whoever only describes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from flowrt.message import TENSOR_BYTES, Tensor
from flowrt.nn.faults import wrong_shape
from flowrt.values import Struct, field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"

DTYPES = {
    "f16": "<f2", "f32": "<f4", "f64": "<f8", "bf16": "<u2", "u8": "u1", "i8": "i1", "u16": "<u2", "i16": "<i2",
    "u32": "<u4", "i32": "<i4", "u64": "<u8", "i64": "<i8", "bool": "?", "string": "O",
}  # fmt: skip
"""numpy's spelling of each tensor type. An array of strings holds `bytes` objects."""
STANDS_FOR = {"u8": ("i8", "bool", "u16", "i16", "bf16"), "i32": ("u32",), "i64": ("u64",)}
"""wasi-nn has no tags for some types models use. Their bytes come under the tag that is nearest, as guests do it."""

Shape = tuple[int, ...]


class Slot(Struct, frozen=True):
    """One input or output of a model."""

    name: str
    type: str
    """A key of `DTYPES`."""
    dims: tuple[int | str, ...]
    """A free extent is its name; extents of one name are meant to be equal. Nameless ones get names of their own."""
    optional: bool = False
    """An input that may be left out: `run` then finds None in its place."""
    form: Literal["tensor", "text", "open"] = "tensor"
    """`text`: one dimension of bytes, UTF-8; the length of the data counts, whatever dimensions come with it.
    `open`: type and shape are the caller's choice, because the file says neither (TorchScript)."""

    @property
    def tensor(self) -> Tensor:
        """The same with -1 for a free extent."""
        return Tensor(self.name, self.type, tuple(dim if isinstance(dim, int) else -1 for dim in self.dims))

    def fit(self, label: str, kind: str, shape: Shape, length: int) -> tuple[str, Shape]:
        """Type and shape of the array for a tensor that a guest passes as `kind`, `shape` and `length` bytes.

        Raises `ModelFault` that says what the model expects and what came."""
        # Four bytes under u8's number and [1] read as an old guest's i32, and any text of an old guest as f64.
        if self.form == "text" and kind in {"u8", "i32", "f64"}:
            return "u8", (length,)
        actual = kind if self.form == "open" else self.type
        found = f"{kind}[{', '.join(map(str, shape))}]"
        if (kind != actual and actual not in STANDS_FOR.get(kind, ())) or not self.takes(shape):
            raise wrong_shape(f"model '{label}': input {self} was given {found}")
        if length != byte_size(actual, shape):
            raise wrong_shape(
                f"model '{label}': input {self} was given {found} in {length} bytes, not {byte_size(actual, shape)}"
            )
        return actual, shape

    def takes(self, shape: Shape) -> bool:
        """Whether a tensor of this shape fits the declared one, free extents taking any size."""
        if self.form == "open":
            return True
        return len(shape) == len(self.dims) and all(
            isinstance(dim, str) or dim == extent for dim, extent in zip(self.dims, shape, strict=True)
        )

    def __str__(self) -> str:
        if self.form == "open":
            return f"{self.name}: any tensor"
        dims = ("?" if isinstance(dim, str) and dim.startswith("?") else str(dim) for dim in self.dims)
        return f"{self.name}: {self.type}[{', '.join(dims)}]"


class Source(Struct, frozen=True):
    """Where a model comes from: its files, or the bytes of them."""

    label: str
    """What log lines call it."""
    parts: tuple[bytes, ...]
    """The files' contents: one part for most formats, two for OpenVINO (the network, then the weights)."""
    folder: Path | None = None
    """The folder that files named inside the model may lie in; None: such files are refused."""
    path: Path | None = None
    """The first part's file, where there is one."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the engine is asked for beside: the members of WasmEdge's JSON options, for the engines that know them."""
    inputs: tuple[Slot, ...] = ()
    """What the user says of its tensors, for formats that say nothing themselves."""
    outputs: tuple[Slot, ...] = ()
    libraries: tuple[Path, ...] = ()
    """Of operators beside the engine's own: native code that whoever asks for it is willing to run here."""


class Prepared(Protocol):
    """A run whose arrays are bound once and used again: fill `inputs`, run, read `outputs`. One thread at a time."""

    inputs: Sequence[Array]
    outputs: Sequence[Array]

    def run(self) -> None:
        """Raises `ModelFault`."""


class Stream(Protocol):
    """Text as it is made, for one context. One thread at a time."""

    def next(self) -> bytes | None:
        """The next piece, or None at the end. Raises `ModelFault`: `context-full` when there is no room for more."""

    def about(self) -> bytes:
        """What is known of it so far, as JSON in WasmEdge's words: `input_tokens`, `output_tokens`, …"""

    def close(self) -> None:
        """Safe to call twice."""


class Session(Protocol):
    """One loaded model. Any number of threads may call `run` at once."""

    label: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    device: str
    """Where it really runs, in the engine's words."""
    trial: bool
    """Whether zeros may be run through it when it is loaded, to warm it up and to see its layout."""

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        """All outputs, in order; None stands for an optional input that is not given. Raises `ModelFault` of kind
        `shape` for tensors that do not fit, else `inference`."""

    def prepare(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Prepared | None:
        """Arrays of these shapes bound for repeated runs, or None from an engine that gains nothing by it."""

    def stream(self, arrays: Sequence[Array | None]) -> Stream | None:
        """The first output piece by piece, or None from an engine that makes outputs at once. Raises `ModelFault`:
        `prompt-too-long`, or `busy` while the model makes text for somebody else."""

    def memory_bytes(self) -> int:
        """An estimate: the weights, and what the engine holds beside them where it tells."""

    def close(self) -> None:
        """Give the engine's memory back. Safe to call twice."""


class AtOnce:
    """What a session inherits that makes its outputs at once and binds no arrays."""

    trial = True

    def prepare(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Prepared | None:  # noqa: ARG002
        return None

    def stream(self, arrays: Sequence[Array | None]) -> Stream | None:  # noqa: ARG002
        return None


class Backend(Protocol):
    """One engine."""

    engine: str
    """Its name and version, for people."""

    def targets(self) -> Mapping[str, str]:
        """What cpu, gpu, tpu and npu are here, in the engine's words; a target it cannot run on is not in it."""

    def load(self, source: Source, target: str, threads: int) -> Session:
        """Raises `ModelFault`. `target` is cpu, gpu, tpu or npu; `threads` bounds one run."""


def element_count(shape: Sequence[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def byte_size(kind: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor; of strings, what refers to them."""
    return TENSOR_BYTES.get(kind, 8) * element_count(shape)


def to_array(tensor: Tensor, data: bytes | bytearray | memoryview) -> Array:
    """A read-only view of `data` as an array; raises ValueError when the length does not fit."""
    import numpy as np

    return np.frombuffer(data, np.dtype(DTYPES[tensor.type])).reshape(tensor.shape)


def from_array(name: str, kind: str, array: np.ndarray[Any, Any]) -> tuple[Tensor, bytes]:
    """An array of this tensor type as a description and its bytes."""
    return Tensor(name, kind, tuple(array.shape)), array.tobytes()
