"""Core-module guests that keep to docs/abi.md."""

from __future__ import annotations

import struct

import pytest
from wasm_guests import COPY, PRELUDE, TOPIC, batch, map_once, wasm

from flowrt.errors import FlowrtBug, NodeFault
from flowrt.message import Head, Tensor
from flowrt.wasm.engine import Engine
from flowrt.wasm.imports import HostFunction


def test_a_pass_through_gives_every_payload_and_no_heads(guest):
    output = guest(wasm()).map(batch(b"one", b"", b"three" * 100))

    assert (output.rows, output.payloads) == (range(3), [b"one", b"", b"three" * 100])
    assert output.heads is None
    assert output.errors == {}


def test_an_empty_batch_never_reaches_the_guest(guest):
    assert guest(wasm(map_once("unreachable"))).map(batch()).rows == range(0)


def test_large_payloads_are_carried_one_by_one_and_divided_over_calls(guest):
    room_to_grow = PRELUDE.replace('"memory") 4', '"memory") 64')
    payloads = [bytes([i]) * 100_000 for i in range(30)]

    output = guest(wasm(prelude=room_to_grow), memory="4Mi").map(batch(*payloads))

    assert (output.rows, output.payloads) == (range(30), payloads)


def test_many_topics_in_a_batch_reach_the_guest_each_with_its_own_head(guest):
    topic_out = map_once("""
      (local $i i32) (local $head i32)
      (loop $next (if (i32.lt_u (local.get $i) (local.get $count)) (then
        (local.set $head (i32.load offset=16 (local.get $in)))
        (call $out (local.get $i) (local.get $i)
          (i32.add (local.get $head) (i32.load offset=8 (local.get $head)))
          (i32.load offset=12 (local.get $head)) (i32.const 0))
        (local.set $in (i32.add (local.get $in) (i32.const 24)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
      (call $result (local.get $count))""")
    a, b = Head("a"), Head("b/ü")

    output = guest(wasm(topic_out)).map(batch(b"", b"", b"", heads=[a, b, a]))

    assert output.payloads == [b"a", "b/ü".encode(), b"a"]
    assert output.heads is None


def test_a_filter_and_a_branch_give_a_byte_a_row(guest):
    body = """
      (data (i32.const 64) "\\00\\01\\01\\00")
      (func (export "flowrt_filter") (param i32 i32) (result i32) i32.const 64)
      (func (export "flowrt_branch") (param i32 i32) (result i32) i32.const 66)"""
    made = guest(wasm(body))

    assert made.decide("filter", batch(b"", b"", b"")) == (b"\0\1\1", {})
    assert made.decide("branch", batch(b"", b"")) == (b"\1\0", {})


def test_rows_may_be_left_out_and_become_several(guest):
    body = map_once("""
      (call $out (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $out (i32.const 1) (i32.const 2) (i32.const 1024) (i32.const 4) (i32.const 0))
      (call $out (i32.const 2) (i32.const 2) (i32.const 1040) (i32.const 4) (i32.const 0))
      (call $result (i32.const 3))""")

    output = guest(wasm(body)).map(batch(b"a", b"b", b"c"))

    assert (list(output.rows), output.payloads) == ([0, 2, 2], [b"", b"\0\0\0\0", b"\2\0\0\0"])


def test_a_guest_may_leave_everything_out(guest):
    output = guest(wasm(map_once("(call $result (i32.const 0))"))).map(batch(b"a"))

    assert (list(output.rows), list(output.payloads)) == ([], [])


FAIL = '(import "flowrt" "fail" (func $fail (param i32 i32 i32)))'


def test_a_failed_row_comes_back_with_the_guests_words(guest):
    body = """(data (i32.const 64) "too cold")""" + map_once("""
      (call $fail (i32.const 1) (i32.const 64) (i32.const 8))
      (call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 3) (i32.const 0))
      (call $result (i32.const 1))""")
    made = guest(wasm(body, imports=FAIL))

    for _ in range(2):
        output = made.map(batch(b"a", b"b"))
        assert (list(output.rows), output.payloads, output.errors) == ([0], [b"too"], {1: "too cold"})


