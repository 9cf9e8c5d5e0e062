"""YAML as a tree: what it means, and every way in which a text can fail to be YAML."""

from __future__ import annotations

import pytest
from graph_cases import SOUND, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.graph.document import MAX_BYTES, MAX_DEPTH, parse
from flowrt.graph.tree import plain


def codes(data: bytes) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.code) for problem in parse(data, "g.yaml")[1]]


def test_plain_words_mean_what_yaml_1_2_says() -> None:
    root, found = parse(b"[10, -3, 0x1F, 0o17, 1.5, 1e3, -.inf, true, null, ~, no-word, 1.2.0, 'true', \"10\"]", "g")
    assert (root, [problem.code for problem in found]) == (None, ["empty-file"])
    root, found = parse(b"a: [10, -3, 0x1F, 0o17, 1.5, 1e3, -.inf, true, null, ~, no-word, 1.2.0, 'true', \"10\"]", "g")
    assert root is not None
    values = [10, -3, 31, 15, 1.5, 1000.0, float("-inf"), True, None, None, "no-word", "1.2.0", "true", "10"]
    assert (plain(root), found) == ({"a": values}, [])


@pytest.mark.parametrize("word", ["on", "off", "Yes", "no", "012", "1:30", "0b11", "1_000", "2026-11-20"])
def test_a_word_that_yaml_versions_read_differently_is_reported(word: str) -> None:
    assert codes(f"a: {word}\nb: '{word}'".encode()) == [(1, 4, "yaml-ambiguous")]


@pytest.mark.parametrize(
    "word", ["true", "False", "10", "0", "0.5", "250m", "16Mi", "plant/+/x", "1.2.0", "none", "127.0.0.1"]
)
def test_everyday_words_are_left_alone(word: str) -> None:
    assert codes(f"a: {word}".encode()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", [(1, 1, "empty-file")]),
        (b"# nothing\n", [(1, 1, "empty-file")]),
        (b"- a\n", [(1, 1, "empty-file")]),
        (b"a: 1\nb: \xff\n", [(2, 4, "not-utf8")]),
        (b"a: x\0y\n", [(1, 5, "not-utf8")]),
        ("ä: 1\n\ufeffb: 2".encode("utf-16"), [(1, 1, "not-utf8")]),
        (b"a: b: c\n", [(1, 5, "yaml-syntax")]),
        (b"a: [1,\nb: 2\n", [(3, 1, "yaml-syntax")]),
        (b"a:\n\t- b\n", [(2, 1, "yaml-tab")]),
        (b"a: {b: ${X}}\n", [(1, 9, "yaml-syntax")]),
        (b"a: 1\n---\nb: 2\n", [(2, 1, "yaml-documents")]),
        (b"a: 1\nb: 2\na: 3\n", [(3, 1, "duplicate-key")]),
        (b"a: {b: 1, b: 2}\na: 3\n", [(1, 11, "duplicate-key"), (2, 1, "duplicate-key")]),
        (b"? [a]\n: 1\n", [(1, 3, "yaml-key")]),
        (b"a: &x {b: 1}\nc:\n  <<: *x\n", [(3, 3, "yaml-merge")]),
        (b"a: !!python/object:os.system x\n", [(1, 4, "yaml-tag")]),
        (b"a: *x\n", [(1, 4, "yaml-alias")]),
        (b"a: &x [*x]\n", [(1, 8, "yaml-alias")]),
        (b"a: " + b"[" * 1000, [(1, 3 + MAX_DEPTH, "yaml-too-deep")]),
        (b" " * (MAX_BYTES + 1), [(1, 1, "file-too-large")]),
    ],
)
def test_what_is_not_yaml_is_one_problem_with_its_place(text: bytes, expected: list[tuple[int, int, str]]) -> None:
    assert codes(text) == expected


def test_the_line_of_the_first_key_is_named() -> None:
    (problem,) = parse(b"a: 1\nb: 2\na: 3\n", "g.yaml")[1]
    assert "first in line 1" in problem.message


def test_a_billion_laughs_are_counted_and_not_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    ((line, _, code),) = codes("\n".join(lines).encode())
    assert (line, code) == (6, "yaml-too-many")


def test_aliases_do_not_hide_depth() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 2000))]
    assert [code for _, _, code in codes("\n".join(lines).encode())] == ["yaml-too-deep"]


def test_a_value_may_be_shared() -> None:
    root, found = parse(b"a: &small {memory: 1Mi}\nb: *small\n", "g.yaml")
    assert root is not None
    assert (plain(root), found) == ({"a": {"memory": "1Mi"}, "b": {"memory": "1Mi"}}, [])


def test_every_prefix_of_a_file_gives_problems_and_no_exception() -> None:
    for end in range(len(SOUND) - 1):
        for problem in problems(SOUND[:end]):
            assert problem.path == "g.yaml"


_BITS = st.sampled_from(
    [*list(" \n\t:-[]{}#&*!|>'\"%@`,?$<~0aé😀"), "\n  ", "*x", "&x ", "!!", "${A}", "---\n", "null", "[[["]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SOUND)), st.integers(0, 12), _BITS), min_size=1, max_size=4))
def test_a_mutilated_file_gives_problems_and_no_exception(edits: list[tuple[int, int, str]]) -> None:
    text = SOUND
    for start, length, bit in edits:
        text = text[:start] + bit + text[start + length :]
    for problem in problems(text):
        assert problem.line >= 1
        assert problem.column >= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_problems_and_no_exception(data: bytes) -> None:
    parse(data, "g.yaml")
