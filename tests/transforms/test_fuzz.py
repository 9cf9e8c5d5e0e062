"""Documented rules and expressions, damaged at random for a while: each is refused with its place, or works.

Three seconds unless FLOWRT_FUZZ_SECONDS says more; FLOWRT_FUZZ_SEED repeats a run, and a failure names its own.
"""

import json
import os
import random
from time import monotonic

import pytest

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.build import transform_of
from flowrt.transforms.checking import in_rules
from flowrt.transforms.expression import expression, mistakes
from flowrt.transforms.json_text import TextError, from_json
from flowrt.transforms.rules import Rules
from flowrt.transforms.settings import Settings
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import bound

SECONDS = float(os.environ.get("FLOWRT_FUZZ_SECONDS", "3")) / 2
EXPRESSIONS = [
    '$1 + ", " + $2', "($1 * 2) ^ 3", 'if($1 > 100 && $2 != (), "high", str::from($2))', "round_n(cToF($1), 2)",
    'str::regex_replace($1, "([a-z])\\\\d", "${1}$$")', "contains_any(($1, $2), (1, 2.5, true))",
    "math::hypot($1, -$2) <= max(1, 2, 3) % 4", '!(typeof($1) == "tuple") || len($1) > 3',
]  # fmt: skip
RULES = [
    {"map": [{"inputs": ["*"], "output": "*"}, {"inputs": ["password"], "output": ""},
             {"inputs": ["*.Max", "*.Min ?? 0"], "output": "Mean.*", "expression": "($1 + $2) / 2"},
             {"inputs": ["t ? $last ?? 5"], "output": "$metadata.user_property.t"},
             {"inputs": ["$context(d).name"], "output": 'Payload."a.b".c'}],
     "datasets": [{"key": "k as d", "inputs": ["$source.id", "$context.id"], "expression": "$1 == $2"}]},
    {"filter": [{"inputs": ["t", "$metadata.topic"], "expression": '$1 > 5 || $2 == "a/b"'}], "version": "1.0.0"},
    {"branch": {"inputs": ["severity ?? 0"], "expression": "$1 > 5", "description": "severe"}},
]  # fmt: skip
PIECES = ["$1", "$", "(", ")", '"', "\\", "*", ".", "??", "?", "$last", "$context(", "::", "if(", "^", "-", "1e9",
          "9" * 19, "{", "}", "[", "]", ",", ":", "\0", "\ud800", "°", "🔥", " "]  # fmt: skip
DOCUMENTS = [
    {"t": 7, "severity": 9, "id": 1},
    {"T": {"Max": 1, "Min": "x"}, "t": [1, {}]},
    {"t": None, "password": 2**70},
]


@pytest.fixture
def chance(request):
    seed = int(os.environ.get("FLOWRT_FUZZ_SEED", random.randrange(2**32)))
    request.node.add_report_section("call", "seed", f"FLOWRT_FUZZ_SEED={seed}")
    return random.Random(seed)


def damaged(chance, text):
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = start + chance.choice((0, 0, 1, 1, 2, 8))
        piece = chance.choice((*PIECES, text[chance.randrange(len(text) + 1) :][:6], ""))
        text = text[:start] + piece + text[end:]
    return text


def test_damaged_expressions_are_refused_at_a_column_or_give_a_value(chance):
    until, valid = monotonic() + SECONDS, 0
    while monotonic() < until:
        text = damaged(chance, chance.choice(EXPRESSIONS))
        found = mistakes(text, 2)
        assert all(0 <= error.at <= len(text) + 1 for error in found), text
        if not found:
            valid += 1
            given = [chance.choice((1, 2.5, "a1", True, None, (1, "x"), -(2**63))) for _ in range(2)]
            try:
                bound(expression(text, 2).run(given), 1)
                column = 0
            except ExpressionError as error:
                column = error.at
            assert 0 <= column <= len(text) + 1, text
    assert valid


def test_damaged_rules_are_refused_or_work(chance):
    until, valid = monotonic() + SECONDS, 0
    while monotonic() < until:
        text = damaged(chance, json.dumps(chance.choice(RULES)))
        try:
            rules = from_json(text, Rules)
        except TextError:
            continue
        kinds = Settings(rules).kinds
        if list(in_rules(rules)) or len(kinds) != 1 or kinds[0] == "window":
            continue
        known = transform_of(Settings(rules), lambda _: b'{"id": 1, "name": "p"}', lambda *_: False)
        work = {"map": "make", "filter": "drops", "branch": "arm"}[kinds[0]]
        valid += 1
        for document in DOCUMENTS:
            try:
                getattr(known, work)(document, Head("a/b"))
            except NodeFault as fault:
                found = fault.kind
            else:
                found = None
            assert found in (None, "expression", "format"), text
    assert valid
