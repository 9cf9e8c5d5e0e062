"""The fold of windows, on a clock that the test hands in."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.build import transform_of
from flowrt.transforms.rules import Rules, WindowCount, WindowDelay, WindowMemory, WindowTriggers
from flowrt.transforms.settings import Settings

HEAD = Head("telemetry/temperature")
STATISTICS = [
    {"inputs": ["temperature"], "output": "avgTemperature", "expression": "average($1)"},
    {"inputs": ["temperature"], "output": "minTemperature", "expression": "min($1)"},
    {"inputs": ["temperature"], "output": "maxTemperature", "expression": "max($1)"},
    {"inputs": ["temperature"], "output": "readingCount", "expression": "count($1)"},
    {"inputs": ["temperature"], "output": "tempRange", "expression": "max($1) - min($1)"},
]
COUNTING = [{"inputs": ["n ?? 0"], "output": "n", "expression": "count($1)"}]
IN, NEXT = "messageInCurrent", "messageInNext"


def window(accumulate=STATISTICS, lookup=lambda _: None, **bounds):
    kinds = {"delay": WindowDelay, "count": WindowCount, "memory": WindowMemory, "triggers": WindowTriggers}
    given = {key: kinds[key].model_validate(value, by_alias=True) for key, value in bounds.items()}
    rules = Rules.model_validate({"accumulate": accumulate}, by_alias=True)
    return transform_of(Settings(rules, **given), lookup, lambda *_: False)


def delay(seconds):
    return {"type": "duration", "delaySeconds": seconds}


def count(most, boundary=IN):
    return {"type": "messageCount", "maxMessageCount": most, "boundaryMessage": boundary}


def memory(most, boundary=IN):
    return {"type": "bufferSize", "maxBufferBytes": most, "boundaryMessage": boundary}


def triggers(*rules, datasets=()):
    written = [{"inputs": inputs, "trigger": text, "boundaryMessage": boundary} for inputs, text, boundary in rules]
    return {"type": "expression", "rules": written, "datasets": list(datasets)}


def fed(known, documents, *, every=1.0, start=0.0, head=HEAD):
    """What comes out of documents that arrive one after the other, and of the window left open."""
    out = []
    for number, document in enumerate(documents):
        now = start + number * every
        out += known.close_due(now)
        out += known.take(json.dumps(document).encode(), head, now)
    return out + known.flush()


def statistics(average, least, most, messages, extent):
    return {
        "avgTemperature": average,
        "minTemperature": least,
        "maxTemperature": most,
        "readingCount": messages,
        "tempRange": pytest.approx(extent),
    }


FULL = {
    "delay": delay(30),
    "count": count(5),
    "memory": memory(1_048_576),
    "triggers": triggers((["temperature"], "running_sum($1) + $1 > 100", IN)),
}
PAD = "x" * 600_000


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([{"temperature": t} for t in (21.5, 23.0, 19.8)], statistics(21.433333333333334, 19.8, 23.0, 3, 3.2)),
        ([{"temperature": 21.0, "p": PAD}, {"temperature": 22.5, "p": PAD}], statistics(21.75, 21.0, 22.5, 2, 1.5)),
        ([{"temperature": t} for t in (40.0, 35.0, 30.0)], statistics(35.0, 30.0, 40.0, 3, 10.0)),
    ],
)
def test_the_documented_examples(documents, expected):
    assert fed(window(**FULL), documents) == [expected]


def test_the_documented_example_that_closes_by_count():
    """Without its trigger, which five readings above 20 would reach first."""
    bounds = {key: FULL[key] for key in ("delay", "count", "memory")}
    readings = [{"temperature": t} for t in (20.0, 22.0, 21.0, 24.0, 23.0)]
    known = window(**bounds)
    assert fed(known, readings) == [statistics(22.0, 20.0, 24.0, 5, 4.0)]
    assert known.due is None


def test_windows_are_aligned_to_multiples_of_their_length():
    known = window(COUNTING, delay=delay(10))
    assert fed(known, [{}] * 25, start=107.0) == [{"n": 3}, {"n": 10}, {"n": 10}, {"n": 2}]


def test_a_window_without_a_length_ends_after_a_minute():
    assert fed(window(COUNTING, count=count(1000)), [{}] * 5, every=25, start=10.0) == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize(
    ("bounds", "sizes"),
    [
        ({"count": count(3)}, [3, 3, 1]),
        ({"count": count(3, NEXT)}, [3, 3, 1]),
        ({"count": count(1, NEXT)}, [1] * 7),
        ({"memory": memory(8)}, [2, 2, 2, 1]),
        ({"memory": memory(7)}, [2, 2, 2, 1]),
        ({"memory": memory(7, NEXT)}, [1] * 7),
        ({"memory": memory(8, NEXT)}, [2, 2, 2, 1]),
        ({"memory": memory(1, NEXT)}, [1] * 7),
        ({"triggers": triggers((["n ?? 0"], "running_count() == 2", IN))}, [3, 3, 1]),
        ({"triggers": triggers((["n ?? 0"], "running_count() == 2", NEXT))}, [2, 2, 2, 1]),
        ({"triggers": triggers((["n ?? 0"], "true", NEXT))}, [1] * 7),
        ({"triggers": triggers(([], "false", IN), ([], "running_count() == 3", IN), ([], "true", NEXT))}, [1] * 7),
        # Memory before count before triggers: who is reached first decides where the message belongs.
        ({"memory": memory(12), "count": count(2, NEXT)}, [3, 3, 1]),
        ({"memory": memory(8), "count": count(1, NEXT)}, [2, 2, 2, 1]),
        ({"count": count(2), "triggers": triggers(([], "running_count() == 1", NEXT))}, [2, 2, 2, 1]),
    ],
)  # fmt: skip
def test_a_bound_closes_the_window(bounds, sizes):
    """Seven messages of four bytes."""
    known, out = window(COUNTING, **bounds), []
    for _ in range(7):
        out += known.take(b"{  }", HEAD, 0.0)
    assert [document["n"] for document in out + known.flush()] == sizes


@pytest.mark.parametrize(
    ("text", "values", "sizes"),
    [
        ("$1 > 80", [1, 81, 2, 3], [2, 2]),
        ("running_sum($1) + $1 > 100", [40, 35, 30, 99, 2], [3, 2]),
        ("running_avg($1) > 10", [50, 1, 1, 1], [2, 2]),
        ("running_min($1) < $1", [5, 5, 4, 6, 1], [4, 1]),
        ("running_max($1) > $1", [5, 5, 6, 4, 1], [4, 1]),
        ("running_max($1) == $1", [5], [1]),
        ("first($1) != $1", [5, 5, 6, 6], [3, 1]),
        ("changed($1)", [1, 1.0, 2, 3, 3], [3, 2]),
        ("prev($1) < $1", [3, 2, 4, 1], [3, 1]),
        ("running_count($1) == 2", [1, None, 1, 1, 1], [4, 1]),
        ('$1 == "x"', ["a", "x", "b"], [2, 1]),
    ],
)
def test_triggers_look_at_the_messages_before_in_the_same_window(text, values, sizes):
    known = window(COUNTING, triggers=triggers((["v"], text, IN)))
    documents = [{} if value is None else {"v": value} for value in values]
    assert [document["n"] for document in fed(known, documents, every=0)] == sizes


def test_prev_and_changed_differ_about_missing_values():
    """`prev` passes over them, `changed` compares with the message right before."""
    for text, sizes in (("$1 != () && prev($1) != $1", [3]), ("changed($1)", [2, 1])):
        known = window(COUNTING, triggers=triggers((["v"], text, IN)))
        assert [document["n"] for document in fed(known, [{"v": 1}, {}, {"v": 1}], every=0)] == sizes


def test_triggers_read_metadata_and_records():
    by_topic = window(COUNTING, triggers=triggers((["$metadata.topic"], '$1 == "telemetry/high-priority"', IN)))
    assert len(fed(by_topic, [{}, {}], head=Head("telemetry/high-priority"))) == 2
    datasets = [{"key": "factory", "inputs": ["$source.f", "$context.f"], "expression": "$1 == $2"}]
    shifts = b'{"f": 1, "shiftId": "early"}\n{"f": 2, "shiftId": "late"}'
    by_shift = window(
        COUNTING,
        lambda _: shifts,
        triggers=triggers((["$context(factory).shiftId"], "changed($1)", NEXT), datasets=datasets),
    )
    assert fed(by_shift, [{"f": 1}, {"f": 1}, {"f": 2}], every=0) == [{"n": 2}, {"n": 1}]


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("average($1)", [1, 2, "x", None, True], 1.5),
        ("sum($1)", [1, 2, "x"], 3.0),
        ("sum($1)", ["x"], 0.0),
        ("min($1)", [3, 1.5, "a"], 1.5),
        ("max($1)", [3, 1.5, "a"], 3),
        ("count($1)", [1, "x", False, None], 3),
        ("count($1)", [], 0),
        ("first($1)", [None, "x", 1], "x"),
        ("last($1)", ["x", 1, None], 1),
        ("average($1) + max($1)", [1, 3], 5.0),
        ("cToF(average($1))", [0, 100], 122.0),
        ("max(min($1), 3)", [1, 2], 3),
        ("first($1)", [{"a": 1}], None),
        ("average($1)", ["x"], "the figure 'o', 'average($1)': no message of the window has a number for average($1) "
         "(column 1); $1 is 'v'"),
        ("last($1)", [], "the figure 'o', 'last($1)': no message of the window has a value for last($1) (column 1); "
         "$1 is 'v'"),
    ],
)  # fmt: skip
def test_figures_of_a_window(text, values, expected):
    known = window([{"inputs": ["v"], "output": "o", "expression": text}], delay=delay(10))
    (found,) = fed(known, [{"v": value} for value in values] or [{}], every=0)
    if isinstance(expected, str) and expected != "x":
        assert isinstance(found, NodeFault)
        assert found.detail == expected
    elif expected is None:
        assert found == {"o": {"a": 1}}
    else:
        assert found == {"o": expected}


def test_a_message_that_cannot_be_read_belongs_to_no_window():
    known = window(COUNTING, triggers=triggers((["v"], "$1 > 5", IN)))
    known.take(b'{"v": 1}', HEAD, 0.0)
    for payload in (b"no json", b"{}", b'{"v": "x"}'):
        with pytest.raises(NodeFault):
            known.take(payload, HEAD, 0.0)
    assert known.take(b'{"v": 6}', HEAD, 0.0) == [{"n": 2}]


bounds = st.fixed_dictionaries(
    {},
    optional={
        "delay": st.integers(1, 20).map(delay),
        "count": st.builds(count, st.integers(1, 5), st.sampled_from([IN, NEXT])),
        "memory": st.builds(memory, st.integers(1, 60), st.sampled_from([IN, NEXT])),
        "triggers": st.sampled_from([IN, NEXT]).map(lambda boundary: triggers((["v"], "$1 > 6", boundary))),
    },
)


@settings(max_examples=200, deadline=None)
@given(bounds, st.lists(st.tuples(st.integers(0, 9), st.floats(0, 5)), max_size=30))
def test_every_message_is_in_one_window(given_bounds, messages):
    rules = [{"inputs": ["v"], "output": "s", "expression": "sum($1)"}, *COUNTING]
    known, now, out = window(rules, **given_bounds), 0.0, []
    for value, pause in messages:
        now += pause
        out += known.close_due(now) + known.take(json.dumps({"v": value}).encode(), HEAD, now)
    out += known.flush()
    assert sum(document["n"] for document in out) == len(messages)
    assert sum(document["s"] for document in out) == sum(value for value, _ in messages)
    assert all(document["n"] for document in out)
