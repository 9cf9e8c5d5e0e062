"""The schemas of a graph: each has a text, and where messages are validated one belongs to every way in."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.errors import MissingExtra
from flowrt.formats.base import SchemaError
from flowrt.formats.extras import LIBRARIES, installed
from flowrt.formats.json_schema import conforms
from flowrt.graph.facts import Facts, Unreadable
from flowrt.graph.graph import Graph, Loc
from flowrt.graph.model import Schema
from flowrt.graph.schemas import text_of, used_by, validates
from flowrt.operators.transform import TransformOperation
from flowrt.problem import Problem

JSON_SCHEMA = "jsonschema_rs"


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Problems of `schemas` and of `validateSchema`."""
    for index, schema in enumerate(graph.file.schemas):
        yield from _text(graph, facts, ("schemas", index), schema)
    validated: set[str] = set()
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, TransformOperation) and validates(operation):
            yield from _validation(graph, ("operations", index), operation)
            validated.update(used_by(graph, operation))
    for index, schema in enumerate(graph.file.schemas):
        if schema.name in validated and (text := text_of(schema, facts)) is not None:
            yield from _json_schema(graph, ("schemas", index), schema, text)


def _text(graph: Graph, facts: Facts, loc: Loc, schema: Schema) -> Iterator[Problem]:
    if (schema.text is None) == (schema.file is None):
        found = "neither" if schema.text is None else "both"
        if not graph.repaired:
            message = f"a schema stands in `schema` or in a `file`, and this has {found}; write one of the two"
            yield graph.problem(loc, "bad-schema", message)
    elif schema.file is not None and isinstance(found_text := facts.schemas.get(schema.file), Unreadable):
        message = f"its file cannot be used: {found_text.reason}; paths are relative to the graph's folder"
        yield graph.problem((*loc, "file"), "bad-schema", message)


def _validation(graph: Graph, loc: Loc, operation: TransformOperation) -> Iterator[Problem]:
    if operation.settings().kinds != ("filter",):
        message = "validateSchema belongs to a filter: it drops messages; make a filter of it in front"
        yield graph.problem(loc, "transform-kind", message)
        return
    if not installed(JSON_SCHEMA):
        yield graph.problem(loc, "missing-extra", str(MissingExtra(*LIBRARIES[JSON_SCHEMA])))
    edges = graph.wiring.incoming.get(operation.name, [])
    unnamed = [edge for edge in edges if graph.file.connections[edge.index].from_.schema_name is None]
    for edge in unnamed:
        message = f"'{operation.name}' validates what comes here, and the connection names no schema; add schemaName"
        yield graph.problem(("connections", edge.index, "from"), "unknown-schema", message)
    names = used_by(graph, operation)
    if len(names) > 1:
        message = (
            f"it validates by one schema, and the connections that lead to it name {' and '.join(names)}; put a filter "
            "in front of each"
        )
        yield graph.problem(loc, "unknown-schema", message)


def _json_schema(graph: Graph, loc: Loc, schema: Schema, text: str) -> Iterator[Problem]:
    try:
        conforms(text, schema.format)
    except SchemaError as error:
        place = "file" if schema.file is not None else "format" if "its format is" in str(error) else "schema"
        yield graph.problem((*loc, place), "bad-schema", f"this is no JSON Schema: {error}")
    except MissingExtra:
        return  # said where it is needed
