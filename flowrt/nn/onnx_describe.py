"""All that an ONNX file says of itself, for `flowrt model show`: the checks need less, and read less (`onnx_file.py`).

Format: onnx.proto3 (ONNX 1.17); the field numbers below are its own.
"""

from __future__ import annotations

from collections import Counter

from flowrt.nn import onnx_file
from flowrt.nn.backend import byte_size
from flowrt.nn.described import Described
from flowrt.nn.faults import ModelFault
from flowrt.nn.protowire import Malformed, Reader, packed

_IR, _PRODUCER, _PRODUCER_VERSION, _GRAPH, _OPSET = 1, 2, 3, 7, 8
_NODE, _INITIALIZER = 1, 5
_NODE_KIND, _NODE_DOMAIN = 4, 7


def describe(data: bytes, label: str) -> Described:
    """Raises `ModelFault` as `onnx_file.read`."""
    model = onnx_file.read(data, label)
    try:
        return _described(Reader(), memoryview(data), model)
    except Malformed as bad:
        raise ModelFault("invalid-encoding", f"'{label}' is not an ONNX model: {bad}") from None


def _described(wire: Reader, view: memoryview, model: onnx_file.OnnxFile) -> Described:
    facts: dict[int, str] = {}
    opsets: list[str] = []
    operators: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for number, _, value in wire.fields(view):
        if number == _IR:
            facts[number] = str(value)
        elif number in {_PRODUCER, _PRODUCER_VERSION} and isinstance(value, memoryview):
            facts[number] = bytes(value[:200]).decode("utf-8", "replace")
        elif number == _OPSET and isinstance(value, memoryview):
            opsets.append(_opset(wire, value))
        elif number == _GRAPH and isinstance(value, memoryview):
            _graph(wire, value, operators, weights)
    producer = f"{facts.get(_PRODUCER, '')} {facts.get(_PRODUCER_VERSION, '')}".strip()
    return Described(
        model.inputs,
        model.outputs,
        version=f"IR {facts.get(_IR, '?')}, opset {', '.join(opsets) or '?'}",
        operators=operators,
        weights=weights,
        notes={"made by": producer} if producer else {},
    )


def _graph(wire: Reader, graph: memoryview, operators: Counter[str], weights: Counter[str]) -> None:
    for number, _, value in wire.fields(graph):
        if number == _NODE and isinstance(value, memoryview):
            texts = {n: v for n, _, v in wire.fields(value) if n in {_NODE_KIND, _NODE_DOMAIN}}
            domain = _text(texts.get(_NODE_DOMAIN))
            operators[(f"{domain}:" if domain not in {"", "ai.onnx"} else "") + _text(texts.get(_NODE_KIND))] += 1
        elif number == _INITIALIZER and isinstance(value, memoryview):
            kind, size = _weight(wire, value)
            weights[kind] += size


def _opset(wire: Reader, opset: memoryview) -> str:
    found = {number: value for number, _, value in wire.fields(opset)}
    domain = _text(found.get(1))
    return f"{domain} {found.get(2, '?')}".strip()


def _weight(wire: Reader, tensor: memoryview) -> tuple[str, int]:
    dims: list[int] = []
    element = 0
    for number, _, value in wire.fields(tensor):
        if number == 1:
            dims.extend([value] if isinstance(value, int) else packed(value))
        elif number == 2 and isinstance(value, int):
            element = value
    kind = onnx_file.TYPES.get(element, f"type {element}")
    return kind, byte_size(kind, dims)


def _text(value: object) -> str:
    return bytes(value[:200]).decode("utf-8", "replace") if isinstance(value, memoryview) else ""
