"""`modules/aio/filter`: JSON Schema in a component."""

import json
from pathlib import Path

import pytest
from component_guests import batch

from flowrt.errors import GuestTrap

CODE = (Path(__file__).parents[2] / "modules" / "aio" / "filter" / "filter.wasm").read_bytes()


@pytest.fixture
def fits(guest):
    """`fits(schema, *values)`: the verdict on each value; a text is taken as it is."""

    def judge(schema, *values):
        text = schema if isinstance(schema, str) else json.dumps(schema)
        instance = guest(CODE, "filter", schemas=[("s", "application/json", text)])
        payloads = [value.encode() if isinstance(value, str) else json.dumps(value).encode() for value in values]
        verdicts, errors = instance.decide("filter", batch(*payloads))
        assert errors == {}
        return [bool(verdict) for verdict in verdicts]

    return judge


CASES = [
    ({}, [1, None, {}], [' {"a"', "", "1 2"]),
    (True, [1], []),
    (False, [], [1]),
    ({"type": "integer"}, [1, "1.0", "1e2", -7], [1.5, True, "null", '"1"']),
    ({"type": ["string", "null"]}, ['"a"', "null"], [1, [], {}]),
    ({"type": "object"}, [{}], [[], 1]),
    ({"type": "boolean"}, ["true", "false"], [0, '"true"']),
    ({"enum": [1, "a", [1, {"b": 2}], None]}, ["1.0", '"\\u0061"', '[1, {"b": 2.0}]', "null"], [2, '"b"', [1]]),
    ({"const": {"a": 1, "b": [2]}}, ['{"b": [2], "a": 1}'], [{"a": 1}, {"a": 1, "b": [2], "c": 3}]),
    ({"minimum": 1, "maximum": 2}, [1, 2, '"x"'], [0.99, 2.01]),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, [1.5], [1, 2]),
    ({"multipleOf": 0.1}, [0.3, -1.1, 0], [0.35]),
    ({"minLength": 2, "maxLength": 3}, ['"äö"', '"\\u00e4\\ud83d\\ude00"'], ['"a"', '"abcd"']),
    ({"minItems": 1, "maxItems": 2, "uniqueItems": True}, [[1], [1, 2]], [[], [1, 1.0], [1, 2, 3]]),
    ({"items": {"type": "integer"}}, [[], [1, 2]], [[1, "x"]]),
    ({"items": [{"type": "integer"}], "additionalItems": False}, [[], [1]], [["x"], [1, 2]]),
    ({"contains": {"const": 3}}, [[1, 3]], [[], [1]]),
    ({"required": ["a", "ü"]}, [{"a": 1, "ü": 2}, '{"\\u0061": 1, "\\u00fc": 2}', 1], [{"a": 1}]),
    ({"properties": {"a": {"type": "null"}}}, [{"a": None}, {"b": 1}], [{"a": 1}]),
    ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}], [{"b": 1}]),
    ({"additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "x"}]),
    ({"propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}]),
    ({"minProperties": 1, "maxProperties": 2}, [{"a": 1}], [{}, {"a": 1, "b": 2, "c": 3}]),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [0, 3]),
    ({"anyOf": [{"maximum": 1}, {"minimum": 3}]}, [1, 3], [2]),
    ({"oneOf": [{"minimum": 1}, {"minimum": 3}]}, [1], [0, 3]),
    ({"not": {"type": "string"}}, [1], ['"a"']),
    ({"if": {"minimum": 5}, "then": {"multipleOf": 5}, "else": {"multipleOf": 2}}, [10, 4], [7, 3]),
    (
        {"definitions": {"a/b": {"type": "integer"}}, "items": {"$ref": "#/definitions/a~1b"}},
        [[1]],
        [["x"]],
    ),
    ({"properties": {"next": {"$ref": "#"}}, "required": ["v"]}, [{"v": 1, "next": {"v": 2}}], [{"v": 1, "next": {}}]),
    ({"format": "date", "title": "for people"}, ['"x"'], []),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=[str(index) for index in range(len(CASES))])
def test_what_fits_and_what_does_not(fits, schema, good, bad):
    assert fits(schema, *good, *bad) == [True] * len(good) + [False] * len(bad)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "it is not JSON"),
        ("[]", "a schema in it is neither an object nor true or false"),
        ({"properties": {"a": {"pattern": "x"}}}, "pattern, patternProperties and dependencies are not supported"),
        ({"items": [{"minimum": "1"}]}, "a bound in it is no number"),
        ({"$ref": "other.json"}, "a $ref leads nowhere; it begins with #"),
        ({"multipleOf": 0}, "multipleOf is not above 0"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_in_words(guest, fits, schema, words):
    with pytest.raises(GuestTrap, match="init refused"):
        fits(schema)
    assert guest.texts() == [("error", f"filter: the module schema cannot be used: {words}")]


def test_without_a_schema_it_does_not_start(guest):
    with pytest.raises(GuestTrap, match="init refused"):
        guest(CODE, "filter")
    assert guest.texts() == [("error", "filter: there is no module schema to judge messages by")]


def test_depth_costs_no_more_than_the_stack(fits):
    """A schema that refers to itself on ever deeper values, and values deeper than JSON may be."""
    values = ["[" * depth + "]" * depth for depth in (20, 40, 90)]
    assert fits({"items": {"$ref": "#"}}, *values) == [True, False, False]
    assert fits({"$ref": "#"}, 1) == [False]
    deep = {}
    for _ in range(30):
        deep = {"allOf": [{"properties": {"a": {}}}, deep]}
    assert fits(deep, {"a": 1}) == [True]


def test_a_long_array_needs_no_memory(fits):
    assert fits({"items": {"type": "integer"}}, list(range(2000))) == [True]
