"""The SDKs' JSON scanners agree with Python's `json` about every document, and about every number to the last bit."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from guest_bench import Bench, make_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.wasm.engine import Engine

Ask = Callable[[bytes, Sequence[bytes]], list[bytes | None]]


@pytest.fixture(scope="session", params=["probe-c", "probe-rust"])
def ask(request: pytest.FixtureRequest, engine: Engine, probes: dict[str, Path]) -> Iterator[Ask]:
    """`ask(what, questions)`: the guest's answers, None where it failed the question."""
    guest = Bench(engine).guest(probes[request.param])

    def answers(what: bytes, questions: Sequence[bytes]) -> list[bytes | None]:
        output = guest.map(make_batch([what + question for question in questions]))
        found = dict(zip(output.rows, output.payloads, strict=True))
        return [found.get(row) for row in range(len(questions))]

    yield answers
    guest.close()


def refuse(word: str) -> None:
    raise ValueError(word)


def expected(document: bytes) -> object:
    """What Python finds at "k", or `refuse` itself when it finds nothing."""
    try:
        value = json.loads(document.decode(), parse_constant=refuse)
    except ValueError:
        return refuse
    return value.get("k", refuse) if isinstance(value, dict) else refuse


def agree(ask: Ask, documents: Sequence[bytes]) -> None:
    for document, answer in zip(documents, ask(b"J", documents), strict=True):
        found = refuse if not answer else json.loads(answer)
        assert repr(found) == repr(expected(document)), document


TORTURE = [
    b'{"k":1}', b' \t\r\n{ "k" : 1 } \n', b'{"k":1}x', b'{"k":1', b'{"k":1,}', b'{"k" 1}', b"{k:1}", b'{"k":}', b"{,}",
    b'{"a":1,"k":2,"k":3}', b'{"\\u006b":4}', b'{"\\u006B":4}', b'{"\\k":1}', b'{"k\\u0000":1}', b'{"kk":1}',
    b'{"":1,"k":2}',
    b"", b" ", b"{}", b"[]", b"null", b'"k"', b'[{"k":1}]', b'{"a":{"k":1}}', b'{"a":[{"k":1}],"k":[[],{}]}',
    b"\xef\xbb\xbf{}",
    b'{"k":"\\ud83d\\ude00"}', b'{"k":"\\ud83d"}', b'{"k":"\\u12g4"}', b'{"k":"\\u123"}', b'{"k":"\\x"}', b'{"k":"\\"}',
    b'{"k":"\x00"}', b'{"k":"\x1f"}', b'{"k":"\x7f"}', b'{"k":"a\nb"}', b'{"k":"\\"}","k":2}', b'{"k":"}","a":[1,"]"]}',
    b'{"k":tru}', b'{"k":true}', b'{"k":nulll}', b'{"k":NaN}', b'{"k":Infinity}', b'{"k":-Infinity}', b'{"k":True}',
    b'{"k":01}', b'{"k":-0}', b'{"k":-}', b'{"k":+1}', b'{"k":.5}', b'{"k":5.}', b'{"k":1e}', b'{"k":1e+}',
    b'{"k":1E-2}',
    b'{"k":0x1}', b'{"k":1 2}', b'{"k":[1,]}', b'{"k":[,1]}', b'{"k":[1 2]}', b'{"k":{"a":1,}}', b'{"k":[}',
    b'{"k":{]}',
    '{"k":"ü€😀"}'.encode(), b'{"k":"\xff"}', b'{"k":"\xc0\x80"}', b'{"k":"\xed\xa0\x80"}', b'{"k":"\xf4\x90\x80\x80"}',
    b'{"k":"\xe2\x82"}', b'{"k":"\xf0\x80\x80\x80"}', b'{"k":"\xc3', b'{"k":1}\x00', b'{"k":/**/1}', b"{'k':1}",
]  # fmt: skip


def test_torture(ask: Ask):
    agree(ask, TORTURE)


def test_every_truncation_and_every_changed_byte_of_a_document(ask: Ask):
    document = '{"a":[1,-2.5e3,{"k":null}],"k":"ü\\n\\u00e9","b":true}'.encode()
    damaged = [document[:at] for at in range(len(document))]
    for byte in b'"\\{}[],:0e-\x80\xc3\x00n ':
        damaged += [document[:at] + bytes([byte]) + document[at + 1 :] for at in range(len(document))]

    agree(ask, damaged)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("kabc") | st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(value=st.dictionaries(st.sampled_from("kkab"), JSON_VALUES), ascii_only=st.booleans(), data=st.data())