def test_a_divided_batch_fails_the_rows_it_should(guest):
    body = map_once("""
      (if (i32.eq (i32.load8_u (i32.load offset=8 (local.get $in))) (i32.const 120))
        (then (call $fail (i32.const 0) (i32.const 0) (i32.const 0)) (return (call $result (i32.const 0)))))
      (call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 0))
      (call $result (i32.const 1))""")
    large = 70_000

    output = guest(wasm(body, imports=FAIL), memory="512Ki").map(batch(b"a" * large, b"x" * large))

    assert (list(output.rows), output.errors) == ([0], {1: ""})


def test_the_byte_of_a_failed_row_is_ignored(guest):
    body = """(data (i32.const 64) "\\01\\ff")
      (func (export "flowrt_filter") (param i32 i32) (result i32)
        (call $fail (i32.const 1) (i32.const 64) (i32.const 0)) (i32.const 64))"""

    assert guest(wasm(body, imports=FAIL)).decide("filter", batch(b"", b"")) == (b"\1\0", {1: ""})


def head_bytes(*, flags=0, topic=b"", content_type=b"", properties=(), tensors=()) -> bytes:
    """A guest's head, laid out as docs/abi.md says: texts first, then properties, then tensors."""
    data, at = b"", 64

    def put(part: bytes) -> tuple[int, int]:
        nonlocal data
        data += part
        return at + len(data) - len(part), len(part)

    texts = [*put(topic), *put(content_type), 0, 0, 0, 0]
    pairs = b"".join(struct.pack("<4I", *put(key), *put(value)) for key, value in properties)
    kinds = b"".join(
        struct.pack("<5I", *put(name), kind, len(dims), put(struct.pack(f"<{len(dims)}i", *dims))[0])
        for name, kind, dims in tensors
    )
    fields = [*texts, put(pairs)[0], len(properties), put(kinds)[0], len(tensors), 0, 0]
    data += bytes(-len(data) % 8)
    return struct.pack("<16I", 64 + len(data), flags, *fields) + data


def with_head(head: bytes, size: int = 4) -> bytes:
    text = "".join(f"\\{byte:02x}" for byte in head)
    return wasm(
        f'(data (i32.const 4096) "{text}")'
        + map_once(
            f"(call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const {size}) (i32.const 4096)) "
            "(call $result (i32.const 1))"
        )
    )


def test_an_output_with_a_head_of_its_own_replaces_what_the_head_says(guest):
    made = guest(with_head(head_bytes(flags=1, topic=b"out", properties=[(b"k", b"v")])))

    [head] = made.map(batch(b"x")).heads

    assert head == head
    assert (head.topic, head.content_type, head.properties) == ("out", "text/plain", (("k", "v"),))


def test_an_empty_head_keeps_all_but_the_tensors(guest):
    given = TOPIC.with_(tensors=(Tensor("x", "u8", (1,)),))

    [head] = guest(with_head(head_bytes())).map(batch(b"x", head=given)).heads

    assert (head.topic, head.properties, head.tensors) == (TOPIC.topic, TOPIC.properties, ())


def test_a_head_may_describe_the_tensors_of_its_payload(guest):
    made = guest(with_head(head_bytes(tensors=[(b"score", 1, (1,))])))

    [head] = made.map(batch(b"x")).heads

    assert head.tensors == (Tensor("score", "f32", (1,)),)


def test_outputs_without_heads_hold_what_the_module_declares_and_heads_stay_shared(guest):
    declared = (Tensor("y", "u8", (3,)),)
    made = guest(wasm(), declared=declared)

    first, second = made.map(batch(b"abc", b"def")).heads
    [again] = made.map(batch(b"ghi")).heads

    assert first.tensors == declared
    assert first is second is again


