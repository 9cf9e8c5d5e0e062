"""The core ABI of wasi-nn as bytes and numbers: pure, and without trust in either.

Format: `wasi_ephemeral_nn` of WebAssembly/wasi-nn's witx, with the numberings that guests were compiled against over
the years (docs/wasi-nn.md). All integers are little-endian u32; pointers and lengths are checked by the memory.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from flowrt.nn.backend import Shape, element_count
from flowrt.nn.faults import Code, ModelFault
from flowrt.wasm.imports import GuestMemory

MODULE = "wasi_ephemeral_nn"

SUCCESS, INVALID_ARGUMENT, TOO_LARGE = 0, 1, 7
ERRNO: dict[Code, int] = {
    "invalid-argument": INVALID_ARGUMENT,
    "invalid-encoding": 2,
    "runtime-error": 5,
    "unsupported-operation": 6,
    "too-large": TOO_LARGE,
    "not-found": 8,
    "model-not-found": 103,
    "security": 5,
    "timeout": 5,
    "busy": 4,
    "end-of-sequence": 100,
    "context-full": 101,
    "prompt-too-long": 102,
}
"""nn_errno by code. The witx has none for `security` and `timeout`; those from 100 are WasmEdge's."""

TARGETS = {0: "cpu", 1: "gpu", 2: "tpu"}
_ENCODINGS = {0: "openvino", 1: "onnx", 2: "tensorflow", 3: "pytorch", 4: "tensorflowlite"}
_EITHER = {5: "autodetect", 6: "ggml"}
"""witx and WasmEdge say 5 autodetect and 6 ggml, WIT and WAMR the reverse: both mean what the bytes show."""
_TYPES = {0: "f16", 1: "f32", 2: "f64", 3: "u8", 4: "i32", 5: "i64"}

MAX_BUILDERS = 16
"""Parts of one model; the most any format has is two."""
MAX_RANK = 32
"""Dimensions of one tensor; engines stop well below."""

_PAIR = struct.Struct("<II")
TENSOR = struct.Struct("<IIB3xII")
"""Address and number of the dimensions, type, address and length of the data."""
U32 = struct.Struct("<I")
DIMS = [struct.Struct(f"<{rank}I") for rank in range(MAX_RANK + 1)]


class TensorHead(NamedTuple):
    """What a guest says of a tensor, all but where it lies. Equal heads mean equal types and shapes."""

    tag: int
    length: int
    """Bytes of the data."""
    dims: Shape


def read_tensor(memory: GuestMemory, address: int) -> tuple[TensorHead, str, int]:
    """A tensor's head, its type and the address of its data, from its 20 bytes and its dimensions.

    Raises BadAddress, or `ModelFault` for what no tensor can be."""
    dims_at, rank, tag, data, length = TENSOR.unpack(memory.view(address, TENSOR.size))
    if rank > MAX_RANK:
        raise ModelFault("invalid-argument", f"a tensor of {rank} dimensions; at most {MAX_RANK}")
    dims = DIMS[rank].unpack(memory.view(dims_at, 4 * rank))
    return TensorHead(tag, length, dims), tensor_type(tag, dims, length), data


def tensor_type(tag: int, dims: Shape, length: int) -> str:
    """What a type byte means. Guests from before August 2023 number u8 as 2 and i32 as 3: the length tells."""
    if tag == 2 and length and length == element_count(dims):
        return "u8"
    if tag == 3 and length and length == 4 * element_count(dims):
        return "i32"
    if tag not in _TYPES:
        raise ModelFault("invalid-argument", f"tensor type {tag} does not exist")
    return _TYPES[tag]


def read_builders(memory: GuestMemory, address: int, count: int) -> list[tuple[int, int]]:
    """Address and length of each part of a model."""
    if not 0 < count <= MAX_BUILDERS:
        raise ModelFault("invalid-argument", f"a model of {count} parts; 1 to {MAX_BUILDERS} are possible")
    return list(_PAIR.iter_unpack(memory.read(address, count * _PAIR.size)))


def encoding(number: int) -> str:
    """The declared encoding; `autodetect` where the generations disagree."""
    if number in _EITHER:
        return "autodetect"
    if number not in _ENCODINGS:
        raise ModelFault("invalid-encoding", f"encoding {number} does not exist")
    return _ENCODINGS[number]


def target(number: int) -> str:
    if number not in TARGETS:
        raise ModelFault("invalid-argument", f"execution target {number} does not exist")
    return TARGETS[number]


def pack_u32(value: int) -> bytes:
    return U32.pack(value)
