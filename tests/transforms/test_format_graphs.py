"""`decode` and `encode` in real graphs: checked with positions, drawn, and run."""

import json

import cbor2
import msgpack
import pytest

from flowrt.formats import extras
from flowrt.formats.sparkplug_wire import payload_type
from flowrt.graph.draw import to_mermaid
from flowrt.workers.allowed import objections

DECODE = "  - {operationType: decode, name: d, "
ENCODE = "  - {operationType: encode, name: e, "
CHAIN = ["{from: {name: in}, to: {name: d}}", "{from: {name: d}, to: {name: out}}"]
AVRO = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}'
SCHEMA = f"schemas: [{{name: r, format: Avro, schema: '{AVRO}'}}]\n"


def test_one_format_becomes_another(bench):
    operations = DECODE + "messagePack: {}}\n" + ENCODE + "cbor: {}}\n"
    connections = [CHAIN[0], "{from: {name: d}, to: {name: e}}", "{from: {name: e}, to: {name: out}}"]
    sent = [msgpack.packb({"a": 1}), b"\xc1", msgpack.packb([1, 2])]
    messages, graph = bench.run(operations, connections, sent)
    assert [cbor2.loads(message.payload) for message in messages] == [{"a": 1}, [1, 2]]
    assert {message.head.content_type for message in messages} == {"application/cbor"}
    assert bench.dead() == [("d", "format", b"\xc1")]
    assert graph.nodes["d"].counters.faults == {"format": 1}


def test_a_payload_becomes_several_messages_or_none(bench):
    messages, graph = bench.run(DECODE + "csv: {}}\n", CHAIN, [b"a\n1\n2\n3\n", b"a\n", b"a\n4\n"])
    assert [json.loads(message.payload)["a"] for message in messages] == [1, 2, 3, 4]
    assert graph.nodes["d"].counters.filtered == 1


def test_more_messages_than_a_node_may_make_are_a_fault(bench):
    messages, _ = bench.run(DECODE + "csv: {}, resources: {outputs: 2}}\n", CHAIN, [b"a\n1\n2\n3\n", b"a\n1\n"])
    assert len(messages) == 1
    assert [letter[1] for letter in bench.dead()] == ["outputs"]


def test_what_is_compressed_is_unfolded_within_the_node_s_bound(bench):
    import gzip

    sent = [gzip.compress(b"x" * 1000), gzip.compress(b"x" * 1001)]
    messages, _ = bench.run(DECODE + "gzip: {}, resources: {message: 1000}}\n", CHAIN, sent)
    assert [len(message.payload) for message in messages] == [1000]
    assert bench.dead() == [("d", "size", sent[1])]


def test_requests_for_a_birth_go_where_their_arm_leads(bench):
    operations = (
        DECODE + "sparkplug: {rebirth: true}}\n  - {operationType: sink, name: ask, endpoint: plant, topic: t}\n"
    )
    connections = [
        CHAIN[0],
        '{from: {name: d, arm: "False"}, to: {name: out}}',
        '{from: {name: d, arm: "True"}, to: {name: ask}}',
    ]
    message = payload_type()(seq=1)
    message.metrics.add(alias=1, int_value=5)
    _, problems = bench.load(operations, CHAIN[:1])
    assert [problem.code for problem in problems] == ["no-input", "missing-arm", "missing-arm", "no-input"]
    bench.run(operations, connections, [message.SerializeToString()], topic="spBv1.0/g/NDATA/gw")
    (request,) = bench.ends.sinks["ask"].messages
    assert request.head.topic == "spBv1.0/g/NCMD/gw"


def test_messages_are_read_by_a_schema_of_the_graph_or_of_a_file(bench):
    operations = DECODE + "avro: {schema: r}}\n"
    messages, _ = bench.run(operations, CHAIN, [b"\x0a"], more=SCHEMA)
    (bench.path / "r.avsc").write_text(AVRO)
    again, _ = bench.run(operations, CHAIN, [b"\x0a"], more="schemas: [{name: r, format: avro, file: r.avsc}]\n")
    assert [message.payload for message in (*messages, *again)] == [b'{"a":5}'] * 2


@pytest.mark.parametrize(
    ("operation", "more", "line", "column", "code", "words"),
    [
        ("json: {}, csv: {}}\n", "", 6, 5, "format-kind", "it has exactly one format, and this has json and csv"),
        ("description: x}\n", "", 6, 5, "format-kind", "this has none; write one of json, csv, messagePack"),
        ("csv: {delimeter: x}}\n", "", 6, 44, "unknown-field", "there is no field 'delimeter'; did you mean"),
        ("avro: {schema: s}}\n", SCHEMA, 6, 53, "unknown-schema", "there is no schema 's'; add it to `schemas`"),
        ("avro: {schema: r}}\n", SCHEMA.replace("Avro", "JsonSchema/draft-07"), 6, 53, "bad-schema",
         "schema 'r' has the format 'JsonSchema/draft-07'; write Avro"),
        ("avro: {schema: r}}\n", SCHEMA.replace('"int"', '"itn"'), 6, 53, "bad-schema", "it is no Avro schema"),
        ("protobuf: {schema: r, message: a.B}}\n", "schemas: [{name: r, format: Protobuf, schema: '!'}]\n", 6, 57,
         "bad-schema", "it is no descriptor set"),
    ],
)  # fmt: skip
def test_a_mistake_about_formats(bench, operation, more, line, column, code, words):
    _, problems = bench.load(DECODE + operation, CHAIN, more)
    (problem,) = problems
    assert (problem.line, problem.column, problem.code) == (line, column, code)
    assert words in problem.message


def test_a_package_that_is_not_installed_is_named(bench, monkeypatch):
    """Its name stands in for one that is not there: an environment without the extra cannot be made here."""
    monkeypatch.setitem(extras.LIBRARIES, "msgpuck", ("MessagePack", "formats"))
    monkeypatch.setattr("flowrt.formats.options.MessagePackOptions.libraries", ("msgpuck",))
    _, problems = bench.load(DECODE + "messagePack: {}}\n", CHAIN)
    (problem,) = problems
    assert (problem.line, problem.column, problem.code) == (6, 51, "missing-extra")
    assert "pip install 'flowrt[formats]'" in problem.message


@pytest.mark.parametrize(("operation", "allowed"), [("sparkplug: {}}\n", False), ("cbor: {}}\n", True)])
def test_what_keeps_topics_together_is_not_divided_among_processes(bench, operation, allowed):
    plan, _ = bench.load(DECODE + operation, CHAIN)
    assert (list(objections(plan)) == []) is allowed


def test_the_picture_names_the_format(bench):
    plan, _ = bench.load(DECODE + "messagePack: {}}\n", CHAIN)
    assert "decode messagePack" in to_mermaid(plan)
