"""`validateSchema`: messages are judged by the JSON Schema of the connection they come by."""

import json

import pytest

from flowrt.errors import NodeFault
from flowrt.formats.base import SchemaError
from flowrt.formats.json_schema import DEPTH_MAX, conforms
from flowrt.message import Head
from flowrt.transforms.deciding import FilterTransform
from flowrt.transforms.rules import Rules

DRAFT = "JsonSchema/draft-07"
HUMIDITY = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"humidity": {"type": "integer"}, "unit": {"type": "string", "pattern": "^[a-z%]+$"}},
    "required": ["humidity"],
}
FILTER = "  - {operationType: transform, name: known, filter: [], validateSchema: true}\n"
CONNECTIONS = ["{from: {name: in, schemaName: reading}, to: {name: known}}", "{from: {name: known}, to: {name: out}}"]
INLINE = f"schemas: [{{name: reading, format: {DRAFT}, schema: '{json.dumps(HUMIDITY)}'}}]\n"
SENT = [b'{"humidity": 85}', b'{"humidity": 175.1}', b'{"unit": "%"}', b'{"humidity": 1, "unit": "A"}', b"[1]"]


def test_what_does_not_fit_is_dropped_and_what_is_no_document_is_a_fault(bench):
    messages, graph = bench.run(FILTER, CONNECTIONS, SENT, more=INLINE)
    assert [message.payload for message in messages] == [SENT[0]]
    assert graph.nodes["known"].counters.filtered == 3
    assert bench.dead() == [("known", "format", b"[1]")]


def test_a_schema_may_stand_in_a_file(bench):
    (bench.path / "humidity.json").write_text(json.dumps(HUMIDITY))
    more = f"schemas: [{{name: reading, format: {DRAFT}, file: humidity.json}}]\n"
    messages, _ = bench.run(FILTER, CONNECTIONS, SENT, more=more)
    assert [message.payload for message in messages] == [SENT[0]]


@pytest.mark.parametrize(
    ("operation", "connection", "schemas", "code", "words"),
    [
        (FILTER, "in", INLINE, "unknown-schema", "'known' validates what comes here, and the connection names no "
         "schema; add schemaName"),
        (FILTER, None, "schemas: [{name: reading, format: JsonSchema/draft-07}]\n", "bad-schema",
         "schema 'reading': a schema stands in `schema` or in a `file`, and this has neither; write one of the two"),
        (FILTER, None, "schemas: [{name: reading, format: JsonSchema/draft-07, file: none.json}]\n", "bad-schema",
         "No such file or directory; paths are relative to the graph's folder"),
        (FILTER, None, "schemas: [{name: reading, format: JsonSchema/draft-07, schema: '{'}]\n", "bad-schema",
         "this is no JSON Schema: it is not JSON"),
        (FILTER, None, "schemas: [{name: reading, format: JsonSchema/draft-07, schema: '{\"type\": \"objct\"}'}]\n",
         "bad-schema", "at /type"),
        (FILTER, None, "schemas: [{name: reading, format: xml, schema: '{}'}]\n", "bad-schema",
         "its format is 'xml'; write JsonSchema/ and one of draft-04, draft-06, draft-07"),
        (FILTER.replace("filter: []", "map: []"), None, INLINE, "transform-kind", "validateSchema belongs to a filter"),
    ],
)  # fmt: skip
def test_a_mistake_about_schemas(bench, operation, connection, schemas, code, words):
    first = CONNECTIONS[0] if connection is None else "{from: {name: in}, to: {name: known}}"
    _, problems = bench.load(operation, [first, CONNECTIONS[1]], schemas)
    assert [problem.code for problem in problems] == [code]
    assert words in problems[0].message


def test_one_filter_validates_by_one_schema(bench):
    twice = "  - {operationType: transform, name: copy, map: []}\n" + FILTER
    connections = [
        *CONNECTIONS,
        "{from: {name: in}, to: {name: copy}}",
        "{from: {name: copy, schemaName: other}, to: {name: known}}",
    ]
    more = INLINE.replace("]\n", f", {{name: other, format: {DRAFT}, schema: '{{}}'}}]\n")
    _, problems = bench.load(twice, connections, more)
    assert "validates by one schema, and the connections that lead to it name reading and other" in str(problems)


@pytest.mark.parametrize(
    ("schema", "document", "fits"),
    [
        (HUMIDITY, {"humidity": 2**70}, True),
        (HUMIDITY, {"humidity": 1.0}, True),
        (HUMIDITY, {"humidity": True}, False),
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 50_000 + "b", False),
        ({"$ref": "#"}, {}, True),
        (True, {}, True),
        (False, {}, False),
        ({"format": "email"}, "no address", True),
    ],
)
def test_documents_are_judged_in_bounded_time(schema, document, fits):
    assert conforms(json.dumps(schema), DRAFT)(document) is fits


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"$ref": "http://127.0.0.1:1/s.json"}', "nothing is fetched from http://127.0.0.1:1/s.json"),
        ('{"pattern": "(?=a)"}', "at /pattern"),
        ("[1]", "it has to be a JSON object"),
        ("[" * 100_000, "it is not JSON"),
        ('{"$ref": "#/definitions/none"}', "does not exist"),
    ],
)
def test_a_text_that_is_no_schema_is_refused(text, words):
    with pytest.raises(SchemaError, match=words.replace("(", r"\(")):
        conforms(text, DRAFT)


def test_a_document_that_is_nested_too_deeply_is_a_fault():
    recursive = '{"properties": {"a": {"$ref": "#"}}}'
    rules = Rules.model_validate({"filter": [], "validateSchema": True}, by_alias=True)
    known = FilterTransform(rules, lambda _: None, conforms(recursive, DRAFT))

    def nested(depth):
        return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)

    assert known.drops(known.read(nested(DEPTH_MAX)), Head("a")) is False
    with pytest.raises(NodeFault, match="nested too deeply"):
        known.drops(known.read(nested(DEPTH_MAX + 1)), Head("a"))
