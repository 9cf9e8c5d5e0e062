"""Documents that transforms hand on: of three in a row one parses, and nobody changes what another one reads."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.message import Head
from flowrt.transforms import inputs
from flowrt.transforms.build import transform_of
from flowrt.transforms.rules import Rules
from flowrt.transforms.settings import Settings
from flowrt.transforms.shared import BYTES_MAX, PAYLOAD_MAX, Shared, shared

HEAD = Head("a")


def transform(**rules):
    return transform_of(Settings(Rules.model_validate(rules, by_alias=True)), lambda _: None, lambda *_: False)


def same(payload):
    """Equal bytes that are another object."""
    return bytes(bytearray(payload))


@pytest.fixture
def parsed(monkeypatch):
    """The payloads that were parsed."""
    found, decode = [], inputs.decode
    monkeypatch.setattr(inputs, "decode", lambda payload: (found.append(payload), decode(payload))[1])
    return found


def test_three_in_a_row_parse_a_message_once(parsed):
    dropping = transform(filter=[{"inputs": ["t"], "expression": "$1 > 1000"}])
    mapping = transform(map=[{"inputs": ["t"], "output": "f", "expression": "cToF($1)"}])
    branching = transform(branch={"inputs": ["f"], "expression": "$1 > 100"})
    payload = same(b'{"t": 50}')
    assert dropping.drops(payload, HEAD) is False
    made, _ = mapping.apply(payload, HEAD)
    assert branching.arm(made, HEAD) is True
    assert parsed == [payload]
    branching.arm(same(made), HEAD)
    assert parsed == [payload, made]


def test_a_payload_is_known_by_being_the_same_object():
    known, payload = Shared(), same(b'{"a": 1}')
    known.put(payload, {"a": 1})
    assert known.get(payload) == {"a": 1}
    assert known.get(same(payload)) is None


def test_what_is_remembered_is_bounded():
    known = Shared()
    large = bytes(PAYLOAD_MAX + 1)
    known.put(large, {})
    assert known.get(large) is None
    payloads = [bytes(PAYLOAD_MAX) for _ in range(BYTES_MAX // PAYLOAD_MAX + 1)]
    for payload in payloads:
        known.put(payload, {})
    assert [known.get(payload) is not None for payload in payloads] == [False] * (len(payloads) - 1) + [True]


leaves = st.one_of(st.none(), st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2))
names = st.sampled_from("abc")
values = st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=3))
documents = st.dictionaries(names, values)
paths = st.sampled_from(["a", "a.b", "b", "b.c", "c.a.b"])
copies = st.lists(st.fixed_dictionaries({"inputs": st.tuples(paths), "output": paths}), max_size=3)
ALL = {"inputs": ["*"], "output": "*"}
maps = st.builds(lambda star, rules: [ALL, *rules] if star else rules, st.booleans(), copies)


@settings(max_examples=200, deadline=None)
@given(documents, st.lists(maps, min_size=1, max_size=3))
def test_maps_in_a_row_make_the_same_whether_they_share_or_not(document, rules):
    """The first reads the message again after the others have made theirs of it: it finds it unchanged."""
    steps = [transform(map=each) for each in rules]
    payload = json.dumps(document).encode()

    def through(copy):
        made = payload
        for step in steps:
            made, _ = step.apply(copy(made), HEAD)
        return made

    shared.put(payload, json.loads(payload))
    handed_on, apart = through(lambda made: made), through(same)
    assert handed_on == apart
    assert steps[0].apply(payload, HEAD) == steps[0].apply(same(payload), HEAD)
