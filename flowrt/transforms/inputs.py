"""Inputs of rules at work: from one message to the values of `$1`, `$2`, …"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.documents import decode
from flowrt.transforms.expression import Expression
from flowrt.transforms.paths import InputPath, Path
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import PLAIN, bound
from flowrt.values import Struct

MISSING: Final = object()
"""What a reader gives where there is no value; a JSON null is None."""
Record = dict[str, Any]


class Row(Struct):
    """One message as rules see it."""

    document: Record
    """The payload; empty where no rule reads it."""
    head: Head
    records: Mapping[str, Record | None]
    """By alias: what a dataset holds of this message, None where it holds nothing."""


Reader = Callable[[Row], Any]
_KINDS = {list: "array", str: "string", bool: "boolean", type(None): "null"}


def document_of(payload: bytes) -> dict[str, Any]:
    """The object in a payload, not to be changed. Raises `NodeFault` of kind `format` for anything else."""
    document = decode(payload)
    if type(document) is dict:
        return document
    raise NodeFault(
        "format", f"the payload is a JSON {_KINDS.get(type(document), 'number')}; rules read an object's fields"
    )


def reader(given: InputPath) -> Reader:
    """Reads one input, falling back on the last value and the default where it has them. Its own state."""
    read = path_reader(given.path)
    if given.last:
        read = _remembering(read)
    if given.has_default:
        read = _or_default(read, given.default)
    return read


def path_reader(path: Path) -> Reader:
    """Reads the value at a path without a wildcard, or `MISSING`."""
    if path.place == "payload" and len(path.segments) == 1:
        (only,) = path.segments
        return lambda row: row.document.get(only, MISSING)
    if path.place in ("payload", "source"):
        return lambda row: find(row.document, path.segments)
    if path.place == "context":
        return lambda row: find(row.records.get(path.alias), path.segments)
    return _metadata_reader(path)


def find(document: object, segments: Sequence[str]) -> Any:
    """The value at a path through objects, or `MISSING`."""
    for segment in segments:
        if type(document) is not dict:
            return MISSING
        document = document.get(segment, MISSING)
    return document


def _metadata_reader(path: Path) -> Reader:
    if path.place == "topic":
        return lambda row: row.head.topic
    if path.place == "contentType":
        return lambda row: MISSING if row.head.content_type is None else row.head.content_type
    (key,) = path.segments
    return lambda row: next((value for name, value in row.head.properties if name == key), MISSING)


def _remembering(read: Reader) -> Reader:
    last: Any = MISSING

    def remembering(row: Row) -> Any:
        nonlocal last
        value = read(row)
        if value is MISSING or value is None:
            return last
        last = value
        return value

    return remembering


def _or_default(read: Reader, default: object) -> Reader:
    def or_default(row: Row) -> Any:
        value = read(row)
        return default if value is MISSING or value is None else value

    return or_default


class Formula:
    """An expression with its inputs: a function of a message."""

    __slots__ = ("_required", "_run", "_where", "aliases", "inputs", "readers", "text", "tree")

    def __init__(self, where: str, known: Expression, inputs: Sequence[InputPath], *, required: bool) -> None:
        self.text = known.text
        self.tree = known.tree
        self.inputs = inputs
        self.readers = [reader(given) for given in inputs]
        self.aliases = tuple({given.path.alias for given in inputs if given.path.place == "context"})
        """Datasets without whose record there is nothing to evaluate."""
        self._where = where
        self._run = known.run
        self._required = required

    def evaluate(self, row: Row) -> Any:
        """The result for a message. Raises `NodeFault` of kind `expression`."""
        return self.of([read(row) for read in self.readers])

    def of(self, found: Sequence[Any]) -> Any:
        """The result for what the readers found."""
        try:
            values = [
                value if type(value) in PLAIN else self.given(value, number) for number, value in enumerate(found, 1)
            ]
            return self._run(values)
        except ExpressionError as error:
            raise self.fault(str(error), found) from None

    def fault(self, words: str, found: Sequence[Any] = ()) -> NodeFault:
        """A fault that names the rule, its expression and where its inputs come from."""
        inputs = ", ".join(f"${number} is '{given.text}'" for number, given in enumerate(self.inputs, 1))
        return NodeFault("expression", f"{self._where}, '{self.text}': {words}{f'; {inputs}' if found else ''}")

    def given(self, value: Any, number: int) -> Any:
        """What a reader found as a value. Raises `ExpressionError` for what is none, or missing though required."""
        if value is not MISSING:
            return bound(value, number)
        if self._required:
            raise ExpressionError(
                f"the message has no ${number}; write ?? and a default behind the input, if it may lack it"
            )
        return None
