"""Documents that transforms hand on: of three in a row one parses, and nobody changes what another one reads."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.operators.transform_work import BranchRulesOperator, FilterRulesOperator, MapRulesOperator
from flowrt.testing import batch_of
from flowrt.transforms import inputs
from flowrt.transforms.build import transform_of
from flowrt.transforms.rules import Rules
from flowrt.transforms.settings import Settings
from flowrt.transforms.shared import BYTES_MAX, COLUMNS_MAX, Shared

OPERATORS = {"map": MapRulesOperator, "filter": FilterRulesOperator, "branch": BranchRulesOperator}


def operator(**rules):
    (kind,) = rules
    known = Rules.model_validate(rules, by_alias=True)
    return OPERATORS[kind](transform_of(Settings(known), lambda _: None, lambda *_: False))


@pytest.fixture
def parsed(monkeypatch):
    """The payloads that were parsed."""
    found, decode = [], inputs.decode
    monkeypatch.setattr(inputs, "decode", lambda payload: (found.append(payload), decode(payload))[1])
    return found


def test_three_in_a_row_parse_a_message_once(parsed):
    """The filter drops one of five, and one is no JSON. What was parsed passes a branch, a map and a branch again."""
    dropping = operator(filter=[{"inputs": ["t"], "expression": "$1 > 1000"}])
    branching = operator(branch={"inputs": ["t"], "expression": "$1 > 100"})
    mapping = operator(map=[{"inputs": ["t"], "output": "f", "expression": "cToF($1)"}])
    last = operator(branch={"inputs": ["f"], "expression": "$1 > 100"})
    payloads = [b'{"t": 50}', b'{"t": 1001}', b"no json", b'{"t": 500}', b'{"t": 30}']
    (passing,) = dropping.process(batch_of(payloads)).ports
    cold, hot = branching.process(passing).ports
    made = [mapping.process(port).ports[0] for port in (cold, hot)]
    assert [list(port.payloads) for port in made] == [[b'{"f":122.0}', b'{"f":86.0}'], [b'{"f":932.0}']]
    assert [[port and list(port.seqs) for port in last.process(batch).ports] for batch in made] == [
        [[4], [0]],
        [None, [3]],
    ]
    assert parsed == payloads
    last.process(made[0].with_payloads(list(made[0].payloads)))
    assert parsed == [*payloads, *made[0].payloads]


def test_a_column_is_known_by_being_the_same_object():
    known, payloads, documents = Shared(), [b'{"a": 1}'], [{"a": 1}]
    known.put(payloads, documents)
    assert known.of(payloads) is documents
    assert known.of(list(payloads)) is None


def test_what_is_remembered_is_bounded():
    known = Shared()
    columns = [[b"x"] for _ in range(COLUMNS_MAX + 1)]
    for column in columns:
        known.put(column, [{}])
    assert [known.of(column) is not None for column in columns] == [False] + [True] * COLUMNS_MAX
    half, rest = [bytes(BYTES_MAX // 2)], [bytes(BYTES_MAX // 2 + 1)]
    for column in (half, rest):
        known.put(column, [{}])
    assert [known.of(column) is not None for column in (half, rest, columns[-1])] == [False, True, False]
    known.put(large := [bytes(BYTES_MAX + 1)], [{}])
    assert known.of(large) is None


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
    steps = [operator(map=each) for each in rules]
    keeping = operator(filter=[{"inputs": ["z ?? 1"], "expression": "$1 != 1"}])
    batch = batch_of([json.dumps(document).encode()])

    def through(copy):
        (made,) = keeping.process(batch).ports
        for step in steps:
            (made,) = step.process(copy(made)).ports
        return list(made.payloads)

    handed_on, apart = through(lambda made: made), through(lambda made: made.with_payloads(list(made.payloads)))
    assert handed_on == apart
    assert through(lambda made: made) == handed_on
