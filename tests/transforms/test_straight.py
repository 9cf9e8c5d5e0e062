"""Generated code gives what the closures give: the same documents and decisions, the same faults in the same words."""

import json
import math

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms import straight_code
from flowrt.transforms.build import transform_of
from flowrt.transforms.documents import decode, decode_plainly, encode, encode_plainly
from flowrt.transforms.functions import FUNCTIONS
from flowrt.transforms.rules import Rules
from flowrt.transforms.settings import Settings
from flowrt.transforms.tree import Binary, Call, Input, Literal, Tuple, Unary, text_of
from flowrt.transforms.types import check

HEAD = Head("a/b", None, (("k", "7"),))
INPUTS = ("a", "o.x", "b ?? 2.5", "c ? $last", "$metadata.topic", "$metadata.user_property.k", "b", "o")


def transform(kind, rules):
    return transform_of(Settings(Rules.model_validate({kind: rules}, by_alias=True)), lambda _: None, lambda *_: False)


def outcome(work, *given):
    """What came out, NaN being itself, or the fault."""
    try:
        return repr(work(*given))
    except NodeFault as fault:
        return fault.kind, fault.detail


# Expressions of every node and every function, mostly of kinds that fit.
numbers = st.one_of(
    st.sampled_from([0, 1, -1, 3, 2**62, 2**63 - 1, 0.0, -0.0, 0.5, 1e308]), st.integers(-9, 9), st.floats(-9, 9)
)
texts = st.sampled_from(["", "a", "b c", "é"])
constants = st.one_of(numbers, texts, st.booleans()).map(Literal)
leaves = st.one_of(constants, st.integers(1, len(INPUTS)).map(Input), st.just(Tuple(())))
OPERATORS = ["+", "-", "*", "/", "%", "^", "<", ">", "<=", ">=", "==", "!=", "&&", "||"]


def grown(inner):
    calls = [
        st.builds(Call, st.just(name), st.tuples(*[inner] * count))
        for name, function in FUNCTIONS.items()
        for count in {len(function.parameters) - function.optional, len(function.parameters)}
    ]
    return st.one_of(
        st.builds(Unary, st.sampled_from("-!"), inner),
        st.builds(Binary, st.sampled_from(OPERATORS), inner, inner),
        st.builds(Call, st.just("if"), st.tuples(inner, inner, inner)),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: Tuple(tuple(items))),
        st.builds(lambda text: Call("str::regex_matches", (text, Literal("a|b"))), inner),
        st.builds(lambda text, to: Call("str::regex_replace", (text, Literal("b"), to)), inner, inner),
        st.builds(Call, st.sampled_from(["min", "max", "typeof", "str::from", "len"]), st.tuples(inner, inner)),
        st.one_of(*calls),
    )


trees = st.recursive(leaves, grown, max_leaves=8)
expressions = trees.filter(lambda tree: not check(tree, len(INPUTS))).map(text_of)
values = st.one_of(
    numbers,
    texts,
    st.booleans(),
    st.none(),
    st.sampled_from([2**63, -(2**63), -(2**63) - 1, 10**30]),
    st.lists(st.one_of(numbers, texts, st.none()), max_size=3),
    st.just({"x": {"y": 1}}),
)
documents = st.fixed_dictionaries(
    {}, optional={"a": values, "b": values, "c": values, "o": st.fixed_dictionaries({}, optional={"x": values})}
)


def with_code_and_without(kind, rules, sent):
    """Outcomes of the same messages, in their order, by the code and by the closures alone."""
    name = "make" if kind == "map" else "drops" if kind == "filter" else "arm"
    by_code, by_closures = transform(kind, rules), transform(kind, rules)
    holder = by_closures if kind == "map" else by_closures._conditions
    assert holder._straight != holder._plainly
    holder._straight = holder._plainly
    return [[outcome(getattr(known, name), document, HEAD) for document in sent] for known in (by_code, by_closures)]


