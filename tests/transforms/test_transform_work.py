"""Operators of transforms: every row that enters a batch leaves it exactly once, in order."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.endpoints.topics import matches
from flowrt.operators.transform_work import (
    BranchRulesOperator,
    FilterRulesOperator,
    MapRulesOperator,
    ThrottleOperator,
)
from flowrt.testing import batch_of
from flowrt.transforms.build import transform_of
from flowrt.transforms.rules import Rules, Throttle
from flowrt.transforms.settings import Settings


def operator(kind):
    condition = {"inputs": ["v"], "expression": "$1 > 5"}
    rules = {
        "map": {"map": [{"inputs": ["v"], "output": "w", "expression": "$1 + 1"}]},
        "filter": {"filter": [condition]},
        "branch": {"branch": condition},
    }[kind]
    known = Rules.model_validate(rules, by_alias=True)
    made = transform_of(Settings(known), lambda _: None, matches)
    return {"map": MapRulesOperator, "filter": FilterRulesOperator, "branch": BranchRulesOperator}[kind](made)


values = st.one_of(st.integers(0, 9).map(lambda value: json.dumps({"v": value}).encode()), st.just(b"no json"))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["map", "filter", "branch"]), st.lists(values, min_size=1, max_size=12))
def test_every_row_is_in_one_place(kind, payloads):
    batch = batch_of(payloads)
    emission = operator(kind).process(batch)
    ports = [port.seqs if port is not None else () for port in emission.ports]
    faulted = [seq for fault in emission.faults for seq in fault.rows.seqs]
    assert sorted([*emission.filtered, *faulted, *(seq for port in ports for seq in port)]) == list(batch.seqs)
    assert all(list(port) == sorted(port) for port in ports)
    assert [payloads[seq] for seq in faulted] == [payload for payload in payloads if payload == b"no json"]
    assert all(port is None or len(port) for port in emission.ports)
    true = [seq for seq, payload in enumerate(payloads) if payload != b"no json" and json.loads(payload)["v"] > 5]
    found = {"map": true, "filter": emission.filtered, "branch": ports[-1]}[kind]
    assert list(found) == true


def test_a_whole_batch_is_handed_on_as_it_is():
    batch = batch_of([b'{"v": 1}'] * 3)
    (port,) = operator("filter").process(batch).ports
    assert port is batch
    (port,) = operator("map").process(batch).ports
    assert port.seqs is batch.seqs


def test_a_throttle_asks_its_clock_once_a_batch():
    times = iter([10.0, 10.5, 11.0])
    throttle = Throttle.model_validate(
        {"perTopicThrottles": [{"topic": "#", "maxMessagesPerSecond": 1}]}, by_alias=True
    )
    made = transform_of(Settings(Rules(), throttle=throttle), lambda _: None, matches)
    known = ThrottleOperator(made, lambda: next(times))
    passed = [known.process(batch_of([b"1", b"2"])) for _ in range(3)]
    assert [port and port.payloads for emission in passed for port in emission.ports] == [[b"1"], None, [b"1"]]
    assert [list(emission.filtered) for emission in passed] == [[1], [0, 1], [1]]


@pytest.mark.parametrize("kind", ["map", "filter", "branch"])
def test_it_holds_nothing_and_closes_twice(kind):
    known = operator(kind)
    known.restart()
    assert known.memory_bytes() == 0
    known.close()
    known.close()
