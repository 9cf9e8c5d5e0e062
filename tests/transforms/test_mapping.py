"""The map transform: documented examples first, then what is decided, then properties."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.mapping import MapTransform
from flowrt.transforms.rules import Rules

ROOT = Path(__file__).parents[2]
HEAD = Head("sensors/temperature", "application/json", (("priority", "high"), ("priority", "low"), ("weird key", "w")))


def transform(rules, records=None):
    """A map of rules written as (inputs, output) or (inputs, output, expression)."""
    written = [dict(zip(("inputs", "output", "expression"), rule, strict=False)) for rule in rules]
    datasets = [
        {"key": f"store-{name} as {name}", "inputs": ["$source.id", "$context.id"], "expression": "$1 == $2"}
        for name in records or {}
    ]
    known = Rules.model_validate({"map": written, "datasets": datasets}, by_alias=True)
    lines = {name: "\n".join(map(json.dumps, found)).encode() for name, found in (records or {}).items()}
    return MapTransform(known, lambda dataset: lines[dataset.alias])


def made(known, payload):
    return known.make(known.read(payload), HEAD)[:2]


def mapped(rules, document, records=None):
    payload, head = made(transform(rules, records), json.dumps(document).encode())
    assert head is HEAD
    return json.loads(payload)


def fault(rules, payload):
    with pytest.raises(NodeFault) as raised:
        made(transform(rules), payload)
    return raised.value.kind, raised.value.detail


ALL = (["*"], "*")
PEOPLE = {"Name": "Grace Owens", "BirthDate": "19840202", "Position": "Analyst"}
COLOURS = {"ColorProperties": {"Hue": "blue", "Saturation": "90%"}, "TextureProperties": {"type": "fabric"}}
EXTREMES = {"Temperature": {"Max": 85.3, "Min": 62.1}, "Pressure": {"Max": 15.2, "Min": 14.1}}
DEEP = {"Saturation": {"Max": 0.42, "Min": 0.67, "Mid": {"Avg": 0.51, "Mean": 0.56}}}


CASES = [
    # documented
    ([(["BirthDate"], "DateOfBirth")], PEOPLE, {"DateOfBirth": "19840202"}),
    ([(["Name"], "Employee.Name"), (["BirthDate"], "Employee.DateOfBirth")], PEOPLE,
     {"Employee": {"Name": "Grace Owens", "DateOfBirth": "19840202"}}),
    ([(["Position", "Office"], "Employment.Position", '$1 + ", " + $2')], PEOPLE | {"Office": "Kent, WA"},
     {"Employment": {"Position": "Analyst, Kent, WA"}}),
    ([(["temperature"], "temperature_f", "cToF($1)")], {"temperature": 100}, {"temperature_f": 212.0}),
    ([(["raw"], "pct", "scale($1, 0, 4095, 0, 100)")], {"raw": 4095}, {"pct": 100.0}),
    ([ALL], PEOPLE, PEOPLE),
    ([(["ColorProperties.*"], "*")], COLOURS, {"Hue": "blue", "Saturation": "90%"}),
    ([(["ColorProperties.*"], "*"), (["TextureProperties.*"], "*")], COLOURS,
     {"Hue": "blue", "Saturation": "90%", "type": "fabric"}),
    ([(["*"], "Telemetry.*")], {"a": 1, "b": {"c": 2}}, {"Telemetry": {"a": 1, "b": {"c": 2}}}),
    ([ALL, (["password", "internal_id"], "")], {"a": 1, "password": "x", "internal_id": 2}, {"a": 1}),
    ([ALL, (["temperature"], "temperature", "cToF($1)")], {"temperature": 0, "b": 1},
     {"temperature": 32.0, "b": 1}),
    ([(["temperature ? $last ?? 0"], "temperature")], {}, {"temperature": 0}),
    ([(["*.Max", "*.Min"], "Averaged.*", "($1 + $2) / 2")], EXTREMES,
     {"Averaged": {"Temperature": pytest.approx(73.7), "Pressure": pytest.approx(14.65)}}),
    ([(["*.Max", "*.Min"], "Averaged.*", "($1 + $2) / 2"),
      (["Pressure.Max", "Pressure.Min"], "Averaged.PressureAdj", "($1 + $2 + 1.0) / 2")], EXTREMES,
     {"Averaged": {"Temperature": pytest.approx(73.7), "PressureAdj": pytest.approx(15.15)}}),
    ([(["*.Max", "*.Min"], "Averaged.*", "($1 + $2) / 2"), (["Pressure.Max", "Pressure.Min"], "")], EXTREMES,
     {"Averaged": {"Temperature": pytest.approx(73.7)}}),
    ([(["*.Max", "*.Min"], "Stats.*.Avg", "($1 + $2) / 2"), (["*.Max", "*.Min"], "Stats.*.Range", "$1 - $2")],
     {"T": {"Max": 3, "Min": 1}}, {"Stats": {"T": {"Avg": 2, "Range": 2}}}),
    ([(["*.Max", "*.Min", "*.Avg", "*.Mean"], "C.*", "($1, $2, $3, $4)")], DEEP, {}),
    ([(["*.Max", "*.Min", "*.Mid.Avg", "*.Mid.Mean"], "C.*", "($1, $2, $3, $4)")], DEEP,
     {"C": {"Saturation": [0.42, 0.67, 0.51, 0.56]}}),
    ([(["Measurements"], "Measurement", "min($1)")], {"Measurements": [2.34, 12.3, 32.4]}, {"Measurement": 2.34}),
    ([(["a", "b"], "c", "if($2 == (), $1, $1 * $2)")], {"a": 4}, {"c": 4}),
    ([(['Payload."Tag.10".Value'], "v")], {"Payload": {"Tag.10": {"Value": 5}}}, {"v": 5}),
    ([(['Payload.He said: "Hello", and waved'], "v")], {"Payload": {'He said: "Hello", and waved': 1}}, {"v": 1}),
    # specialization
    ([ALL, (["t"], "t_f", "cToF($1)")], {"t": 0, "b": 1}, {"b": 1, "t_f": 32.0}),
    ([ALL, (["t"], "t_f", "cToF($1)"), (["t"], "t")], {"t": 0}, {"t_f": 32.0, "t": 0}),
    ([ALL, (["a", "b"], "c", "$1 + $2")], {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}),
    ([ALL, (["Sensors"], "S")], {"Sensors": {"a": 1}, "b": 2}, {"b": 2, "S": {"a": 1}}),
    ([ALL, (["Sensors.*"], "*")], {"Sensors": {"a": 1, "d": {"e": 2}}, "b": 2}, {"b": 2, "a": 1, "d": {"e": 2}}),
    ([ALL, (["A.secret"], "")], {"A": {"secret": 1}, "b": 2}, {"b": 2}),
    ([ALL, (["A"], "")], {"A": {"secret": 1}, "b": 2}, {"b": 2}),
    ([(["A.*"], "*"), (["A"], "")], {"A": {"x": 1}}, {}),
    ([(["A.*"], "*"), (["A.x"], "")], {"A": {"x": 1, "y": 2}}, {"y": 2}),
    ([(["t"], "t", "cToF($1)"), ALL], {"t": 0}, {"t": 0}),
    # copies
    ([ALL], {"n": None, "e": {}, "l": [{"a": 1}]}, {"n": None, "e": {}, "l": [{"a": 1}]}),
    ([ALL], {"d": {"e": {}, "f": {"g": []}}}, {"d": {"e": {}, "f": {"g": []}}}),
    ([(["a"], "b")], {"a": None}, {"b": None}),
    ([(["a"], "b")], {}, {}),
    ([(["a"], "b", "$1")], {"a": None}, {}),
    ([(["a"], "b")], {"a": {"c": 1}}, {"b": {"c": 1}}),
    ([(["a"], "b"), (["x"], "b.c")], {"a": {"c": 1}, "x": 2}, {"b": {"c": 2}}),
    ([(["a"], "b"), (["a.c"], "d"), (["x"], "b.c"), (["a.c"], "e")], {"a": {"c": 1}, "x": 2},
     {"b": {"c": 2}, "d": 1, "e": 1}),
    ([(["a"], "b"), (["x"], "b.c")], {"a": 5, "x": 2}, {"b": {"c": 2}}),
    ([(["a.b.c"], "d")], {"a": {"b": 5}}, {}),
    ([(["big"], "b")], {"big": 2**70}, {"b": 2**70}),
    ([(["a ?? null"], "b")], {}, {"b": None}),
    ([(['a ?? "x y"'], "b")], {"a": None}, {"b": "x y"}),
    ([([], "alert", "true")], {"a": 1}, {"alert": True}),
    # wildcards in other places
    ([(["Sensors.*.Reading"], "R.*")], {"Sensors": {"a": {"Reading": 1}, "b": {"x": {"Reading": {"y": 2}}}}},
     {"R": {"a": 1, "b": {"x": {"y": 2}}}}),
    ([(["*"], "*", "round_n($1, 1)")], {"a": 1.26, "b": {"c": 2.34}}, {"a": 1.3, "b": {"c": 2.3}}),
    ([(["*.v", "k"], "*", "$1 * $2")], {"a": {"v": 1}, "b": {"v": 2}, "k": 10}, {"a": 10, "b": 20}),
    ([(["*.v", "*.w ?? 1"], "*", "$1 * $2")], {"a": {"v": 2}, "b": {"v": 2, "w": 3}}, {"a": 2, "b": 6}),
    ([(['"*"'], "star")], {"*": 1}, {"star": 1}),
]  # fmt: skip
"""Rules, a document, and what becomes of it."""


@pytest.mark.parametrize(("rules", "document", "expected"), CASES)
def test_a_document_becomes_this_one(rules, document, expected):
    assert mapped(rules, document) == expected


def test_the_last_value_that_was_there_is_kept():
    known = transform([(["t ? $last"], "t"), (["t ? $last ?? 5"], "u", "$1 * 2")])
    sent = [{}, {"t": 1}, {"x": 0}, {"t": None}, {"t": 2.5}]
    results = [json.loads(made(known, json.dumps(document).encode())[0]) for document in sent]
    assert results == [{"u": 10}, {"t": 1, "u": 2}, {"t": 1, "u": 2}, {"t": 1, "u": 2}, {"t": 2.5, "u": 5.0}]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([(["$metadata.topic"], "origin_topic")], {"origin_topic": "sensors/temperature"}),
        ([(["$metadata.user_property.priority"], "p")], {"p": "high"}),
        ([(['$metadata.user_property."weird key"'], "p")], {"p": "w"}),
        ([(["$metadata.header.priority"], "p")], {"p": "high"}),
        ([(["$metadata.system_property.content_type"], "c")], {"c": "application/json"}),
        ([(["$metadata.user_property.nothing ?? 1"], "p")], {"p": 1}),
        ([(["$metadata.topic", "$metadata.user_property.priority"], "x", '$1 + "/" + $2')],
         {"x": "sensors/temperature/high"}),
    ],
)  # fmt: skip
def test_metadata_can_be_read(rules, expected):
    assert mapped(rules, {}) == expected


@pytest.mark.parametrize(
    ("rules", "topic", "content_type", "properties"),
    [
        ([(["t"], "$metadata.topic", 'if($1 > 1000, "alerts", "historian")')], "alerts", "application/json",
         HEAD.properties),
        ([(["t"], "$metadata.user_property.t")], HEAD.topic, "application/json", (*HEAD.properties, ("t", "1001.5"))),
        ([([], "$metadata.user_property.priority", '"x"')], HEAD.topic, "application/json",
         (("weird key", "w"), ("priority", "x"))),
        ([([], "$metadata.user_property.k", "1"), ([], "$metadata.header.k", "true")], HEAD.topic, "application/json",
         (*HEAD.properties, ("k", "1"), ("k", "true"))),
        ([([], "$metadata.user_property.priority", "()")], HEAD.topic, "application/json", (("weird key", "w"),)),
        ([([], "$metadata.system_property.content_type", "()")], HEAD.topic, None, HEAD.properties),
        ([([], "$metadata.system_property.content_type", '"text/plain"')], HEAD.topic, "text/plain", HEAD.properties),
        ([(["$metadata.topic"], "$metadata.user_property.origin_topic")], HEAD.topic, "application/json",
         (*HEAD.properties, ("origin_topic", HEAD.topic))),
    ],
)  # fmt: skip
def test_metadata_can_be_written(rules, topic, content_type, properties):
    """A rule that writes metadata takes no field away from a wildcard. The same head is made once."""
    known = transform([ALL, *rules])
    payload, head = made(known, b'{"t": 1001.5}')
    assert (json.loads(payload), head.topic, head.content_type) == ({"t": 1001.5}, topic, content_type)
    assert head.properties == properties
    assert made(known, b'{"t": 1001.5}')[1] is head


@pytest.mark.parametrize(
    ("rules", "payload", "kind", "words"),
    [
        ([ALL], b"", "format", "the payload is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ([ALL], b"[1]", "format", "the payload is a JSON array; rules read an object's fields"),
        ([ALL], b"1.5", "format", "the payload is a JSON number; rules read an object's fields"),
        ([ALL], b"null", "format", "the payload is a JSON null; rules read an object's fields"),
        ([ALL], b'{"a": NaN}', "format", "the payload is not JSON: NaN is no JSON"),
        ([ALL], b'{"a": -Infinity}', "format", "the payload is not JSON: -Infinity is no JSON"),
        ([ALL], b'{"a": "\xff"}', "format", "the payload is not JSON: it is not UTF-8, from byte 7 on"),
        ([ALL], b'{"a":' * 5000 + b"1" + b"}" * 5000, "format", "the payload's JSON is nested too deeply"),
        ([(["a"], "b", "$1")], b'{"a": 1e999}', "expression", "the result holds NaN or infinity, which JSON cannot"),
        ([ALL], b'{"a": "\\ud800"}', "expression", "the result holds half of a surrogate pair, which is no text"),
        ([(["t"], "f", "cToF($1)")], b"{}", "expression",
         "map rule 1 (to f), 'cToF($1)': cToF takes a number, and $1 is missing (column 6); $1 is 't'"),
        ([(["t", "u"], "f", "$1 + $2")], b'{"t": 1, "u": {"a": 1}}', "expression",
         "map rule 1 (to f), '$1 + $2': $2 is or holds a JSON object; copy it without an expression, or name a field "
         "in it; $1 is 't', $2 is 'u'"),
        ([(["t"], "f", "math::sqrt($1)")], b'{"t": -1}', "expression",
         "the result holds NaN or infinity, which JSON cannot"),
        ([([], "$metadata.topic", '"a/#"')], b"{}", "expression",
         'the topic has to be one to publish to, and the rule gives the string "a/#"'),
        ([([], "$metadata.topic", "()")], b"{}", "expression", "the topic has to be text, and the rule gives missing"),
        ([(["t"], "$metadata.user_property.t")], b'{"t": [1]}', "expression",
         "the user property 't' has to be text, and the rule gives a list or an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_mapped_is_a_fault_with_its_reason(rules, payload, kind, words):
    assert fault(rules, payload) == (kind, words)


def test_a_wildcard_stands_for_so_many_segments():
    deep = b'{"a":' * 65 + b"1" + b"}" * 65
    kind, words = fault([(["*"], "*", "$1")], deep)
    assert (kind, words) == ("format", "the payload is nested more than 64 levels deep below a wildcard")


@pytest.mark.parametrize("depth", range(100, 1200, 53))
def test_a_deep_document_is_copied_or_refused(depth):
    payload = b'{"a":' * depth + b"1" + b"}" * depth
    try:
        found = made(transform([ALL]), payload)[0]
    except NodeFault as fault:
        found = fault.kind
    assert found in (payload, "format", "expression")


def test_of_a_key_that_stands_twice_the_last_counts():
    assert made(transform([ALL]), b'{"a": 1, "a": 2}')[0] == b'{"a":2}'


def test_a_large_document_passes():
    document = {f"field{number}": "x" * 1000 for number in range(10_000)}
    assert mapped([ALL, (["field0"], "")], document) == {key: document[key] for key in list(document)[1:]}


def test_no_message_makes_more_than_fits_into_one():
    text = "a" * 20_000
    document = {"k": text, **{str(number): {"v": 1} for number in range(2000)}}
    kind, words = fault([(["*.v", "k"], "*", "$2")], json.dumps(document).encode())
    assert (kind, words) == ("expression", "map rule 1 makes more than fits into a message")
    replaced = json.dumps({"k": text, "r": text}).encode()
    _, words = fault([(["k", "r"], "o", 'str::regex_replace($1, "a", $2)')], replaced)
    assert "a text of more than 16777216 characters" in words


DEVICES = [{"id": "a", "name": "Pump A", "conf": {"x": 1}}, {"id": "b", "name": "Pump B"}, {"id": "b", "name": "late"}]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"id": "a"}, {"name": "Pump A", "conf": {"x": 1}, "all": {"id": "a", "name": "Pump A", "conf": {"x": 1}}}),
        ({"id": "b"}, {"name": "Pump B", "all": {"id": "b", "name": "Pump B"}}),
        ({"id": "z"}, {}),
        ({}, {}),
        ({"id": None}, {}),
        ({"id": {"a": 1}}, {}),
    ],
)
def test_records_of_a_dataset_are_copied_and_their_rules_skipped_without_one(document, expected):
    rules = [
        (["$context(device).name"], "name"),
        (["$context(device).conf.*"], "conf.*"),
        (["$context(device).*"], "all.*"),
    ]
    assert mapped(rules, document, {"device": DEVICES}) == expected


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
)
names = st.text(max_size=5)
values = st.recursive(
    leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4))
)
plain = st.recursive(st.booleans(), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=4))
objects = st.dictionaries(st.text(max_size=5), values, max_size=5)


@settings(max_examples=200, deadline=None)
@given(objects)
def test_identity_rules_are_the_identity(document):
    assert mapped([ALL], document) == document
    assert list(mapped([ALL], document)) == list(document)


@settings(max_examples=200, deadline=None)
@given(objects)
def test_wrapping_and_flattening_is_the_identity(document):
    wrapped = mapped([(["*"], "in.*")], document)
    assert mapped([(["in.*"], "*")], wrapped) == document


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names, plain, max_size=5))
def test_a_wildcard_with_an_expression_finds_the_same_fields_as_a_copy(document):
    """`"x"` for every field: as many leaves, at the same paths."""
    found = mapped([(["*"], "*", '"x"')], document)

    def shape(value):
        return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) and value else "x"

    assert found == {key: shape(inner) for key, inner in document.items()}


def test_every_case_is_a_graph_test_too():
    """What stands in the table above is run as a user would, with AIO's rules in `graphs/transforms`."""
    suite = yaml.safe_load((ROOT / "graphs/transforms/aio-map.test.yaml").read_text())
    known = {}
    for case in suite["cases"]:
        rules = json.loads(case["set"]["rules"])
        first, (*_, last) = case["in"][0]["payload"], case.get("out", {}).get("out") or [{}]
        known[json.dumps([rules.get("map"), first], sort_keys=True, default=str)] = last.get("payload")
    for rules, document, expected in CASES:
        written = [dict(zip(("inputs", "output", "expression"), rule, strict=False)) for rule in rules]
        assert known[json.dumps([written, document], sort_keys=True)] == expected, rules


def test_a_document_of_10_mb_is_mapped_like_any_other():
    rows = [{"n": number, "text": "x" * 90} for number in range(100_000)]
    document = {"rows": rows, "Name": "Grace Owens"}
    assert len(json.dumps(document)) > 10_000_000
    assert mapped([(["Name"], "name"), (["rows"], "all")], document) == {"name": "Grace Owens", "all": rows}
