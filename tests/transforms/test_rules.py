"""Rules as they are written: paths, inputs, JSON texts; and that whatever is written is refused, or works."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.build import transform_of
from flowrt.transforms.checking import in_rules
from flowrt.transforms.json_text import TextError, from_json
from flowrt.transforms.paths import Path, parse_input, parse_path
from flowrt.transforms.rules import Dataset, Rules
from flowrt.transforms.settings import Settings
from flowrt.transforms.tree import ExpressionError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", Path(("a",))),
        ("Person.Date of Birth", Path(("Person", "Date of Birth"))),
        ('Payload."Tag.10".Value', Path(("Payload", "Tag.10", "Value"))),
        ('Payload."Tag.10".Measurements."Vibration.$12".Value',
         Path(("Payload", "Tag.10", "Measurements", "Vibration.$12", "Value"))),
        ('Payload.He said: "Hello", and waved', Path(("Payload", 'He said: "Hello", and waved'))),
        ('Payload.He said: "No. It is done"', Path(("Payload", 'He said: "No', ' It is done"'))),
        ("*", Path(("*",), wildcard=0)),
        ("Sensors.*.Reading", Path(("Sensors", "*", "Reading"), wildcard=1)),
        ('"*"', Path(("*",))),
        ('""', Path(("",))),
        ("$metadata.topic", Path((), "topic")),
        ('$metadata.user_property."weird.key"', Path(("weird.key",), "property")),
        ("$metadata.header.k", Path(("k",), "property")),
        ("$metadata.system_property.content_type", Path((), "contentType")),
        ("$context(position).Base.Salary", Path(("Base", "Salary"), "context", "position")),
        ("$context(device).configuration.*", Path(("configuration", "*"), "context", "device", 1)),
        ("$context.id", Path(("id",), "context")),
        ("$source.a.b", Path(("a", "b"), "source")),
    ],
)  # fmt: skip
def test_a_path_has_these_segments(text, path):
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "path", "last", "default"),
    [
        ("temperature", ("temperature",), False, ...),
        ("temperature ? $last", ("temperature",), True, ...),
        ("temperature?$LAST", ("temperature",), True, ...),
        ("temperature  ?  $last  ??  0", ("temperature",), True, 0),
        ("temperature ?? 0", ("temperature",), False, 0),
        ('status ?? "un\\"known"', ("status",), False, 'un"known'),
        ("threshold ?? 98.6", ("threshold",), False, 98.6),
        ("threshold ?? -1e3", ("threshold",), False, -1000.0),
        ("enabled ?? true", ("enabled",), False, True),
        ("enabled ?? null", ("enabled",), False, None),
        ('"a ?? b" ?? 1', ("a ?? b",), False, 1),
        ("why?.b", ("why?", "b"), False, ...),
    ],
)  # fmt: skip
def test_an_input_has_these_fallbacks(text, path, last, default):
    known = parse_input(text)
    found = known.default if known.has_default else ...
    assert (known.path.segments, known.last, found) == (path, last, default)


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 1, "the path has an empty segment"),
        ("a..b", 3, "the path has an empty segment"),
        ('"a"b', 4, "behind a quoted segment stands a dot or the end"),
        ("Sensor*", 1, "a wildcard is a whole segment"),
        ("*.a.*", 1, "a path has one wildcard at most"),
        ("$topic", 1, "'$topic' leads nowhere"),
        ("$metadata.tpic", 1, "there is no metadata 'tpic'; did you mean 'topic'?"),
        ("$metadata.user_property.a.b", 1, "a property has one key; quote it if it has dots"),
        ("$metadata.system_property.qos", 1, "there is no system property 'qos'"),
        ("$context(a)", 12, "'$context(a)' names no field"),
        ("$context().a", 1, "$context() names no dataset"),
        ("a ? $lst", 3, "found '? $lst' behind the path"),
        ("a ?? b", 6, "the default is 'b'; it may be a number"),
        ("a ??", 5, "the default is nothing"),
        ("a ?? 99999999999999999999999", 6, ""),
        ("a ?? 1e999", 6, "the default is '1e999'"),
        ("a ?? 0 ? $last", 6, "the default is '0 ? $last'"),
        ("a ? $last 0", 11, "found '0' behind the path; write ? $last, ?? DEFAULT, or both in that order"),
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused_with_its_column(text, at, words):
    if not words:
        assert parse_input(text).default == 1e23
        return
    with pytest.raises(ExpressionError) as raised:
        parse_input(text)
    assert raised.value.at == at
    assert words in raised.value.message


@pytest.mark.parametrize(
    ("key", "store_key", "alias"),
    [
        ("device-metadata as device", "device-metadata", "device"),
        ("datasets.parag10.rule42 as position", "datasets.parag10.rule42", "position"),
        ("factory", "factory", "factory"),
    ],
)
def test_a_dataset_has_a_key_and_an_alias(key, store_key, alias):
    dataset = Dataset.model_validate({"key": key, "inputs": [], "expression": "true"}, by_alias=True)
    assert (dataset.store_key, dataset.alias) == (store_key, alias)


def test_a_text_with_everything_is_read():
    """The documented full configuration of a map."""
    text = (
        '{"version": "1.0.0", "validateSchema": false, "datasets": [], "map": ['
        '{"inputs": ["*"], "output": "*", "description": "Copy all fields"},'
        '{"inputs": ["password", "secret_key"], "output": "", "description": "Remove sensitive fields"},'
        '{"inputs": ["BirthDate"], "output": "Employee.DateOfBirth", "description": "Restructure birth date"},'
        '{"inputs": ["temperature"], "output": "temperature_f", "expression": "cToF($1)"},'
        '{"inputs": ["Position", "Office"], "output": "Employment.Position", "expression": "$1 + \\", \\" + $2"}]}'
    )
    rules = from_json(text, Rules)
    assert list(in_rules(rules)) == []
    document = {"BirthDate": "1984", "temperature": 0, "Position": "A", "Office": "B", "password": "x", "other": [1]}
    payload, _, _ = transform_of(Settings(rules), nothing, never).make(document, HEAD)
    assert json.loads(payload) == {
        "Position": "A",
        "Office": "B",
        "other": [1],
        "Employee": {"DateOfBirth": "1984"},
        "temperature_f": 32.0,
        "Employment": {"Position": "A, B"},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "this is not JSON"),
        ('{"map": [{"inputs": "a", "output": "b"}]}', "map[0].inputs: input should be a valid tuple"),
        ('{"map": [], "filter": [], "x": 1}', "x: there is no such field"),
        ('{"filter": [{"inputs": ["a"]}]}', "filter[0].expression: the field is missing"),
        ("[" * 100_000, "the JSON is nested too deeply"),
        ("[]", "the JSON: input should be"),
        (" " * 2_000_000, "the text has 2000000 characters"),
    ],
)
def test_a_text_that_is_something_else_is_refused(text, words):
    with pytest.raises(TextError) as raised:
        from_json(text, Rules)
    assert words in str(raised.value)


HEAD = Head("a/b")


def nothing(_):
    return b'{"a": 1, "b": {"c": 2}}'


def never(*_):
    return False


PATHS = ["a", "b.c", "*", "b.*", "*.c", "$metadata.topic", "$metadata.user_property.k", "$context(d).a",
         "$context(d).*", "$context(x).a", "$source.a", "a ? $last", "a ?? 1", "* ?? 1", "a..b", '"a.b"', "",
         "$context(d).b.*"]  # fmt: skip
TEXTS = [
    "$1",
    "$1 + $2",
    "$1 > 1",
    "true",
    '"x"',
    "()",
    "($1, 2)",
    "cToF($1)",
    "if($1 == (), 1, $1)",
    "$1 ==",
    "foo($1)",
]
paths, texts = st.sampled_from(PATHS), st.sampled_from(TEXTS)
inputs = st.lists(paths, max_size=3)
conditions = st.fixed_dictionaries({"inputs": inputs, "expression": texts})
map_rules = st.fixed_dictionaries({"inputs": inputs, "output": paths}, optional={"expression": texts})
datasets = st.fixed_dictionaries({"key": st.sampled_from(["d", "k as d", "x"]), "inputs": inputs, "expression": texts})
sections = st.one_of(
    st.fixed_dictionaries({"map": st.lists(map_rules, max_size=4)}),
    st.fixed_dictionaries({"filter": st.lists(conditions, max_size=3)}),
    st.fixed_dictionaries({"branch": conditions}),
)
condition = {"inputs": ["$source.a", "$context.a"], "expression": "$1 == $2"}
documents = st.fixed_dictionaries(
    {},
    optional={"a": st.sampled_from([None, 1, 2.5, "x", [1], {"c": 1}, True]), "b": st.sampled_from([{}, {"c": 3}, 1])},
)


@settings(max_examples=500, deadline=None)
@given(sections, st.one_of(st.just([{"key": "d", **condition}]), st.lists(datasets, max_size=2)), documents)
def test_rules_without_a_mistake_work_on_any_document(section, records, document):
    """Whatever the rules are, each message becomes one, or is decided about, or is a fault."""
    rules = Rules.model_validate({**section, "datasets": records}, by_alias=True)
    if list(in_rules(rules)):
        return
    known = transform_of(Settings(rules), nothing, never)
    work = getattr(known, {"map": "make", "filter": "drops", "branch": "arm"}[next(iter(section))])
    try:
        work(document, HEAD)
    except NodeFault as fault:
        found = fault.kind
    else:
        found = None
    assert found in (None, "expression")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(alphabet='{}[]":,mapfilternuts*$1 +', max_size=60)))
def test_no_text_ends_in_anything_but_rules_or_a_refusal(text):
    try:
        found = from_json(text, Rules)
    except TextError as error:
        found = error.mistakes[0]
    assert found


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='ab.*"$?() metadatacontextlast01', max_size=30))
def test_no_input_ends_in_anything_but_a_path_or_a_refusal(text):
    try:
        sound = parse_input(text).path is not None
    except ExpressionError as error:
        sound = 0 <= error.at <= len(text) + 1
    assert sound
