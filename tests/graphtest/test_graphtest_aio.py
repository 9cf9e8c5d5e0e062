"""Tests in the form of Azure IoT Operations' samples."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt.graphtest.comparing import differences


@pytest.fixture
def sample(tests):
    """`sample(files, expected, **fields)`: what is wrong with a test in their form. The graph's source is abstract."""

    def run(files, expected, **fields):
        graph = (tests.folder / "g.yaml").read_text().replace(", endpoint: plant, topics: [a/+]", "")
        (tests.folder / "g.yaml").write_text(graph.replace("hot/{topic[1]}", "{topic}"))
        folder = tests.folder / "input"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content)
        (tests.folder / "expected.json").write_text(json.dumps(expected))
        lines = {"name": "one", "graph": "./g.yaml", "input": "./input", "expected": "./expected.json", **fields}
        (result,) = tests.results(json.dumps(lines))
        return result.wrong

    return run


def test_files_enter_in_the_order_of_their_names_on_the_topics_of_their_kind(sample):
    files = {"b.json": '{ "t": 22 }', "a.json": '{"t": 21}', "c.raw": '{"t": 23}'}
    expected = [
        {"topic": "sensors", "payload": '{"t":42}'},
        {"topic": "sensors", "payload": '{"t":44.0}'},
        {"topic": "snapshot_simulation", "payload": '{"t":46}'},
    ]
    assert sample(files, expected) == []


def test_one_message_need_not_stand_in_a_list(sample):
    assert sample({"a.json": '{"t": 21}'}, {"payload": '{"t":42}'}, select=["payload"]) == []


def test_an_empty_list_means_that_nothing_comes_out(sample):
    (words,) = sample({"a.json": '{"t": 21}'}, [], select=["payload"])
    assert words.startswith('expected 0 messages, found 1; the first too many: {"topic": "sensors", "payload": ')


@pytest.mark.parametrize("path", ["payload.u.v", "u.v", "v", "payload.u"])
def test_what_is_ignored(sample, path):
    rule = {"topic": "cold", "payload": '{"t":1,"u":{"v":3}}'}
    assert sample({"a.json": '{"t": 1, "u": {"v": 2}}'}, rule, ignores=[path]) == []


def test_what_is_selected_alone_is_compared(sample):
    expected = {"topic": "elsewhere", "payload": '{"t":1,"u":[1,5]}'}
    assert sample({"a.json": '{"t": 1, "u": [1, 2]}'}, expected, select=["payload.u[0]", "payload.t"]) == []


def test_what_differs_is_told(sample):
    wrong = sample({"a.json": '{"t": 1}'}, {"payload": '{"t":2}', "properties": {"user-properties": {"k": "v"}}},
                   select=["payload", "properties.user-properties.k"])  # fmt: skip
    assert wrong == [
        "expected[0].payload.t: expected 2, found 1",
        'expected[0].properties.user-properties.k: expected "v", and it is missing',
    ]


def test_their_fields_are_checked(tests):
    from flowrt.graphtest.running import listed

    path = tests.write("name: one\ngraph: g.yaml\ninput: .\nexpect: x\ntimeout: soon\n")
    _, problems = listed(path)
    assert [problem.code for problem in problems] == ["missing-field", "unknown-field", "wrong-type"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values, values)
def test_values_differ_when_their_texts_do(one, other):
    def text(value):
        """1 and 1.0 are the same number."""
        if isinstance(value, float) and value.is_integer():
            return text(int(value))
        if isinstance(value, dict):
            return "{" + ",".join(f"{json.dumps(key)}:{text(value[key])}" for key in sorted(value)) + "}"
        return "[" + ",".join(map(text, value)) + "]" if isinstance(value, list) else json.dumps(value)

    assert (list(differences(one, other)) == []) == (text(one) == text(other))
    assert list(differences(one, one)) == []
