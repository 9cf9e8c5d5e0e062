"""What each format makes of a payload and of a document; that both ways are one way; that nothing hostile gets far."""

import base64
import decimal
import gzip
import io
import json
import math
import struct
import zlib

import cbor2
import fastavro
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.errors import NodeFault
from flowrt.formats.as_messagepack import ITEMS_MAX
from flowrt.formats.base import Around, SchemaError
from flowrt.formats.options import FORMATS
from flowrt.formats.registry import CODECS, codec_of
from flowrt.formats.to_json import DEPTH_MAX
from flowrt.formats.unfold import PARTS_MAX
from flowrt.message import Head

HEAD = Head("plant/pump", None, (("k", "v"),))
LIMIT = 100_000


def codec(kind, schema=None, limit=LIMIT, **options):
    """A format at work. `schema` is the text of its schema."""
    given = options | ({"schema": "s"} if schema is not None else {})
    around = Around(limit, {} if schema is None else {"s": ("", schema)})
    return codec_of(FORMATS[kind].model_validate(given, by_alias=True), around)


def decoded(kind, payload, **options):
    return [json.loads(made) for made, _ in codec(kind, **options).decode(payload, HEAD)]


def encoded(kind, document, **options):
    ((made, _),) = codec(kind, **options).encode(json.dumps(document).encode(), HEAD)
    return made


def fault(kind, payload, **options):
    with pytest.raises(NodeFault) as raised:
        codec(kind, **options).decode(payload, HEAD)
    return raised.value.kind, raised.value.detail


RECORD = json.dumps(
    {
        "type": "record",
        "name": "plant.Reading",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "t", "type": "double"},
            {"name": "n", "type": ["null", "long"], "default": None},
            {"name": "raw", "type": "bytes", "default": ""},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
            {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
            {"name": "more", "type": {"type": "map", "values": ["null", "bytes", "int"]}, "default": {}},
            {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
             "default": ""},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}, "default": "A"},
        ],
    }
)  # fmt: skip
FULL = {
    "id": "p1", "t": 21.5, "n": 7, "raw": "AAE=", "at": 1_700_000_000_000, "tags": ["a", "b"],
    "more": {"x": None, "y": "AA==", "z": 3}, "cost": 12.25, "kind": "B",
}  # fmt: skip


def descriptors():
    """A descriptor set as protoc writes it, in base64."""
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="r.proto", package="plant", syntax="proto3")
    inner = file.message_type.add(name="Tag")
    inner.field.add(name="key", number=1, type=9, label=1)
    enum = file.enum_type.add(name="Kind")
    for number, name in enumerate(("A", "B")):
        enum.value.add(name=name, number=number)
    message = file.message_type.add(name="Reading")
    for number, (name, kind, label) in enumerate(
        [("id", 9, 1), ("t", 1, 1), ("big", 4, 1), ("raw", 12, 1), ("list", 5, 3), ("tag", 11, 1), ("kind", 14, 1)], 1
    ):
        field = message.field.add(name=name, number=number, type=kind, label=label)
        if kind in (11, 14):
            field.type_name = {11: ".plant.Tag", 14: ".plant.Kind"}[kind]
    entry = message.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=3, label=1)
    message.field.add(name="counts", number=8, type=11, label=3, type_name=".plant.Reading.CountsEntry")
    found = descriptor_pb2.FileDescriptorSet(file=[file])
    return base64.b64encode(found.SerializeToString()).decode()


