"""What a TensorFlow Lite file says of itself, read without the engine.

Format: TensorFlow Lite's schema, version 3; the field numbers below are its own.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from flowrt.nn.backend import Slot
from flowrt.nn.described import Described
from flowrt.nn.faults import ModelFault
from flowrt.nn.flat import Buffer, Table
from flowrt.nn.protowire import Malformed

_MODEL_VERSION, _MODEL_CODES, _MODEL_GRAPHS, _MODEL_DESCRIPTION, _MODEL_BUFFERS, _MODEL_SIGNATURES = 0, 1, 2, 3, 4, 7
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 1, 2, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME, _TENSOR_SIGNATURE = 0, 1, 2, 3, 7
_CODE_OLD, _CODE_CUSTOM, _CODE_BUILTIN = 0, 1, 3
_BUFFER_DATA, _BUFFER_SIZE = 0, 2
_SCHEMA = 3
_CUSTOM = 32
_T = TypeVar("_T")

TYPES = {
    0: "f32", 1: "f16", 2: "i32", 3: "u8", 4: "i64", 5: "string", 6: "bool", 7: "i16", 9: "i8", 10: "f64", 12: "u64",
    15: "u32", 16: "u16", 18: "bf16",
}  # fmt: skip
"""TensorType, those that flowrt carries."""
_OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    9: "FULLY_CONNECTED", 14: "LOGISTIC", 16: "LSTM", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 21: "RELU6",
    22: "RESHAPE", 23: "RESIZE_BILINEAR", 25: "SOFTMAX", 28: "TANH", 34: "PAD", 36: "GATHER", 39: "TRANSPOSE",
    40: "MEAN", 41: "SUB", 42: "DIV", 43: "SQUEEZE", 45: "STRIDED_SLICE", 49: "SPLIT", 53: "CAST", 56: "ARG_MAX",
    70: "EXPAND_DIMS", 74: "SUM", 76: "RSQRT", 77: "SHAPE", 83: "PACK", 88: "UNPACK", 99: "SQUARED_DIFFERENCE",
    114: "QUANTIZE", 117: "HARD_SWISH",
}  # fmt: skip
"""BuiltinOperator, the usual ones."""
_OTHERS = {8: "complex64", 11: "complex128", 13: "a resource", 14: "a variant", 17: "int4"}


def read(data: bytes, label: str) -> Described:
    """Raises `ModelFault` of code `invalid-encoding` for what is no such model."""
    try:
        return _described(data, label)
    except Malformed as bad:
        raise ModelFault("invalid-encoding", f"'{label}' is no TensorFlow Lite model: {bad}") from None


def _described(data: bytes, label: str) -> Described:
    model, length = Buffer(data).root(), len(data)
    version = model.number(_MODEL_VERSION, "I")
    if data[4:8] != b"TFL3" or version != _SCHEMA:
        raise Malformed(f"its schema is version {version}, not {_SCHEMA}")
    graph = next(model.tables(_MODEL_GRAPHS), None)
    if graph is None:
        raise Malformed("it has no graph")
    tensors = list(graph.tables(_GRAPH_TENSORS))
    names = _signature(model)
    inputs = _slots(tensors, graph.numbers(_GRAPH_INPUTS, "i"), names[0], label)
    outputs = _slots(tensors, graph.numbers(_GRAPH_OUTPUTS, "i"), names[1], label)
    if not outputs:
        raise Malformed("its graph has no output")
    codes = [_operator(code) for code in model.tables(_MODEL_CODES)]
    used = Counter(_at(codes, operator.number(0, "I")) for operator in graph.tables(_GRAPH_OPERATORS))
    buffers = [
        max(buffer.length(_BUFFER_DATA), buffer.number(_BUFFER_SIZE, "Q")) for buffer in model.tables(_MODEL_BUFFERS)
    ]
    weights: Counter[str] = Counter()
    for tensor in tensors:
        held = _at(buffers, tensor.number(_TENSOR_BUFFER, "I"))
        if held:
            weights[_type(tensor)] += min(held, length)
    return Described(
        inputs,
        outputs,
        version=f"schema {_SCHEMA}",
        operators=used,
        weights=weights,
        notes={"made by": model.text(_MODEL_DESCRIPTION)} if model.text(_MODEL_DESCRIPTION) else {},
    )


def _slots(tensors: list[Table], which: list[int], names: dict[int, str], label: str) -> tuple[Slot, ...]:
    return tuple(_slot(_at(tensors, index), names.get(index, ""), label) for index in which if index >= 0)


def _slot(tensor: Table, signature_name: str, label: str) -> Slot:
    name = signature_name or tensor.text(_TENSOR_NAME)
    kind = tensor.number(_TENSOR_TYPE, "b")
    if kind not in TYPES:
        raise ModelFault("unsupported-operation", f"'{label}': tensor '{name}' is {_OTHERS.get(kind, f'type {kind}')}")
    shape = tensor.numbers(_TENSOR_SHAPE, "i")
    free = tensor.numbers(_TENSOR_SIGNATURE, "i") or shape
    return Slot(name, TYPES[kind], tuple(f"?{name}.{i}" if dim < 0 else dim for i, dim in enumerate(free)))


def _signature(model: Table) -> tuple[dict[int, str], dict[int, str]]:
    """What the file's signature calls inputs and outputs, by tensor; of several signatures none is the model's."""
    signatures = list(model.tables(_MODEL_SIGNATURES))
    if len(signatures) != 1:
        return {}, {}
    made = [{entry.number(1, "I"): entry.text(0) for entry in signatures[0].tables(field)} for field in (0, 1)]
    return made[0], made[1]


def _operator(code: Table) -> str:
    builtin = max(code.number(_CODE_OLD, "b"), code.number(_CODE_BUILTIN, "i"))
    if builtin == _CUSTOM:
        return f"custom {code.text(_CODE_CUSTOM)}"
    return _OPERATORS.get(builtin, f"builtin {builtin}")


def _type(tensor: Table) -> str:
    kind = tensor.number(_TENSOR_TYPE, "b")
    return TYPES.get(kind) or _OTHERS.get(kind, f"type {kind}")


def _at(items: list[_T], index: int) -> _T:
    if not 0 <= index < len(items):
        raise Malformed(f"it names part {index} of {len(items)}")
    return items[index]
