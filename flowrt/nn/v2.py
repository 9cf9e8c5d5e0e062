"""The Open Inference Protocol, version 2, as bytes: what is asked of a server and what it answers, by HTTP and by gRPC.

Format: the protocol's REST and gRPC pages, the binary tensor extension of the former included, where tensors follow the
JSON as they are. Pure, and without trust in the server: what does not fit raises `BadAnswer`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowrt.nn import protowire, strings
from flowrt.nn.backend import DTYPES, Array, Slot, element_count
from flowrt.nn.faults import ModelFault
from flowrt.nn.protowire import FIXED32, FIXED64, VARINT, Malformed, Reader

DATATYPES = {
    "f16": "FP16", "f32": "FP32", "f64": "FP64", "bf16": "BF16", "u8": "UINT8", "i8": "INT8", "u16": "UINT16",
    "i16": "INT16", "u32": "UINT32", "i32": "INT32", "u64": "UINT64", "i64": "INT64", "bool": "BOOL", "string": "BYTES",
}  # fmt: skip
_TYPES = {spelling: kind for kind, spelling in DATATYPES.items()}
_MAX_RANK = 32
_MAX_ELEMENTS = 2**31


class BadAnswer(ValueError):
    """A server's answer that is not what the protocol says."""


def _bytes(array: Array) -> bytes:
    return strings.pack(array.reshape(-1).tolist()) if array.dtype == object else array.tobytes()


def _from_bytes(data: bytes | memoryview, kind: str, shape: tuple[int, ...], name: str) -> Array:
    try:
        if kind != "string":
            return np.frombuffer(data, DTYPES[kind]).reshape(shape)
        elements, end = strings.unpack(bytes(data), 0, element_count(shape), f"output '{name}'")
    except (ValueError, ModelFault):
        raise BadAnswer(f"output '{name}': {len(data)} bytes are no {kind}{list(shape)}") from None
    if end != len(data):
        raise BadAnswer(f"output '{name}': {len(data) - end} bytes too many")
    return _objects(elements, shape)