PROTO = {"schema": descriptors(), "message": "plant.Reading"}
READING = {
    "id": "p1", "t": 21.5, "big": 2**63, "raw": "AAE=", "list": [1, 2], "tag": {"key": "k"}, "kind": "B",
    "counts": {"a": -5},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "payload", "expected", "options"),
    [
        ("json", b' {"a": 1} ', [{"a": 1}], {}),
        ("json", b"[1, 2]", [[1, 2]], {}),
        ("json", b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}], {"split": True}),
        ("json", b"[]", [], {"split": True}),
        ("json", b'{"a": 1}\n\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}], {"lines": True}),
        ("csv", b"id,t\np1,21.5\np2,\n", [{"id": "p1", "t": 21.5}, {"id": "p2", "t": None}], {}),
        ("csv", b"id,t\np1,21.5\n", [[{"id": "p1", "t": 21.5}]], {"rows": "array"}),
        ("csv", b'\xef\xbb\xbfa;b\n"x;""y""";-3e2\n', [{"a": 'x;"y"', "b": -300.0}], {"delimiter": ";"}),
        ("csv", b"1,true,007,1_0,0x1,nan\n", [{"1": 1, "2": True, "3": 7, "4": "1_0", "5": "0x1", "6": "nan"}],
         {"header": False}),
        ("csv", b"1,2\n", [{"a": "1", "b": "2"}], {"header": False, "columns": ["a", "b"], "numbers": False}),
        ("csv", b"x,y\n1,2\n", [{"a": 1, "b": 2}], {"columns": ["a", "b"]}),
        ("csv", b"a\n12345678901234567890\n1e400\n", [{"a": 12345678901234567890.0}, {"a": "1e400"}], {}),
        ("csv", b"a,b\n", [], {}),
        ("messagePack", msgpack.packb({"a": [1, 2.5, "x", None, True], 3: b"\x00\xff"}),
         [{"a": [1, 2.5, "x", None, True], "3": "AP8="}], {}),
        ("messagePack", msgpack.packb(b"\x00\xff"), ["00ff"], {"binary": "hex"}),
        ("messagePack", msgpack.packb(msgpack.Timestamp(1_700_000_000, 0)), ["2023-11-14T22:13:20+00:00"], {}),
        ("messagePack", msgpack.packb([math.nan, math.inf]), [[None, None]], {"nonFinite": "null"}),
        ("cbor", cbor2.dumps({"a": [1, 2.5, "x", None, True], 3: b"\x00\xff", 2**70: 1}),
         [{"a": [1, 2.5, "x", None, True], "3": "AP8=", str(2**70): 1}], {}),
        ("cbor", cbor2.dumps(cbor2.undefined), [None], {}),
        ("cbor", cbor2.dumps(cbor2.CBORTag(4711, [1])), [[1]], {}),
        ("cbor", b"\xd9\xd9\xf7\x01", [1], {}),
        ("cbor", cbor2.dumps({1, 2, 3}), [[1, 2, 3]], {}),
        ("opcua", b'{"Temp": {"Value": 21.5, "SourceTimestamp": "2026-01-01T00:00:00Z"}, "On": {"Value": true}}',
         [{"values": {"Temp": 21.5, "On": True}}], {}),
        ("opcua", b'{"Temp": {"Value": {"Type": 11, "Body": 1.5}, "StatusCode": 5, "SourceTimestamp": "T"}, "n": 3}',
         [{"values": {"Temp": {"value": 1.5, "status": 5, "timestamp": "T"}, "n": {"value": 3}}}], {"values": "full"}),
        ("opcua", b'{"MessageId": "1", "MessageType": "ua-data", "PublisherId": "p", "Messages": [{"DataSetWriterId": '
         b'5, "SequenceNumber": 9, "Timestamp": "T", "Payload": {"a": {"Type": 6, "Body": 1}, "b": {"UaType": 6, '
         b'"Value": 2}, "c": {"x": 1}}}, {"MessageType": "ua-keepalive", "Payload": {}}]}',
         [{"publisher": "p", "writer": 5, "sequence": 9, "timestamp": "T", "values": {"a": 1, "b": 2, "c": {"x": 1}}}],
         {}),
        ("opcua", b'{"MessageId": "1", "MessageType": "ua-metadata", "MetaData": {}}', [], {}),
        ("opcua", b'[{"a": 1}, {"a": 2}]', [{"values": {"a": 1}}, {"values": {"a": 2}}], {}),
        ("protobuf", b"", [{"id": "", "t": 0.0, "big": 0, "raw": "", "list": [], "kind": "A", "counts": {}}], PROTO),
        ("protobuf", b"\x38\x07", [{"kind": 7}], PROTO | {"defaults": False}),
    ],
)  # fmt: skip
def test_a_payload_becomes_these_documents(kind, payload, expected, options):
    assert decoded(kind, payload, **options) == expected


