"""What an ONNX file says of itself, read without the engine: inputs, outputs, size of the weights, files it points to.

Format: onnx.proto3 (ONNX 1.17, IR version 10); the field numbers below are its own. Reading is lazy: only the graph's
head is walked, and the nodes only where the file could name external data at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flowrt.nn.backend import Slot, byte_size
from flowrt.nn.faults import ModelFault
from flowrt.nn.protowire import VARINT, Malformed, Reader, packed, signed
from flowrt.values import Struct

_MODEL_IR, _MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTION = 1, 7, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_EXTERNAL = 1, 2, 8, 13
_KEPT = {_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT}
_MAX_PARTS = 200_000
"""Initializers, inputs and outputs; the largest language models have some thousands."""
_MAX_NAME = 4096
"""Bytes; names end up in log lines."""
_MAX_DEPTH = 16
"""Graphs within graphs (loops and conditions); more than any exporter makes, and no recursion limit is met."""

_NAMED = {
    1: ("f32", "float"), 2: ("u8", "uint8"), 3: ("i8", "int8"), 4: ("u16", "uint16"), 5: ("i16", "int16"),
    6: ("i32", "int32"), 7: ("i64", "int64"), 8: ("string", "string"), 9: ("bool", "bool"), 10: ("f16", "float16"),
    11: ("f64", "double"), 12: ("u32", "uint32"), 13: ("u64", "uint64"), 16: ("bf16", "bfloat16"),
}  # fmt: skip
TYPES = {number: kind for number, (kind, _) in _NAMED.items()}
"""TensorProto.DataType, those that flowrt carries."""
NAMES = {name: kind for kind, name in _NAMED.values()}
"""By the name that ONNX has for them."""
_OTHER_TYPES = {14: "complex64", 15: "complex128"}
_NOT_TENSORS = {4: "sequence", 5: "map", 7: "opaque", 8: "sparse tensor", 9: "optional"}


class OnnxFile(Struct, frozen=True):
    """The part of a model that the checks need."""

    inputs: tuple[Slot, ...]
    """Without those that only name an initializer."""
    outputs: tuple[Slot, ...]
    parameter_bytes: int
    external: tuple[str, ...]
    """Files it names, as it spells them."""


def looks_like(data: bytes) -> bool:
    """Whether these bytes are a protobuf message with an IR version and a graph, as every ONNX model is."""
    seen = set()
    try:
        for number, wire, _ in Reader().fields(memoryview(data)):
            seen.add((number, wire == VARINT))
    except Malformed:
        return False
    return (_MODEL_IR, True) in seen and (_MODEL_GRAPH, False) in seen


def read(data: bytes, label: str) -> OnnxFile:
    """Raises `ModelFault`: `invalid-encoding` for what is no ONNX model, `unsupported-operation` for one whose inputs
    or outputs are not tensors of numbers."""
    view, wire = memoryview(data), Reader()
    try:
        parts = _parts(wire, view)
        weights = [value for number, value in parts if number == _GRAPH_INITIALIZER]
        filled = {_text(wire, weight, _TENSOR_NAME) for weight in weights}
        inputs = [
            _slot(wire, value, label, "input")
            for n, value in parts
            if n == _GRAPH_INPUT and _text(wire, value, 1) not in filled
        ]
        outputs = [_slot(wire, value, label, "output") for n, value in parts if n == _GRAPH_OUTPUT]
        size = sum(_tensor_bytes(wire, weight) for weight in weights)
        external = tuple(dict.fromkeys(_external(wire, view))) if names_files(data) else ()
    except Malformed as bad:
        raise ModelFault("invalid-encoding", f"'{label}' is not an ONNX model: {bad}") from None
    if not outputs:
        raise ModelFault("invalid-encoding", f"'{label}' is not an ONNX model: it has no graph with an output")
    return OnnxFile(tuple(inputs), tuple(outputs), size, external)


def names_files(data: bytes) -> bool:
    """Whether some tensor may keep its data in a file beside the model; never wrong when it says no."""
    return b"location" in data


def check_external(label: str, locations: tuple[str, ...], folder: Path | None) -> int:
    """Refuse files outside the model's folder, links followed; the size of those inside, in bytes."""
    total = 0
    for location in locations:
        if folder is None:
            raise ModelFault("security", f"model '{label}' keeps weights in '{location}'; given as bytes it may not")
        root = folder.resolve()
        try:
            target = (root / location).resolve()
            if not target.is_relative_to(root):
                raise ModelFault("security", f"model '{label}' points to '{location}', outside its folder {root}")
            if not target.is_file():
                raise ModelFault("model-not-found", f"model '{label}' needs '{location}', which is not in {root}")
            total += target.stat().st_size
        except (OSError, ValueError) as bad:
            raise ModelFault("security", f"model '{label}' points to '{location}': {bad}") from None
    return total