def _objects(elements: Sequence[bytes], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def _kind(datatype: object, name: str) -> str:
    if datatype not in _TYPES:
        raise BadAnswer(f"tensor '{name}' has datatype {str(datatype)[:40]!r}")
    return _TYPES[str(datatype)]


def _shape(found: object, name: str) -> tuple[int, ...]:
    if not isinstance(found, (list, tuple)) or len(found) > _MAX_RANK:
        raise BadAnswer(f"tensor '{name}' has no shape")
    if (
        not all(isinstance(extent, int) for extent in found)
        or element_count([max(n, 0) for n in found]) > _MAX_ELEMENTS
    ):
        raise BadAnswer(f"tensor '{name}' has the shape {str(found)[:80]}")
    return tuple(found)


def _slot(name: str, datatype: object, shape: object) -> Slot:
    dims = (n if n >= 0 else f"?{name}.{at}" for at, n in enumerate(_shape(shape, name)))
    return Slot(name, _kind(datatype, name), tuple(dims))


# HTTP


def encode_json(
    slots: Sequence[Slot], arrays: Sequence[Array], outputs: Sequence[Slot], *, binary: bool
) -> tuple[bytes, int]:
    """The body of an inference request, and how long the JSON at its beginning is."""
    blobs: list[bytes] = []
    inputs = []
    for slot, array in zip(slots, arrays, strict=True):
        entry: dict[str, Any] = {"name": slot.name, "shape": list(array.shape), "datatype": DATATYPES[slot.type]}
        if binary:
            blobs.append(_bytes(array))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        elif slot.type in {"f16", "bf16"}:
            raise BadAnswer(
                f"input '{slot.name}' is {slot.type}, which needs the server's binary_tensor_data extension"
            )
        else:
            flat = array.reshape(-1).tolist()
            entry["data"] = [each.decode("utf-8", "replace") for each in flat] if slot.type == "string" else flat
        inputs.append(entry)
    wanted = [{"name": slot.name, **({"parameters": {"binary_data": True}} if binary else {})} for slot in outputs]
    head = json.dumps({"inputs": inputs, "outputs": wanted}, separators=(",", ":")).encode()
    return head + b"".join(blobs), len(head)


def decode_json(body: bytes, head: int | None) -> dict[str, tuple[str, Array]]:
    """The outputs of an answer by name, with their types; `head` is the length of the JSON where tensors follow it."""
    answer = _object(body if head is None else body[:head])
    at, made = head or 0, {}
    for entry in _list(answer, "outputs"):
        name = str(entry.get("name"))
        kind, shape = _kind(entry.get("datatype"), name), _shape(entry.get("shape"), name)
        size = _parameters(entry).get("binary_data_size")
        if isinstance(size, int):
            if head is None or size < 0 or at + size > len(body):
                raise BadAnswer(f"output '{name}' of {size} bytes is not in the answer")
            made[name] = kind, _from_bytes(memoryview(body)[at : at + size], kind, shape, name)
            at += size
        else:
            made[name] = kind, _from_list(entry.get("data"), kind, shape, name)
    return made


def decode_metadata(body: bytes) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """Inputs and outputs of a model."""
    answer = _object(body)
    inputs, outputs = (
        tuple(_slot(str(e.get("name")), e.get("datatype"), e.get("shape")) for e in _list(answer, key))
        for key in ("inputs", "outputs")
    )
    return inputs, outputs


def extensions(body: bytes) -> frozenset[str]:
    """What a server can do beyond the protocol, from its own metadata."""
    found = _object(body).get("extensions", [])
    return frozenset(map(str, found)) if isinstance(found, list) else frozenset()


def error_text(body: bytes) -> str:
    """What a server says is wrong."""
    try:
        answer = _object(body)
    except BadAnswer:
        return body[:200].decode("utf-8", "replace")
    return str(answer.get("error") or answer.get("detail") or "")[:400]


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BadAnswer("the answer is no JSON object")
    return answer


def _list(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise BadAnswer(f"the answer has no {key}")
    return found


def _parameters(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    found = entry.get("parameters")
    return found if isinstance(found, dict) else {}


def _from_list(data: object, kind: str, shape: tuple[int, ...], name: str) -> Array:
    flat = list(_flat(data))
    try:
        if kind == "string":
            elements = [each.encode() if isinstance(each, str) else bytes(each) for each in flat]
            return _objects(elements, shape)
        return np.array(flat, DTYPES[kind]).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise BadAnswer(f"output '{name}': its data are no {kind}{list(shape)}") from None


def _flat(data: object) -> Any:
    """Nested lists are allowed as well as flat ones."""
    stack = [data]
    while stack:
        top = stack.pop()
        if isinstance(top, list):
            stack.extend(reversed(top))
        else:
            yield top


# gRPC: messages of grpc_service.proto

_CONTENTS = {1: "?", 2: "<i4", 3: "<i8", 4: "<u4", 5: "<u8", 6: "<f4", 7: "<f8"}
_FLOATS = {6: FIXED32, 7: FIXED64}
_BYTES_CONTENTS = 8


def encode_infer(
    model: str, version: str, slots: Sequence[Slot], arrays: Sequence[Array], outputs: Sequence[Slot]
) -> bytes:
    """ModelInferRequest."""
    parts = [_text(1, model), _text(2, version)]
    for slot, array in zip(slots, arrays, strict=True):
        shape = b"".join(map(_varint, array.shape))
        parts.append(_record(5, _text(1, slot.name) + _text(2, DATATYPES[slot.type]) + _record(3, shape)))
    parts += [_record(6, _text(1, slot.name)) for slot in outputs]
    parts += [_record(7, _bytes(array)) for array in arrays]
    return b"".join(parts)


def encode_about(model: str, version: str) -> bytes:
    """ModelMetadataRequest."""
    return _text(1, model) + _text(2, version)


def decode_infer(data: bytes) -> dict[str, tuple[str, Array]]:
    """ModelInferResponse: the outputs by name, each with its type."""
    wire, view = Reader(), memoryview(data)
    try:
        tensors = [_tensor(wire, part) for part in wire.messages(view, 5)]
        raw = list(wire.messages(view, 6))
        if raw and len(raw) != len(tensors):
            raise BadAnswer(f"{len(tensors)} outputs and {len(raw)} tensors")
        return {
            name: (kind, _from_bytes(raw[at], kind, shape, name) if raw else _typed(wire, contents, kind, shape, name))
            for at, (name, kind, shape, contents) in enumerate(tensors)
        }
    except Malformed as bad:
        raise BadAnswer(str(bad)) from None


def decode_about(data: bytes) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """ModelMetadataResponse: inputs and outputs."""
    wire, view = Reader(), memoryview(data)
    try:
        inputs, outputs = (
            tuple(_slot(*_described(wire, part)) for part in wire.messages(view, field)) for field in (4, 5)
        )
    except Malformed as bad:
        raise BadAnswer(str(bad)) from None
    return inputs, outputs


def _described(wire: Reader, tensor: memoryview) -> tuple[str, str, list[int]]:
    """Name, datatype and shape, which are the first three fields of every description of a tensor."""
    name, datatype, shape = "", "", []
    for number, kind, value in wire.fields(tensor):
        if number == 1 and isinstance(value, memoryview):
            name = bytes(value[:4096]).decode("utf-8", "replace")
        elif number == 2 and isinstance(value, memoryview):
            datatype = bytes(value[:40]).decode("utf-8", "replace")
        elif number == 3:
            shape += [value] if kind == VARINT and isinstance(value, int) else protowire.packed(value)  # type: ignore[arg-type]
    return name, datatype, [protowire.signed(extent) for extent in shape]


def _tensor(wire: Reader, tensor: memoryview) -> tuple[str, str, tuple[int, ...], memoryview]:
    name, datatype, dims = _described(wire, tensor)
    contents = next(wire.messages(tensor, 5), memoryview(b""))
    return name, _kind(datatype, name), _shape(dims, name), contents


def _typed(wire: Reader, contents: memoryview, kind: str, shape: tuple[int, ...], name: str) -> Array:
    """InferTensorContents: some servers answer with typed lists instead of bytes."""
    if kind == "string":
        return _objects_or_bad([bytes(each) for each in wire.messages(contents, _BYTES_CONTENTS)], shape, name)
    flat: list[Array] = []
    for number, wire_type, value in wire.fields(contents):
        spelling = _CONTENTS.get(number)
        if spelling is None:
            continue
        if isinstance(value, int):
            flat.append(np.array([protowire.signed(value)], np.int64))
        elif number in _FLOATS:
            flat.append(
                np.frombuffer(
                    value[: len(value) // np.dtype(spelling).itemsize * np.dtype(spelling).itemsize], spelling
                )
            )
        elif wire_type != _FLOATS.get(number):
            flat.append(protowire.integers(value))
    joined = np.concatenate(flat) if flat else np.empty(0)
    try:
        return joined.astype(DTYPES[kind]).reshape(shape)
    except ValueError:
        raise BadAnswer(f"output '{name}': {joined.size} values are no {kind}{list(shape)}") from None


def _objects_or_bad(elements: list[bytes], shape: tuple[int, ...], name: str) -> Array:
    try:
        return _objects(elements, shape)
    except ValueError:
        raise BadAnswer(f"output '{name}': {len(elements)} strings do not fill {list(shape)}") from None


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _record(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _record(number, text.encode()) if text else b""