@pytest.mark.parametrize(
    ("kind", "document", "expected", "options"),
    [
        ("json", {"a": 1}, b'{"a":1}', {}),
        ("json", {"a": 1}, b'{\n  "a": 1\n}', {"indent": 2}),
        ("json", [{"a": 1}, 2], b'{"a":1}\n2\n', {"lines": True}),
        ("csv", {"id": "p,1", "t": 1.5, "on": True, "no": None, "l": [1]},
         b'id,t,on,no,l\r\n"p,1",1.5,true,,[1]\r\n', {}),
        ("csv", [{"a": 1, "b": 2}, {"a": 3}], b"1;2\r\n3;\r\n", {"header": False, "delimiter": ";"}),
        ("csv", {"a": 1, "b": 2}, b"b\r\n2\r\n", {"columns": ["b"]}),
        ("csv", [], b"\r\n", {}),
        ("messagePack", {"a": [1, 2.5, None, True]}, msgpack.packb({"a": [1, 2.5, None, True]}), {}),
        ("cbor", {"a": [1, 2.5, None, True], "b": 2**70}, cbor2.dumps({"a": [1, 2.5, None, True], "b": 2**70}), {}),
        ("opcua", {"writer": 5, "values": {"a": 1}},
         b'{"MessageId":"gw-1","MessageType":"ua-data","PublisherId":"gw","Messages":[{"DataSetWriterId":5,"Payload":'
         b'{"a":1}}]}', {"publisher": "gw"}),
    ],
)  # fmt: skip
def test_a_document_becomes_this_payload(kind, document, expected, options):
    assert encoded(kind, document, **options) == expected