@settings(max_examples=100, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=3), st.lists(documents, min_size=1, max_size=4))
@example(["if($1 == (), $2, $1 + $2)"], [{"o": {"x": 1}}, {"a": "p", "o": {"x": "q"}}, {"a": 1, "o": {"x": "q"}}])
@example(['$1 + "/" + $2'], [{"a": 1.0, "o": {"x": True}}, {"a": None, "o": {"x": True}}, {"a": [1], "o": {}}])
@example(["if(false, $1, 1)"], [{"a": {"x": 1}}, {"a": 2**70}, {}])
@example(["-$1", "$1 * 2"], [{"a": -(2**63)}, {"a": 2**62}, {"a": 1e308}])
def test_a_map_makes_the_same(written, sent):
    """Copies, fields in fields, defaults, last values, metadata, a wildcard, and expressions, one after the other."""
    rules = [
        {"inputs": ["*"], "output": "all.*"},
        {"inputs": ["o"], "output": "copy"},
        {"inputs": ["o.x ?? 1"], "output": "copy.x"},
        {"inputs": ["c ? $last"], "output": "last"},
        *({"inputs": INPUTS, "output": f"r{at}", "expression": text} for at, text in enumerate(written)),
        {"inputs": ["a ?? 1"], "output": "$metadata.user_property.made"},
    ]
    by_code, by_closures = with_code_and_without("map", rules, sent)
    assert by_code == by_closures


@settings(max_examples=60, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=3), st.lists(documents, min_size=1, max_size=4))
def test_a_filter_and_a_branch_decide_the_same(written, sent):
    conditions = [{"inputs": INPUTS, "expression": f"({text}) == $1 || $7 != 3"} for text in written]
    for kind, rules in (("filter", conditions), ("branch", conditions[0])):
        by_code, by_closures = with_code_and_without(kind, rules, sent)
        assert by_code == by_closures


def test_no_word_of_a_rule_gets_into_the_code(monkeypatch):
    """Names and texts that would end a Python string, in every place that a rule has for them."""
    written, real = [], compile
    recording = lambda source, *more: (written.append(source), real(source, *more))[1]  # noqa: E731
    monkeypatch.setattr(straight_code, "compile", recording, raising=False)
    name, text = "');import os\n#", '"\\"\');import os\n#"'
    rules = [
        {"inputs": [f"{name}.x", f"{name} ?? {text}"], "output": f"{name}.y", "expression": f"$2 + {text}"},
        {"inputs": [name], "output": name, "description": name},
    ]
    known = transform("map", rules)
    assert json.loads(known.make({}, HEAD)[0]) == {name: {"y": "\"');import os\n#" * 2}}
    assert written
    assert not any("import" in source for source in written)


def test_rules_that_make_too_much_code_are_taken_through_the_closures():
    deep = "1.5" + " + if($1 > 0, 1, 0)" * 150
    nested = "if($1 > 0, " * 60 + "1" + ", 0)" * 60
    for text, most in ((deep, 151.5), (nested, 1)):
        known = transform("map", [{"inputs": ["a"], "output": f"r{at}", "expression": text} for at in range(12)])
        assert json.loads(known.make({"a": 1}, HEAD)[0]) == {f"r{at}": most for at in range(12)}
        assert known._straight == known._plainly


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just("\ud800")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None)
@given(json_values)
@example([1e16, 1e-7, 5e-324, 10**400, -0.0, math.nan])
@example({"a": math.inf, "b": None})
@example({"a": "null", "b": "\u2028\x7f\x00"})
def test_documents_are_written_as_the_standard_library_writes_them(document):
    """The same value, if not always the same text of a large float; the same fault for what JSON cannot hold."""
    plainly = outcome(encode_plainly, document)
    made = outcome(encode, document)
    if isinstance(plainly, tuple):
        assert made == plainly
    else:
        assert repr(json.loads(encode(document))) == repr(json.loads(encode_plainly(document)))


@settings(max_examples=250, deadline=None)
@given(st.one_of(json_values.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20)), st.data())
@example(b'{"a": 1, "a": 2}', None)
@example(b"1e999", None)
@example(b"[" * 5000 + b"]" * 5000, None)
@example(b"9" * 5000, None)
@example(b'\xef\xbb\xbf{"a": 1}', None)
@example(b'"\\ud800\\u0061"', None)
@example(b" [1] \n", None)
def test_documents_are_read_as_the_standard_library_reads_them(payload, data):
    """Also those with a byte taken out, put in or changed."""
    if data is not None and payload:
        at, length = data.draw(st.integers(0, len(payload) - 1)), data.draw(st.integers(0, 1))
        put_in = data.draw(st.sampled_from([b"", b"\xff", b"1", b'"', b"\\", b" ", b"]"]))
        payload = payload[:at] + put_in + payload[at + length :]
    assert outcome(decode, payload) == outcome(decode_plainly, payload)
