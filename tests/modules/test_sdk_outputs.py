"""What the SDKs make of outputs, heads, properties, texts and memory."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from guest_bench import Bench, make_batch

from flowrt.errors import GuestTrap
from flowrt.message import Head, Tensor


@pytest.fixture(params=["probe-c", "probe-rust"])
def probe(request: pytest.FixtureRequest, probes: dict[str, Path]) -> Path:
    return probes[request.param]


def test_one_message_becomes_many_with_heads_of_their_own(bench: Bench, probes: dict[str, Path]):
    given = Head("plant/1", properties=(("kept", "yes"),), correlation=b"\0\1", response_topic="back")

    output = bench.guest(probes["probe-c"]).map(make_batch([b"M\x03", b"M\x00", b"M\x01"], given))

    assert list(output.rows) == [0, 0, 0, 2]
    assert [head.topic for head in output.heads] == ["plant/1/-1", "plant/1/0", "plant/1/1", "plant/1/-1"]
    assert [head.properties for head in output.heads] == [
        (("kept", "yes"),), (("part", "x"), ("", "")), (("kept", "yes"),), (("kept", "yes"),),
    ]  # fmt: skip
    assert {(head.content_type, head.correlation, head.response_topic) for head in output.heads} == {
        ("text/plain", b"\0\1", "back")
    }


def test_rust_replaces_topic_and_properties(bench: Bench, probes: dict[str, Path]):
    given = Head("a", content_type="x/y", properties=(("gone", "1"),))

    output = bench.guest(probes["probe-rust"]).map(make_batch([b"M\x02"], given))

    assert [(head.topic, head.content_type, head.properties) for head in output.heads] == [
        ("other", "x/y", (("part", "x"), ("", "")))
    ] * 2


def test_more_outputs_than_messages_find_room(bench: Bench, probe: Path):
    output = bench.guest(probe).map(make_batch([b"M\xc8"] * 3))

    assert list(output.rows) == [0] * 200 + [1] * 200 + [2] * 200


def test_a_message_that_fails_takes_its_outputs_back(bench: Bench, probe: Path):
    output = bench.guest(probe).map(make_batch([b"M\x01", b"X", b"M\x01"]))

    assert list(output.rows) == [0, 2]
    assert output.errors == {1: "after three outputs" if "probe-c" in str(probe) else "after an output"}


def test_a_tensor_of_its_own_needs_no_declaration(bench: Bench, probes: dict[str, Path]):
    output = bench.guest(probes["probe-c"]).map(make_batch([b"N2.5"]))

    assert output.heads[0].tensors == (Tensor("number", "f64", (1,)),)
    assert output.payloads == [struct.pack("<d", 2.5)]


def test_a_tensor_is_found_behind_others(bench: Bench, probes: dict[str, Path]):
    tensors = (Tensor("a", "u8", (1,)), Tensor("b", "f32", (2, 2)), Tensor("c", "i64", (0,)))
    payload = b"S" + struct.pack("<4f", 1, 2, 3, 4)

    output = bench.guest(probes["probe-rust"]).map(make_batch([payload, payload[:-1]], Head("a", tensors=tensors)))

    assert output.payloads == [struct.pack("<f", 10), struct.pack("<f", -1)]


def test_the_first_of_equal_properties_is_read(bench: Bench, probes: dict[str, Path]):
    given = Head("a", properties=(("q", "0"), ("p", "1"), ("p", "2")))

    assert bench.guest(probes["probe-c"]).map(make_batch([b"P"], given)).payloads == [b"1"]


@pytest.mark.parametrize("text", ["", "plain", 'quote " slash \\ / tab \t nul \0', "ü€😀", "\x7f\x1f"])
def test_texts_are_read_and_written_as_json(bench: Bench, probes: dict[str, Path], text: str):
    questions = [b"T" + json.dumps(text, ensure_ascii=flag).encode() for flag in (True, False)]

    output = bench.guest(probes["probe-c"]).map(make_batch([*questions, b'T"\\ud800"', b"T1"]))

    assert [json.loads(payload) for payload in output.payloads] == [text, text]
    assert output.errors == {2: "no text", 3: "no text"}


def test_arrays_of_numbers_have_a_limit(bench: Bench, probes: dict[str, Path]):
    texts = [
        b"[]",
        b"[ 1 , -2.5e1 ]",
        b"[1,2,3,4,5,6,7,8]",
        b"[1,2,3,4,5,6,7,8,9]",
        b"[1,]",
        b"[1",
        b"[true]",
        b"7",
        b"[1e999]",
    ]

    output = bench.guest(probes["probe-c"]).map(make_batch([b"A" + text for text in texts]))

    values = [list(struct.unpack(f"<{len(payload) // 8}d", payload)) for payload in output.payloads]
    assert values == [[], [1, -25], [1, 2, 3, 4, 5, 6, 7, 8]]
    assert list(output.errors) == [3, 4, 5, 6, 7, 8]


def test_a_guest_that_finds_no_memory_fails_the_message_and_goes_on(bench: Bench, probes: dict[str, Path]):
    guest = bench.guest(probes["probe-c"], memory=2**20)
    big = b"T" + json.dumps("\0" * 60_000).encode()

    output = guest.map(make_batch([b"E", b"N1"]))
    assert (list(output.rows), output.errors) == ([1], {0: "the module is out of memory"})

    found = [guest.map(make_batch([big, big, b"N1"])) for _ in range(50)]
    assert {tuple(output.rows)[-1] for output in found} == {2}
    assert {words for output in found for words in output.errors.values()} <= {"the module is out of memory", "no text"}
    assert guest.memory_bytes() <= 2**20


@pytest.mark.parametrize("module", ["passthrough", "passthrough-rust"])
def test_memory_follows_the_largest_batch_and_not_the_number_of_batches(bench: Bench, module: str):
    guest = bench.guest(module)
    sizes = [1, 100_000, 5, 3000, 99_999, 64, 100_000]
    for size in sizes:
        guest.map(make_batch([bytes(size)]))
    before = guest.memory_bytes()

    for _ in range(1500):
        for size in sizes:
            guest.map(make_batch([bytes(size)]))

    assert guest.memory_bytes() == before
    assert before < 300_000


def test_a_panic_traps_and_says_where(bench: Bench, probes: dict[str, Path]):
    guest = bench.guest(probes["probe-rust"])

    with pytest.raises(GuestTrap):
        guest.map(make_batch([b"?"]))

    (line,) = bench.logged
    assert line.startswith("panicked at probe-rust.rs:")


def test_rust_filters_branches_and_keeps_state(bench: Bench, probes: dict[str, Path]):
    guest = bench.guest(probes["probe-rust"])
    heads = [Head("a", properties=(("arm", arm),)) for arm in ("True", "False")]

    assert guest.decide("filter", make_batch([b"yes", b"no", b"?"])) == (b"\1\0\0", {2: "neither yes nor no"})
    assert guest.decide("branch", make_batch([b"", b""], heads)) == (b"\1\0", {})
    guest.restore(b"\0\1")
    assert guest.save() == b"\0\1"