BOTH = [
    ("json", {"a": [1, {"b": None}]}, {}),
    ("csv", {"a": 1, "b": "x", "c": True, "d": None, "e": 1.5}, {}),
    ("messagePack", {"a": [1, {"b": None}], "s": "°C"}, {}),
    ("cbor", {"a": [1, {"b": None}], "s": "°C"}, {}),
    ("protobuf", READING, PROTO),
    ("avro", FULL, {"schema": RECORD}),
    ("avro", FULL, {"schema": RECORD, "framing": "singleObject"}),
    ("avro", FULL | {"raw": "0001", "more": {}}, {"schema": RECORD, "framing": "confluent", "schemaId": 7,
     "binary": "hex"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "document", "options"), BOTH)
def test_what_is_encoded_is_decoded_to_the_same(kind, document, options):
    assert decoded(kind, encoded(kind, document, **options), **options) == [document]


PREFIXES = [case for case in BOTH if case[0] in ("json", "messagePack", "cbor", "avro")]


@pytest.mark.parametrize(("kind", "document", "options"), PREFIXES)
def test_every_truncated_payload_is_a_fault(kind, document, options):
    """Of CSV and Protocol Buffers a beginning may be a whole message."""
    payload = encoded(kind, document, **options)
    assert {fault(kind, payload[:end], **options)[0] for end in range(len(payload))} == {"format"}


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compression_is_undone_and_every_truncated_payload_is_a_fault(kind):
    known = codec(kind)
    ((packed, head),) = known.encode(b"reading " * 100, HEAD)
    assert head is HEAD
    assert len(packed) < 100
    assert known.decode(packed, HEAD) == [(b"reading " * 100, HEAD)]
    assert known.decode(packed + packed, HEAD) == [(b"reading " * 200, HEAD)]
    assert {fault(kind, packed[:end])[0] for end in range(len(packed))} == {"format"}
    assert fault(kind, packed + b"x")[0] == "format"


def test_what_others_compress_can_be_read():
    assert codec("gzip").decode(gzip.compress(b"abc"), HEAD) == [(b"abc", HEAD)]


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_what_unfolds_to_more_than_a_message_may_hold_is_a_fault(kind):
    ((bomb, _),) = codec(kind).encode(bytes(50_000_000), HEAD)
    assert len(bomb) < 60_000
    assert fault(kind, bomb) == ("size", f"the payload unfolds to more than resources.message, {LIMIT} B")
    ((empty, _),) = codec(kind).encode(b"", HEAD)
    assert fault(kind, empty * (PARTS_MAX + 1))[0] == "format"


def nested(kind, depth):
    return {"messagePack": b"\x91" * depth + b"\xc0", "cbor": b"\x81" * depth + b"\xf6"}[kind]


@pytest.mark.parametrize("kind", ["messagePack", "cbor"])
def test_what_is_nested_too_deeply_is_a_fault(kind):
    assert decoded(kind, nested(kind, DEPTH_MAX - 1))
    for depth in (DEPTH_MAX + 1, 1000, 100_000):
        assert fault(kind, nested(kind, depth))[0] == "format"


@pytest.mark.parametrize(
    ("kind", "payload", "options", "found"),
    [
        ("messagePack", b"\xdd\xff\xff\xff\xff", {}, "format"),
        ("messagePack", (b"\xdd" + struct.pack(">I", ITEMS_MAX + 1)) * 200, {}, "format"),
        ("messagePack", b"\xc7\x01\x05\x00", {}, "format"),
        ("messagePack", msgpack.packb({1: 1}) + b"\x00", {}, "format"),
        ("messagePack", b"\x81\x90\x01", {}, "format"),
        ("messagePack", msgpack.packb(math.nan), {}, "format"),
        ("messagePack", msgpack.packb(["x" * 1000] * 200), {}, "size"),
        ("messagePack", b"\xa2\xff\xff", {}, "format"),
        ("cbor", b"\x9b\x00\x00\x00\x7f\xff\xff\xff\xff", {}, "format"),
        ("cbor", b"\x7b\x00\x00\x00\x7f\xff\xff\xff\xff", {}, "format"),
        ("cbor", b"\xd9\x01\x00\x82\x41a\xd8\x19\x00", {}, "format"),
        ("cbor", b"\xd8\x1c\x81\xd8\x1d\x00", {}, "format"),
        ("cbor", b"\xd8\x23\x63(a+", {}, "format"),
        ("cbor", b"\xc2\x5a\x00\x00\x08\x00" + b"\xff" * 2048, {}, "format"),
        ("cbor", b"\xc4\x82\x1b\x0f\xff\xff\xff\xff\xff\xff\xff\x01", {}, "format"),
        ("cbor", b"\x01\x02", {}, "format"),
        ("cbor", b"\xf9\x7e\x00", {}, "format"),
        ("cbor", cbor2.dumps({(1, 2): 1}), {}, "format"),
        ("csv", b"\xff", {}, "format"),
        ("csv", b"a,b\n1\n", {}, "format"),
        ("csv", b"a,a\n1,2\n", {}, "format"),
        ("csv", b'a\n"open\n', {}, "format"),
        ("csv", b"x" * 200_000, {}, "format"),
        ("csv", b"x" * 5000 + b"\n" + b"1\n" * 1000, {}, "size"),
        ("csv", b"a\n" + b"1\n" * 40_000, {"rows": "array"}, "size"),
        ("json", b"[" * 100_000, {}, "format"),
        ("json", b"1" * 5000, {}, "format"),
        ("opcua", b"[1]", {}, "format"),
        ("opcua", b'{"Messages": [1]}', {}, "format"),
        ("opcua", b'{"Payload": 1}', {}, "format"),
        ("protobuf", b"\xff\xff", PROTO, "format"),
        ("protobuf", b"\x0a\xff\xff\xff\xff\x0f", PROTO, "format"),
        ("protobuf", b"\x11" + struct.pack("<d", math.nan), PROTO, "format"),
        ("avro", b"\x04p1" + bytes(8) + b"\x00", {"schema": RECORD}, "format"),
        ("avro", b"", {"schema": RECORD, "framing": "confluent"}, "format"),
        ("avro", b"\x00\x00\x00\x00\x01", {"schema": RECORD, "framing": "confluent"}, "format"),
        ("avro", bytes([0xFE, 0xFF, 0xFF, 0xFF, 0x0F]), {"schema": '{"type": "array", "items": "int"}'}, "format"),
        ("avro", bytes([0xFE, 0xFF, 0xFF, 0xFF, 0x0F]), {"schema": '"string"'}, "format"),
        ("avro", b"\x01", {"schema": '"bytes"'}, "format"),
        ("avro", b"\x02a\x00", {"schema": '"string"'}, "format"),
        ("gzip", b"", {}, "format"),
        ("gzip", zlib.compress(b"a"), {}, "format"),
        ("zstd", b"(\xb5/\xfd\x04\xf8\x00", {}, "format"),
    ],
)  # fmt: skip
def test_a_hostile_payload_is_a_fault(kind, payload, options, found):
    assert fault(kind, payload, **options)[0] == found


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "it is no Avro schema, which is JSON"),
        ('{"type": "recrd"}', "it is no Avro schema"),
        ('"reading"', "it is no Avro schema"),
        ("5", "a type is a name, a list or an object"),
        ('{"type": "record", "name": "N"}', "a record has a list of `fields`"),
        ('{"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}', "'N' contains itself"),
        ('{"type": "record", "name": "a.N", "fields": [{"name": "n", "type": {"type": "array", "items": "a.N"}}]}',
         "'a.N' contains itself"),
        ('{"type": "array", "items": "null"}', "items take no bytes"),
        ('{"type": "array", "items": {"type": "record", "name": "E", "fields": [{"name": "f", "type": {"type": '
         '"fixed", "name": "F", "size": 0}}]}}', "items take no bytes"),
        ('["null", {"type": "record", "name": "E", "fields": []}, {"type": "array", "items": "E"}]',
         "items take no bytes"),
        ("[" * 100_000, "which is JSON"),
    ],
)  # fmt: skip
def test_an_avro_schema_that_a_message_could_misuse_is_refused(schema, words):
    with pytest.raises(SchemaError, match=words):
        codec("avro", schema=schema)