def _parts(wire: Reader, model: memoryview) -> list[tuple[int, memoryview]]:
    """Inputs, outputs and initializers of the graph; a graph in several pieces counts as one, as protobuf has it."""
    parts: list[tuple[int, memoryview]] = []
    for graph in wire.messages(model, _MODEL_GRAPH):
        for number, _, value in wire.fields(graph):
            if number in _KEPT and isinstance(value, memoryview):
                parts.append((number, value))
                if len(parts) > _MAX_PARTS:
                    raise Malformed(f"more than {_MAX_PARTS} tensors")
    return parts


def _slot(wire: Reader, info: memoryview, label: str, role: str) -> Slot:
    """A ValueInfoProto."""
    name = _text(wire, info, 1)
    for kind in wire.messages(info, 2):
        for number, _, value in wire.fields(kind):
            if number in _NOT_TENSORS:
                raise ModelFault(
                    "unsupported-operation",
                    f"model '{label}': {role} '{name}' is a {_NOT_TENSORS[number]}; flowrt carries tensors only"
                    " (scikit-learn: convert with options={'zipmap': False})",
                )
            if number == 1 and isinstance(value, memoryview):
                return _tensor_slot(wire, name, value, label, role)
    raise Malformed(f"{role} '{name}' has no type")


def _tensor_slot(wire: Reader, name: str, kind: memoryview, label: str, role: str) -> Slot:
    element, dims = 0, []
    for number, _, value in wire.fields(kind):
        if number == 1 and isinstance(value, int):
            element = value
        elif number == 2 and isinstance(value, memoryview):
            dims = [_dim(wire, dim, f"?{name}.{at}") for at, dim in enumerate(wire.messages(value, 1))]
    if element not in TYPES:
        found = _OTHER_TYPES.get(element, f"type {element}")
        raise ModelFault(
            "unsupported-operation", f"model '{label}': {role} '{name}' is {found}; flowrt carries numbers and strings"
        )
    return Slot(name, TYPES[element], tuple(dims))


def _dim(wire: Reader, dim: memoryview, nameless: str) -> int | str:
    for number, _, value in wire.fields(dim):
        if number == 1 and isinstance(value, int) and signed(value) > 0:
            return value
        if number == 2 and isinstance(value, memoryview) and len(value):
            return _decode(value)
    return nameless


def _tensor_bytes(wire: Reader, tensor: memoryview) -> int:
    """The bytes a TensorProto holds, by its declared shape where its data lie elsewhere."""
    dims: list[int] = []
    element, external = 0, False
    for number, kind, value in wire.fields(tensor):
        if number == _TENSOR_DIMS:
            dims.extend([value] if isinstance(value, int) else packed(value))
        elif number == _TENSOR_TYPE and kind == VARINT and isinstance(value, int):
            element = value
        external = external or number == _TENSOR_EXTERNAL
    return byte_size(TYPES[element], dims) if external and element in TYPES else len(tensor)


def _text(wire: Reader, message: memoryview, wanted: int) -> str:
    for value in wire.messages(message, wanted):
        return _decode(value)
    return ""


def _decode(value: memoryview) -> str:
    if len(value) > _MAX_NAME:
        raise Malformed(f"a name of {len(value)} bytes")
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise Malformed("a name that is not UTF-8") from None


_TENSOR, _SPARSE, _ATTRIBUTE, _NODE, _GRAPH, _FUNCTION, _TRAINING, _MODEL = range(8)
_CHILDREN = {
    _MODEL: {_MODEL_GRAPH: _GRAPH, _MODEL_FUNCTION: _FUNCTION, _MODEL_TRAINING: _TRAINING},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {_GRAPH_NODE: _NODE, _GRAPH_INITIALIZER: _TENSOR, _GRAPH_SPARSE: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
}
"""Which field of which message may lead to a tensor."""


def _external(wire: Reader, model: memoryview) -> Iterator[str]:
    """Every file that any tensor of the model names, wherever the tensor hides."""
    stack = [_children(wire, _MODEL, model)]
    while stack:
        kind, data = next(stack[-1], (None, model))
        if kind is None:
            stack.pop()
        elif kind != _TENSOR:
            stack.append(_children(wire, kind, data))
            if len(stack) > 4 * _MAX_DEPTH:
                raise Malformed("graphs nested too deeply")
        else:
            entries = wire.messages(data, _TENSOR_EXTERNAL)
            yield from (_text(wire, entry, 2) for entry in entries if _text(wire, entry, 1) == "location")


def _children(wire: Reader, kind: int, data: memoryview) -> Iterator[tuple[int | None, memoryview]]:
    wanted = _CHILDREN[kind]
    for number, _, value in wire.fields(data):
        child = wanted.get(number)
        if child is not None and isinstance(value, memoryview):
            yield child, value
