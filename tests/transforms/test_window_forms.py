"""Sliding windows and sessions, on a clock that the test hands in."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.message import Head
from flowrt.transforms.build import transform_of
from flowrt.transforms.rules import Rules, WindowDelay, WindowSession, WindowSliding
from flowrt.transforms.settings import Settings

HEAD = Head("t")
RULES = Rules.model_validate(
    {
        "accumulate": [
            {"inputs": ["v"], "output": "sum", "expression": "sum($1)"},
            {"inputs": ["v"], "output": "n", "expression": "count($1)"},
        ]
    },
    by_alias=True,
)


def fed(window, messages):
    """When each window left, and what it held. `messages` are times and values."""
    out = []

    def close(until):
        while window.due is not None and window.due <= until:
            at = window.due
            out.extend((at, found["n"], found["sum"]) for found in window.close_due(at))

    for time, value in messages:
        close(time)
        window.take(json.dumps({"v": value}).encode(), HEAD, time)
    close(1e9)
    return out


def made(**bounds):
    return transform_of(Settings(RULES, **bounds), lambda _: None, lambda *_: False)


def sliding(length, every):
    return WindowSliding.model_validate({"length": f"{length}s", "every": f"{every}s"})


@pytest.mark.parametrize(
    ("length", "every", "messages", "expected"),
    [
        (10, 10, [(1, 1), (9.9, 2), (10, 4)], [(10, 2, 3), (20, 1, 4)]),
        (10, 5, [(1, 1), (6, 2)], [(5, 1, 1), (10, 2, 3), (15, 1, 2)]),
        (60, 20, [(1, 1)], [(20, 1, 1), (40, 1, 1), (60, 1, 1)]),
        (10, 5, [(1, 1), (101, 2)], [(5, 1, 1), (10, 1, 1), (105, 1, 2), (110, 1, 2)]),
    ],
)
def test_sliding_windows(length, every, messages, expected):
    assert fed(made(sliding=sliding(length, every)), messages) == expected


@pytest.mark.parametrize(
    ("gap", "longest", "messages", "expected"),
    [
        (10, 100, [(1, 1), (9, 2), (18, 4), (30, 8)], [(28, 3, 7), (40, 1, 8)]),
        (10, 15, [(1, 1), (9, 2), (15, 4), (17, 8)], [(16, 3, 7), (27, 1, 8)]),
    ],
)
def test_sessions(gap, longest, messages, expected):
    assert (
        fed(made(session=WindowSession.model_validate({"gap": f"{gap}s", "longest": f"{longest}s"})), messages)
        == expected
    )


arrivals = st.lists(st.tuples(st.integers(0, 300), st.integers(-9, 9)), max_size=40).map(sorted)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 50), arrivals)
def test_sliding_as_far_as_long_is_tumbling(length, messages):
    tumbling = made(delay=WindowDelay(type="duration", delay_seconds=length))

    assert fed(made(sliding=sliding(length, length)), messages) == fed(tumbling, messages)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 8), st.integers(1, 12), arrivals)
def test_each_message_is_in_every_sliding_window_that_spans_it(every, times, messages):
    length = every * times

    found = fed(made(sliding=sliding(length, every)), messages)

    ends = range(every, 300 + length + every, every)
    expected = [(end, [v for t, v in messages if end - length <= t < end]) for end in ends]
    assert found == [(end, len(values), sum(values)) for end, values in expected if values]