@pytest.mark.parametrize(
    ("schema", "message", "words"),
    [
        ("!", "plant.Reading", "it is no descriptor set"),
        ("AAAA", "plant.Reading", "it is no descriptor set"),
        (PROTO["schema"], "plant.Redding", "it has no message 'plant.Redding'; it has plant.Tag, plant.Reading"),
        ("", "a", "it has none"),
    ],
)
def test_a_descriptor_set_that_is_none_is_refused(schema, message, words):
    with pytest.raises(SchemaError, match=words):
        codec("protobuf", schema=schema, message=message)


@pytest.mark.parametrize(
    ("kind", "document", "options", "words"),
    [
        ("avro", {"id": 5, "t": 1.0}, {"schema": RECORD}, "the document does not fit the Avro schema"),
        ("avro", {"id": "x", "t": 1.0, "more": {"a": "!"}}, {"schema": RECORD}, "fits no branch of a union"),
        ("avro", {"id": "x", "t": 1.0, "u": 1}, {"schema": RECORD}, "the record has no field 'u'"),
        ("avro", [1], {"schema": RECORD}, "is not what the schema says"),
        ("protobuf", {"idd": "x"}, PROTO, "no field named"),
        ("protobuf", {"big": -1}, PROTO, "does not fit plant.Reading"),
        ("protobuf", [1], PROTO, "is written of an object"),
        ("messagePack", {"a": 2**70}, {}, "cannot be written as MessagePack"),
        ("csv", [1], {}, "CSV is written of an object or an array of objects"),
        ("opcua", 5, {}, "is written of an object"),
        ("opcua", {"values": 5}, {}, "whose `values` are an object"),
        ("sparkplug", {"metrics": {}}, {}, "whose `metrics` are a list"),
        ("sparkplug", {"metrics": [{"name": "a", "type": "Int8", "value": 128}]}, {}, "128 is no Int8"),
        ("sparkplug", {"metrics": [{"name": "a", "type": "Int9", "value": 1}]}, {}, "Int9"),
        ("sparkplug", {"metrics": [5]}, {}, "cannot be written"),
        ("json", "\ud800", {}, "half of a surrogate pair"),
    ],
)
def test_a_document_that_a_format_cannot_hold_is_a_fault(kind, document, options, words):
    with pytest.raises(NodeFault, match=words) as raised:
        encoded(kind, document, **options)
    assert raised.value.kind in ("format", "expression")


