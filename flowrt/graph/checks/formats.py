"""The formats of `decode` and `encode`: one each, its package there, its schema sound."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.errors import MissingExtra
from flowrt.formats.base import Around, SchemaError
from flowrt.formats.extras import LIBRARIES, installed
from flowrt.formats.options import FORMATS
from flowrt.formats.registry import codec_of
from flowrt.graph.facts import Facts
from flowrt.graph.graph import Graph, Loc
from flowrt.graph.schemas import schemas_of
from flowrt.operators.formatted import FormatOperation
from flowrt.problem import Problem, nearest


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Problems of every operation that has a format."""
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, FormatOperation):
            yield from _format(graph, facts, ("operations", index), operation)


def _format(graph: Graph, facts: Facts, loc: Loc, operation: FormatOperation) -> Iterator[Problem]:
    if len(operation.kinds) != 1:
        if operation.kinds or not graph.repaired:
            found = " and ".join(operation.kinds) or f"none; write one of {', '.join(FORMATS)}"
            yield graph.problem(loc, "format-kind", f"it has exactly one format, and this has {found}")
        return
    (kind,) = operation.kinds
    options, loc = operation.options, (*loc, kind)
    lacking = [name for name in options.libraries if not installed(name)]
    for name in lacking:
        yield graph.problem(loc, "missing-extra", str(MissingExtra(*LIBRARIES[name])))
    known = {schema.name: schema for schema in graph.file.schemas}
    for name in options.schema_names:
        if name not in known:
            remedy = nearest(name, known) or "; add it to `schemas`"
            yield graph.problem((*loc, "schema"), "unknown-schema", f"there is no schema '{name}'{remedy}")
        elif known[name].format.lower() != kind:
            message = f"schema '{name}' has the format '{known[name].format}'; write {kind.capitalize()}"
            yield graph.problem((*loc, "schema"), "bad-schema", message)
        elif not lacking:
            yield from _schema(graph, facts, loc, operation)


def _schema(graph: Graph, facts: Facts, loc: Loc, operation: FormatOperation) -> Iterator[Problem]:
    texts = schemas_of(graph, facts, operation, every=False)
    if not texts:
        return  # a schema without a text is reported as such
    try:
        codec_of(operation.options, Around(schemas={name: (format_, text) for name, format_, text in texts}))
    except SchemaError as error:
        yield graph.problem((*loc, "schema"), "bad-schema", f"schema '{texts[0][0]}': {error}")
