"""Which of a graph's schemas an operation uses, and their texts."""

from __future__ import annotations

from flowrt.graph.facts import Facts
from flowrt.graph.graph import Graph
from flowrt.graph.model import Schema
from flowrt.operators.base import Operation
from flowrt.operators.formatted import FormatOperation
from flowrt.operators.transform import TransformOperation
from flowrt.transforms.json_text import TextError

Text = tuple[str, str, str]
"""Name, format, text."""


def is_binary(format_: str) -> bool:
    """Whether a schema of this format is bytes in its file, and base64 in the graph."""
    return format_.lower().startswith("protobuf")


def text_of(schema: Schema, facts: Facts) -> str | None:
    """The schema's text, from the graph or its file; None where there is none, which the checks say."""
    if schema.file is None:
        return schema.text
    found = facts.schemas.get(schema.file)
    return found if isinstance(found, str) else None


def schemas_of(graph: Graph, facts: Facts, operation: Operation, *, every: bool) -> tuple[Text, ...]:
    """What an operation is handed: `every` schema of the graph, or those it names."""
    names = used_by(graph, operation)
    found = [
        (schema.name, schema.format, text_of(schema, facts))
        for schema in graph.file.schemas
        if every or schema.name in names
    ]
    return tuple((name, format_, text) for name, format_, text in found if text is not None)


def used_by(graph: Graph, operation: Operation) -> list[str]:
    """The schemas that an operation names, itself or, for `validateSchema`, in the connections that lead to it."""
    if isinstance(operation, TransformOperation) and validates(operation):
        return list(dict.fromkeys(name for name in _incoming(graph, operation.name) if name is not None))
    return list(operation.schema_names) if isinstance(operation, FormatOperation) else []


def validates(operation: TransformOperation) -> bool:
    """Whether a transform drops what does not fit a schema."""
    try:
        return operation.settings().rules.validate_schema
    except TextError:
        return False


def _incoming(graph: Graph, name: str) -> list[str | None]:
    edges = graph.wiring.incoming.get(name, [])
    return [graph.file.connections[edge.index].from_.schema_name for edge in edges]