def test_the_content_type_says_what_the_payload_is_and_the_rest_of_the_head_stays():
    types = {
        kind: codec(kind, **options).encode(json.dumps(document).encode(), HEAD)[0][1]
        for kind, document, options in [*BOTH, ("opcua", {}, {}), ("sparkplug", {"metrics": []}, {})]
    }
    assert {kind: head.content_type for kind, head in types.items()} == {
        "json": "application/json", "csv": "text/csv", "messagePack": "application/vnd.msgpack",
        "cbor": "application/cbor", "protobuf": "application/x-protobuf", "avro": "application/avro",
        "opcua": "application/json", "sparkplug": "application/octet-stream",
    }  # fmt: skip
    assert {(head.topic, head.properties) for head in types.values()} == {(HEAD.topic, HEAD.properties)}
    known = codec("messagePack")
    (_, first), (_, second) = (known.decode(b"\x01", HEAD)[0] for _ in range(2))
    assert first is second
    assert first.content_type == "application/json"


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=8),
)  # fmt: skip
names = st.text(st.characters(codec="utf-8"), max_size=5)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4))
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["json", "messagePack", "cbor"]), values)
def test_any_document_goes_there_and_back(kind, document):
    assert decoded(kind, encoded(kind, document)) == [document]


cells = st.one_of(st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.text("abc,;\"' \n", min_size=1))
tables = st.lists(st.fixed_dictionaries({"a": cells, "b": cells}), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_any_table_goes_there_and_back(table):
    assert decoded("csv", encoded("csv", table)) == table


records = st.fixed_dictionaries(
    {"id": st.text(st.characters(codec="utf-8"), max_size=5), "t": st.floats(allow_nan=False, allow_infinity=False)},
    optional={
        "n": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "raw": st.binary(max_size=5).map(lambda found: base64.b64encode(found).decode()),
        "tags": st.lists(st.text(max_size=3), max_size=3),
    },
)


@settings(max_examples=100, deadline=None)
@given(records)
def test_any_record_goes_there_and_back(record):
    (found,) = decoded("avro", encoded("avro", record, schema=RECORD), schema=RECORD)
    assert found.items() >= record.items()


SEEDS = [
    (kind, encoded(kind, document, **options), options) for kind, document, options in BOTH
] + [(kind, codec(kind).encode(b"reading " * 20, HEAD)[0][0], {}) for kind in ("gzip", "zstd")]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    st.binary(max_size=3),
)
def test_no_damaged_payload_ends_in_anything_but_messages_or_a_fault(seed, changes, tail):
    kind, payload, options = seed
    damaged = bytearray(payload)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    try:
        found = codec(kind, **options).decode(bytes(damaged) + tail, HEAD)
    except NodeFault as error:
        found = error.kind
    assert found in ("format", "size", "expression") or all(len(made) <= LIMIT for made, _ in found)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["json", "csv", "messagePack", "cbor", "opcua", "gzip", "zstd"]), st.binary(max_size=60))
def test_no_payload_ends_in_anything_but_messages_or_a_fault(kind, payload):
    try:
        found = [made for made, _ in codec(kind).decode(payload, HEAD)]
    except NodeFault as error:
        found = error.kind
    assert found is not None


def test_every_format_has_a_codec():
    assert set(CODECS) == set(FORMATS.values())


def test_avro_that_others_write_can_be_read():
    stream = io.BytesIO()
    record = {"id": "p", "t": 1.5, "raw": b"", "cost": decimal.Decimal("1.50")}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(RECORD)), record)
    (found,) = decoded("avro", stream.getvalue(), schema=RECORD)
    assert (found["id"], found["t"], found["at"], found["cost"]) == ("p", 1.5, 0, 1.5)
