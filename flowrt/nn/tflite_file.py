"""What a TensorFlow Lite file says of itself, read without the engine.

Format: TensorFlow Lite's schema, version 3; the field numbers below are its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from flowrt.nn.backend import Slot
from flowrt.nn.described import Described, Signature
from flowrt.nn.faults import ModelFault
from flowrt.nn.flat import Buffer, Table
from flowrt.nn.protowire import Malformed
from flowrt.problem import nearest

_MODEL_VERSION, _MODEL_CODES, _MODEL_GRAPHS, _MODEL_DESCRIPTION, _MODEL_BUFFERS, _MODEL_SIGNATURES = 0, 1, 2, 3, 4, 7
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 1, 2, 3
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_NAME, _SIGNATURE_GRAPH = 0, 1, 2, 4
_NAMED_NAME, _NAMED_TENSOR = 0, 1
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME, _TENSOR_SIGNATURE = 0, 1, 2, 3, 7
_CODE_OLD, _CODE_CUSTOM, _CODE_BUILTIN = 0, 1, 3
_BUFFER_DATA, _BUFFER_SIZE = 0, 2
_SCHEMA = 3
_CUSTOM = 32
_SIGNATURES_MAX = 256
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


def signature_of(described: Described, options: Mapping[str, Any], label: str) -> tuple[str, Signature | None]:
    """The signature that a model's option `signature` asks for; without one, none. Raises `ModelFault`."""
    wanted = options.get("signature")
    if wanted is None:
        return "", None
    found = described.signatures.get(wanted) if isinstance(wanted, str) else None
    if found is None:
        remedy = nearest(str(wanted), described.signatures) or f"; it has {', '.join(described.signatures) or 'none'}"
        raise ModelFault("invalid-argument", f"model '{label}' has no signature '{wanted}'{remedy}")
    return wanted, found


def _described(data: bytes, label: str) -> Described:
    model, length = Buffer(data).root(), len(data)
    version = model.number(_MODEL_VERSION, "I")
    if data[4:8] != b"TFL3" or version != _SCHEMA:
        raise Malformed(f"its schema is version {version}, not {_SCHEMA}")
    graphs = list(model.tables(_MODEL_GRAPHS))
    if not graphs:
        raise Malformed("it has no graph")
    notes = {"made by": model.text(_MODEL_DESCRIPTION)} if model.text(_MODEL_DESCRIPTION) else {}
    signatures = _signatures(model, graphs, label, notes)
    inputs, outputs = _first(model, graphs[0], label)
    if not outputs:
        raise Malformed("its graph has no output")
    codes = [_operator(code) for code in model.tables(_MODEL_CODES)]
    used = Counter(
        _at(codes, operator.number(0, "I")) for graph in graphs for operator in graph.tables(_GRAPH_OPERATORS)
    )
    return Described(
        inputs,
        outputs,
        version=f"schema {_SCHEMA}",
        operators=used,
        weights=_weights(model, graphs, length),
        notes=notes,
        signatures=signatures,
    )


def _weights(model: Table, graphs: Sequence[Table], length: int) -> Counter[str]:
    """Bytes by type; what several tensors or graphs share counts once."""
    buffers = [
        max(buffer.length(_BUFFER_DATA), buffer.number(_BUFFER_SIZE, "Q")) for buffer in model.tables(_MODEL_BUFFERS)
    ]
    weights: Counter[str] = Counter()
    for tensor in (tensor for graph in graphs for tensor in graph.tables(_GRAPH_TENSORS)):
        which = tensor.number(_TENSOR_BUFFER, "I")
        held = _at(buffers, which)
        if held:
            weights[_type(tensor)] += min(held, length)
            buffers[which] = 0
    return weights


def _signatures(model: Table, graphs: Sequence[Table], label: str, notes: dict[str, str]) -> dict[str, Signature]:
    """Signatures by name, each with the tensors it names in the order of its graph, which is the one that guests count
    in with every host. One whose tensors flowrt does not carry is left out, with a note: the others run."""
    tensors: dict[int, list[Table]] = {}
    found: dict[str, Signature] = {}
    if model.length(_MODEL_SIGNATURES) > _SIGNATURES_MAX:
        raise Malformed(f"it has more than {_SIGNATURES_MAX} signatures")
    for entry in model.tables(_MODEL_SIGNATURES):
        name = entry.text(_SIGNATURE_NAME)
        index = entry.number(_SIGNATURE_GRAPH, "I")
        graph = _at(graphs, index)
        if index not in tensors:
            tensors[index] = list(graph.tables(_GRAPH_TENSORS))
        inputs, outputs = _names(entry, _SIGNATURE_INPUTS), _names(entry, _SIGNATURE_OUTPUTS)
        try:
            found[name] = Signature(
                _slots(tensors[index], [at for at in graph.numbers(_GRAPH_INPUTS, "i") if at in inputs], inputs, label),
                _slots(
                    tensors[index], [at for at in graph.numbers(_GRAPH_OUTPUTS, "i") if at in outputs], outputs, label
                ),
            )
        except ModelFault as fault:
            notes[f"signature {name} is left out"] = fault.detail
    return found


def _first(model: Table, graph: Table, label: str) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """What the first graph takes and makes, under the names of its signature where it has one and not several."""
    signatures = [entry for entry in model.tables(_MODEL_SIGNATURES) if entry.number(_SIGNATURE_GRAPH, "I") == 0]
    only = signatures[0] if len(signatures) == 1 else None
    tensors = list(graph.tables(_GRAPH_TENSORS))
    inputs, outputs = [
        _slots(tensors, graph.numbers(field, "i"), {} if only is None else _names(only, named), label)
        for field, named in ((_GRAPH_INPUTS, _SIGNATURE_INPUTS), (_GRAPH_OUTPUTS, _SIGNATURE_OUTPUTS))
    ]
    return inputs, outputs


def _names(signature: Table, field: int) -> dict[int, str]:
    return {entry.number(_NAMED_TENSOR, "I"): entry.text(_NAMED_NAME) for entry in signature.tables(field)}


def _slots(tensors: Sequence[Table], which: list[int], names: Mapping[int, str], label: str) -> tuple[Slot, ...]:
    return tuple(_slot(_at(tensors, index), names.get(index, ""), label) for index in which if index >= 0)


def _slot(tensor: Table, signature_name: str, label: str) -> Slot:
    name = signature_name or tensor.text(_TENSOR_NAME)
    kind = tensor.number(_TENSOR_TYPE, "b")
    if kind not in TYPES:
        raise ModelFault("unsupported-operation", f"'{label}': tensor '{name}' is {_OTHERS.get(kind, f'type {kind}')}")
    shape = tensor.numbers(_TENSOR_SHAPE, "i")
    free = tensor.numbers(_TENSOR_SIGNATURE, "i") or shape
    return Slot(name, TYPES[kind], tuple(f"?{name}.{i}" if dim < 0 else dim for i, dim in enumerate(free)))


def _operator(code: Table) -> str:
    builtin = max(code.number(_CODE_OLD, "b"), code.number(_CODE_BUILTIN, "i"))
    if builtin == _CUSTOM:
        return f"custom {code.text(_CODE_CUSTOM)}"
    return _OPERATORS.get(builtin, f"builtin {builtin}")


def _type(tensor: Table) -> str:
    kind = tensor.number(_TENSOR_TYPE, "b")
    return TYPES.get(kind) or _OTHERS.get(kind, f"type {kind}")


def _at(items: Sequence[_T], index: int) -> _T:
    if not 0 <= index < len(items):
        raise Malformed(f"it names part {index} of {len(items)}")
    return items[index]