STATE = """
  (global $n (mut i32) (i32.const 0))
  (func (export "flowrt_save") (result i32)
    (i32.store (i32.const 16) (global.get $n))
    (i32.store (i32.const 8) (i32.const 16)) (i32.store (i32.const 12) (i32.const 4)) (i32.const 8))
  (func (export "flowrt_restore") (param $at i32) (param $size i32) (result i32)
    (global.set $n (i32.load (local.get $at)))
    (i32.ne (local.get $size) (i32.const 4)))
""" + map_once("""
  (global.set $n (i32.add (global.get $n) (local.get $count)))
  (i32.store (i32.const 20) (global.get $n))
  (call $out (i32.const 0) (i32.const 0) (i32.const 20) (i32.const 4) (i32.const 0))
  (call $result (i32.const 1))""")


def test_state_saved_from_one_instance_goes_on_in_another(guest):
    first, second = guest(wasm(STATE)), guest(wasm(STATE))
    first.map(batch(b"", b"", b""))

    second.restore(first.save())

    assert second.map(batch(b"")).payloads == [struct.pack("<I", 4)]
    assert guest(wasm()).save() is None


def test_init_gets_the_properties_and_initialize_comes_first(guest):
    body = (
        COPY
        + """
      (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 1)))
      (func (export "flowrt_init") (param $p i32) (param $n i32) (result i32)
        (if (i32.eqz (global.get $ready)) (then unreachable))
        (call $log (i32.const 2) (i32.load (local.get $p)) (i32.load offset=4 (local.get $p)))
        (call $log (i32.const 3) (i32.load offset=24 (local.get $p)) (i32.load offset=28 (local.get $p)))
        (i32.ne (local.get $n) (i32.const 2)))"""
    )
    code = wasm(body, imports='(import "flowrt" "log" (func $log (param i32 i32 i32)))')

    guest(code, properties=(("threshold", "3.5"), ("unit", "°C")))

    assert guest.logged() == [("info", "threshold"), ("warning", "°C")]


def test_host_functions_of_others_see_the_memory_and_every_type(guest):
    def mix(memory, a, b, c, d):
        memory.write(64, b"seen")
        return a + b + int(c) + int(d)

    imports = '(import "door" "mix" (func $mix (param i32 i64 f32 f64) (result i64)))'
    body = map_once("""
      (i64.store (i32.const 72) (call $mix (i32.const -1) (i64.const -1) (f32.const 2.5) (f64.const 4)))
      (call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 16) (i32.const 0))
      (call $result (i32.const 1))""")
    door = HostFunction("door", "mix", ("i32", "i64", "f32", "f64"), ("i64",), mix)

    output = guest(wasm(body, imports=imports), extra=lambda: [door]).map(batch(b""))

    total = (2**32 - 1 + 2**64 - 1 + 6) % 2**64
    assert output.payloads == [b"seen" + bytes(4) + struct.pack("<Q", total)]


def test_memory_that_grew_is_seen_at_the_next_address_in_it(guest):
    body = map_once("""
      (drop (memory.grow (i32.const 1)))
      (i32.store (i32.const 262144) (i32.const 7))
      (call $out (i32.const 0) (i32.const 0) (i32.const 262144) (i32.const 4) (i32.const 0))
      (call $result (i32.const 1))""")
    made = guest(wasm(body))

    assert made.map(batch(b"")).payloads == [b"\7\0\0\0"]
    assert made.memory_bytes() == 5 * 65536


def test_a_payload_larger_than_the_node_takes_is_a_fault_that_leaves_the_guest_sound(guest):
    made = guest(wasm(), message=8)

    with pytest.raises(NodeFault) as caught:
        made.map(batch(b"x", b"x" * 9))

    assert caught.value.kind == "size"
    assert made.map(batch(b"x")).payloads == [b"x"]


def test_entries_that_a_module_lacks_are_our_mistake_by_now(guest):
    with pytest.raises(FlowrtBug):
        guest(wasm()).decide("filter", batch(b"x"))


def test_the_interpreter_runs_the_same_guest():
    from wasm_guests import Maker

    engine = Engine(interpreter=True)
    maker = Maker(engine)
    assert maker(wasm()).map(batch(b"x", b"y")).payloads == [b"x", b"y"]
    maker.close()
    engine.close()


def test_closing_twice_is_safe(guest):
    made = guest(wasm())
    made.close()
    made.close()
    with pytest.raises(FlowrtBug):
        made.map(batch(b"x"))
