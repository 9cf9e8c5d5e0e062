"""The structs of docs/abi.md: what is written is what a guest reads, and whatever a guest writes is read or refused."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from flowrt.message import TENSOR_BYTES, Batch, Head, Tensor
from flowrt.wasm import frame
from flowrt.wasm.frame import BadFrame, Bounds
from flowrt.wasm.imports import BadAddress
from flowrt.wasm.memory import LinearMemory

TEXT = st.text(max_size=12)
TENSORS = st.builds(
    Tensor, TEXT, st.sampled_from(sorted(TENSOR_BYTES)), st.lists(st.integers(0, 9), max_size=4).map(tuple)
)
HEADS = st.builds(
    Head,
    topic=st.text(min_size=1, max_size=12),
    content_type=st.none() | st.text(min_size=1, max_size=12),
    properties=st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
    response_topic=st.none() | st.text(min_size=1, max_size=12),
    correlation=st.none() | st.binary(min_size=1, max_size=12),
    tensors=st.lists(TENSORS, max_size=3).map(tuple),
)
REPLACE_PROPERTIES = struct.pack("<I", 1)


def attributes(head: Head) -> tuple[object, ...]:
    return (head.topic, head.content_type, head.properties, head.response_topic, head.correlation, head.tensors)


@given(HEADS)
def test_a_head_is_read_back_as_it_was_written(head):
    blob = frame.pack_head(head)
    as_output = blob[:4] + REPLACE_PROPERTIES + blob[8:]

    assert int.from_bytes(blob[:4], "little") == len(blob)
    assert len(blob) % 8 == 0
    assert attributes(frame.unpack_head(as_output, Head("t"))) == attributes(head)


@given(
    st.lists(
        st.tuples(st.binary(max_size=40) | st.just(b"x" * 5000), st.integers(0, 2**64 - 1), st.integers(0, 2)),
        min_size=1,
        max_size=20,
    )
)
def test_a_batch_is_read_back_as_it_was_written(rows):
    payloads, times, head_of = map(list, zip(*rows, strict=True))
    heads = [b"<first->", b"<second-head->..", b"<third->"]
    batch = Batch([], payloads, times, [], range(len(rows)))
    memory, base = memoryview(bytearray(200_000)), 16

    frame.write_frame(memory, base, batch, heads, head_of, list(map(len, payloads)))

    found = [struct.unpack_from("<QIIII", memory, base + 24 * i) for i in range(len(rows))]
    assert [time for time, *_ in found] == times
    assert [bytes(memory[at : at + size]) for _, at, size, _, _ in found] == payloads
    if len(rows) > 1:
        assert [bytes(memory[at : at + len(heads[h])]) for (*_, at, _), h in zip(found, head_of, strict=True)] == [
            heads[h] for h in head_of
        ]


def test_a_very_large_batch_with_one_head_is_written():
    batch = Batch([], [b"ab"] * 3000, list(range(3000)), [], range(3000))
    memory = memoryview(bytearray(3000 * 26 + 8))

    frame.write_frame(memory, 0, batch, [b"<-head->"], None, [2] * 3000)

    assert struct.unpack_from("<QIIII", memory, 24 * 2999) == (2999, 3000 * 24 + 8 + 2 * 2999, 2, 72000, 0)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=30)), max_size=12).map(
        lambda made: sorted(made, key=lambda m: m[0])
    ),
    st.integers(0, 40),
)
def test_a_result_is_read_back_as_a_guest_wrote_it(made, gap):
    memory, at = bytearray(8192), 4096
    struct.pack_into("<II", memory, 0, 64, len(made))
    for i, (row, payload) in enumerate(made):
        struct.pack_into("<4I", memory, 64 + 16 * i, row, at, len(payload), 0)
        memory[at : at + len(payload)] = payload
        at += len(payload) + gap
    linear = LinearMemory(lambda: memoryview(memory))

    rows, payloads, heads, size = frame.read_result(linear.room, 0, 6, Bounds(1000, 12, 100_000))

    assert [*zip(rows, payloads, strict=True)] == made
    assert size == sum(len(payload) for _, payload in made)
    assert heads is None


@given(st.binary(min_size=64, max_size=256), st.integers(0, 300), st.integers(1, 5))
def test_any_bytes_are_a_result_or_a_refusal(memory, address, count):
    linear = LinearMemory(lambda: memoryview(bytearray(memory)))
    try:
        rows, payloads, _, size = frame.read_result(linear.room, address, count, Bounds(100, 4, 10_000))
    except (BadFrame, BadAddress):
        return
    assert len(rows) == len(payloads)
    assert size == sum(map(len, payloads))
    assert all(0 <= row < count for row in rows)


@given(st.binary(min_size=64, max_size=256))
def test_any_bytes_are_a_head_or_a_refusal(blob):
    try:
        head = frame.unpack_head(blob, Head("t"))
    except BadFrame:
        return
    assert isinstance(head.topic, str)


@given(HEADS, st.data())
def test_a_damaged_head_is_a_head_or_a_refusal(head, data):
    blob = bytearray(frame.pack_head(head))
    field = data.draw(st.integers(1, 13))
    struct.pack_into("<I", blob, 4 * field, data.draw(st.integers(0, 2**32 - 1) | st.integers(0, len(blob))))
    try:
        frame.unpack_head(bytes(blob), Head("t"))
    except BadFrame:
        return
