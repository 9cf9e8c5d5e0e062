"""Codecs with what surrounds them: the node's bounds and the schemas it was handed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowrt.errors import MissingExtra, StartError
from flowrt.formats.base import Around, SchemaError
from flowrt.formats.registry import codec_of
from flowrt.operators.base import Operator
from flowrt.operators.codec_work import CodecOperator
from flowrt.operators.decode import DecodeOperation
from flowrt.operators.formatted import FormatOperation


def codec_operator(
    operation: FormatOperation, schemas: Sequence[tuple[str, str, str]], clock: Callable[[], float]
) -> Operator:
    """What runs a `decode` or `encode` that the checks found sound. Raises `StartError`."""
    limits = operation.resources
    around = Around(limits.message, {name: (format_, text) for name, format_, text in schemas}, clock)
    try:
        codec = codec_of(operation.options, around)
    except (MissingExtra, SchemaError, KeyError) as error:
        raise StartError(f"node '{operation.name}': {operation.kinds[0]} cannot be used: {error}") from error
    work = codec.decode if isinstance(operation, DecodeOperation) else codec.encode
    return CodecOperator(work, limits.outputs, codec.requests)
