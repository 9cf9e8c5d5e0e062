"""What `flowrt model show` prints: all that a file says of itself, without an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flowrt.nn import encodings, files, inspect, onnx_describe
from flowrt.nn.backend import Slot, byte_size
from flowrt.nn.described import Described
from flowrt.quota.quantity import format_bytes

_QUARTER = {"f32": 4, "f64": 8, "f16": 2, "bf16": 2}
"""Bytes of a weight that int8 would hold in one."""
_OPERATORS = 12


def lines(path: Path, encoding: str | None) -> Iterator[str]:
    """Raises `ModelFault` and ValueError for what is no model."""
    found = files.read(path, None if encoding is None else encodings.spell(encoding))
    described = inspect.describe(found)
    if encodings.sniff(found.parts[0]) == "onnx":
        described = onnx_describe.describe(found.parts[0], path.name)
    engine = encodings.ENGINES.get(found.encoding)
    yield f"{path}: {found.encoding}, {described.version}, {format_bytes(found.length)}"
    yield f"  {found.digest}"
    yield from (f"  {name}: {value}" for name, value in described.notes.items())
    yield from (f"  input {slot}{' (may be left out)' if slot.optional else ''}" for slot in described.inputs)
    yield from (f"  output {slot}" for slot in described.outputs)
    yield from (
        f"  signature {name}: {_tensors(signature.inputs)} -> {_tensors(signature.outputs)}"
        for name, signature in described.signatures.items()
    )
    if not described.inputs:
        yield "  its tensors are not in the file: declare them in the graph, as inputs: ['x: f32[N, 16]']"
    yield from _weights(described)
    if described.operators:
        yield "  operators " + ", ".join(_operators(described))
    yield f"  engine {engine.distribution if engine else 'none'}: {encodings.missing(found.encoding) or 'installed'}"


def _tensors(slots: Sequence[Slot]) -> str:
    return ", ".join(map(str, slots)) or "nothing"


def _operators(described: Described) -> Iterator[str]:
    names = sorted(described.operators.items(), key=lambda item: (-item[1], item[0]))
    yield from (f"{name} x{count}" for name, count in names[:_OPERATORS])
    if len(names) > _OPERATORS:
        yield f"and {len(names) - _OPERATORS} more kinds"


def _weights(described: Described) -> Iterator[str]:
    size = described.parameter_bytes
    kinds = ", ".join(f"{format_bytes(held)} of {kind}" for kind, held in described.weights.items() if held)
    yield f"  weights {format_bytes(size)}" + (f": {kinds}" if kinds else "")
    run = sum(map(_one_row, (*described.inputs, *described.outputs)))
    yield f"  memory about {format_bytes(size + run)}: the weights, and inputs and outputs of one row"
    saved = sum(held - held // _QUARTER[kind] for kind, held in described.weights.items() if kind in _QUARTER)
    if saved > size // 10:
        yield f"  int8 would save about {format_bytes(saved)} (flowrt model quantize)"


def _one_row(slot: Slot) -> int:
    return byte_size(slot.type, [dim if isinstance(dim, int) else 1 for dim in slot.dims])
