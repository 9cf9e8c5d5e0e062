"""`modules/aio/filter`: JSON Schema in a component."""

import json
import re
from pathlib import Path

import pytest
from component_guests import Maker, batch
from hypothesis import given, settings
from hypothesis import strategies as st

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
    ({"pattern": "^[A-Z]{2}-\\d{3,5}$"}, ['"AB-123"', '"XY-12345"', 1], ['"AB-12"', '"AB-123456"', '"xAB-123"', '""']),
    ({"pattern": "ä|\\u00f6|\\.5"}, ['"xä"', '"\\u00e4"', '"ö"', '"1.5"'], ['"a"', '"15"']),
    (
        {"patternProperties": {"^t_": {"type": "number"}, "x": {"minimum": 5}}, "additionalProperties": False},
        [{"t_a": 1}, {"t_x": 5}, {}],
        [{"t_a": "1"}, {"t_x": 4}, {"a": 1}],
    ),
    (
        {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
        [{"a": 1, "b": 1}, {"c": 1, "d": 1}, {}],
        [{"a": 1}, {"c": 1}],
    ),
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
        ({"patternProperties": []}, "patternProperties or dependencies is no object"),
        ({"dependencies": {"a": 1}}, "a schema in it is neither an object nor true or false"),
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


BAD_PATTERNS = ["(", ")", "[a", "a{2,1}", "*a", "a**", "\\1", "(?=a)", "(?<n>a)", "\\p{L}", "\\u12", "a{1001}",
                "(a{100}){100}", "a" * 600, "(" * 9 + ")" * 9, "\\", 1]  # fmt: skip


@pytest.mark.parametrize("pattern", BAD_PATTERNS)
def test_a_pattern_that_cannot_be_used_is_refused(guest, fits, pattern):
    with pytest.raises(GuestTrap, match="init refused"):
        fits({"properties": {"a": {"pattern": pattern}}})
    assert "a pattern in it is damaged, too long, or has a back reference" in guest.texts()[0][1]


def test_no_pattern_takes_long(fits):
    """What a backtracking matcher would need longer for than the world has stood."""
    assert fits({"pattern": "^(a+)+$"}, json.dumps("a" * 5000 + "b"), json.dumps("a" * 5000)) == [False, True]
    assert fits({"pattern": "(x?){200}x{200}$"}, json.dumps("x" * 400)) == [True]
    assert fits({"pattern": "^((a*)*)*b"}, json.dumps("a" * 3000)) == [False]


pieces = st.sampled_from(
    [
        "a",
        "b",
        "é",
        ".",
        "\\d",
        "\\W",
        "\\s",
        "[ab]",
        "[^a-c\\d]",
        "[\\]x-]",
        "^",
        "$",
        "\\b",
        "\\x41",
        "\\u00e9",
        "\\.",
        "-",
    ]
)
counts = st.sampled_from(["", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?"])


@st.composite
def patterns(draw, depth=2):
    made = []
    for _ in range(draw(st.integers(0, 4))):
        if depth and draw(st.integers(0, 3)) == 0:
            piece = draw(st.sampled_from(["(", "(?:"])) + draw(patterns(depth - 1)) + ")"
        else:
            piece = draw(pieces)
        made.append(
            piece + ("" if piece in {"^", "$", "\\b"} else draw(counts)) + draw(st.sampled_from(["", "", "", "|"]))
        )
    return "".join(made)


@given(pattern=patterns(), texts=st.lists(st.text("abcé5 .-]xA\n", max_size=8), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_patterns_mean_what_re_takes_them_to_mean(engine, pattern, texts):
    maker = Maker(engine)
    instance = maker(CODE, "filter", schemas=[("s", "application/json", json.dumps({"pattern": pattern}))])
    verdicts, errors = instance.decide("filter", batch(*(json.dumps(text).encode() for text in texts)))
    ours = re.compile(pattern.replace("$", "\\Z"), re.ASCII)
    assert errors == {}
    assert [bool(verdict) for verdict in verdicts] == [ours.search(text) is not None for text in texts]
    maker.close()