def test_random_documents_whole_and_damaged(ask: Ask, value: dict, ascii_only: bool, data: st.DataObject):
    document = json.dumps(value, ensure_ascii=ascii_only, indent=data.draw(st.sampled_from([None, 1]))).encode()
    at = data.draw(st.integers(0, len(document)))
    junk = data.draw(st.binary(max_size=3))

    agree(ask, [document, document[:at] + junk + document[at:], document[:at] + junk + document[at + 1 :]])


@settings(max_examples=100, deadline=None)
@given(documents=st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_random_bytes(ask: Ask, documents: list[bytes]):
    agree(ask, [*documents, *(b'{"k":' + document + b"}" for document in documents)])


def test_nesting_ends_at_64(ask: Ask):
    def nested(depth: int) -> bytes:
        return b'{"k":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    documents = [nested(64), nested(65), nested(10_000), b'{"k":' + b"[" * 5000]

    assert [answer is not None for answer in ask(b"J", documents)] == [True, False, False, False]


def same_numbers(ask: Ask, texts: Sequence[str]) -> None:
    answers = ask(b"N", [text.encode() for text in texts])
    for text, answer in zip(texts, answers, strict=True):
        value = float(text)
        assert answer == (struct.pack("<d", value) if math.isfinite(value) else None), text


EDGES = [
    "0", "-0", "0.0", "-0.0e5", "1", "-1", "0.1", "123456789012345678", "9007199254740993", "9007199254740992.5",
    "1e22", "1e23", "-1e-22", "8.5e-23", "1e308", "1.7976931348623157e308", "1.7976931348623158e308",
    "1.7976931348623159e308",
    "1e309", "-1e309", "1e999999999999999999999", "1e-999999999999999999999", "5e-324", "2.4703282292062327e-324",
    "2.4703282292062328e-324", "2.5e-324", "2.2250738585072011e-308", "2.2250738585072014e-308", "4.9e-324", "1e-400",
    "0.500000000000000166533453693773481063544750213623046875", "3.518437208883201171875e13",
    "179769313486231580793e289",
    "100000000000000016777215", "100000000000000016777216", "0." + "0" * 400 + "1e401", "1" + "0" * 400 + "e-400",
    "9007199254740993." + "0" * 900 + "1", "9007199254740993." + "0" * 900, "1." + "1" * 2000, "0." + "9" * 800,
]  # fmt: skip


def test_numbers_at_the_edges_of_a_double(ask: Ask):
    same_numbers(ask, EDGES)


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_doubles_and_the_middles_between_them(ask: Ask, values: list[float]):
    from decimal import Decimal, localcontext

    texts = []
    with localcontext() as context:
        context.prec = 1200
        for value in values:
            middle = (Decimal(value) + Decimal(math.nextafter(value, 0))) / 2
            texts += [repr(value), f"{value:.25e}", f"{middle:f}", f"{middle:f}1" if "." in f"{middle:f}" else "0"]

    same_numbers(ask, texts)


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.integers(0, 10**25), st.integers(0, 30), st.integers(-400, 400)), min_size=1, max_size=30
    )
)
def test_digits_with_points_and_exponents(ask: Ask, values: list[tuple[int, int, int]]):
    texts = []
    for digits, point, exponent in values:
        text = str(digits).zfill(point + 1)
        fraction = f".{text[len(text) - point :]}" if point else ""
        texts.append(f"{text[: len(text) - point].lstrip('0') or '0'}{fraction}e{exponent}")

    same_numbers(ask, texts)


def same_format(ask: Ask, values: Sequence[float], digits: int) -> None:
    answers = ask(b"F", [bytes([digits]) + struct.pack("<d", value) for value in values])
    for value, answer in zip(values, answers, strict=True):
        assert answer == (b"%.*g" % (digits, value) if math.isfinite(value) else b"null"), value


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(), min_size=1, max_size=30), digits=st.integers(1, 17))
def test_numbers_are_written_as_c_writes_them(ask: Ask, values: list[float], digits: int):
    same_format(ask, values, digits)


@pytest.mark.parametrize("digits", [1, 2, 6, 15, 16, 17])
def test_ties_powers_of_ten_and_extremes_are_written_exactly(ask: Ask, digits: int):
    powers = [10.0**power for power in range(-323, 309)]
    near = [math.nextafter(power, towards) for power in powers for towards in (0, math.inf)]
    ties = [0.5, 1.5, 2.5, 0.125, 1.0000005, 0.15, 1e22, 2.5e-7, 123456.5, 999999.5, 0.00099999995, 9.9999995, 4.5e15]
    extremes = [0.0, -0.0, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, math.inf, -math.inf, math.nan, -1.5]

    same_format(ask, [*powers, *near, *ties, *extremes], digits)
