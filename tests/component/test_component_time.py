"""`accumulate` and `delay` of operator components: what they are given, and what becomes of what they give."""

import pytest
from component_guests import HEAD, TIME, batch, component

from flowrt.errors import NodeFault
from flowrt.message import Message

COUNT = """
  (local.set $at (call $alloc (i32.const 16)))
  (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.load offset=132 (local.get $model))))
  (i32.store8 offset=1 (local.get $at) (i32.const 47))
  (memory.copy (i32.add (local.get $at) (i32.const 2))
    (i32.load offset=80 (local.get $model)) (i32.load offset=84 (local.get $model)))
  (i32.store offset=84 (local.get $model) (i32.add (i32.const 2) (i32.load offset=84 (local.get $model))))
  (i32.store offset=80 (local.get $model) (local.get $at))
  (call $ok (local.get $model))
"""
"""Puts the number of messages and a slash before what is staged: `4/…`."""
LAST = """
  (if (i32.eqz (i32.load8_u offset=76 (local.get $model))) (then (call $drop (i32.load offset=80 (local.get $model)))))
  (call $ok (i32.add (i32.load offset=128 (local.get $model))
    (i32.mul (i32.const 128) (i32.sub (i32.load offset=132 (local.get $model)) (i32.const 1)))))
"""
"""Gives the last message of the list back, and lets go of what is staged."""
REFUSE = "(call $fail (i32.const 0) (i32.const 0))"
SECOND_LATER = """
  (local.set $at (call $alloc (i32.const 40)))
  (i32.store8 (local.get $at) (i32.const 0))
  (memory.copy (i32.add (local.get $at) (i32.const 8))
    (i32.add (local.get $model) (i32.const 128)) (i32.const 32))
  (i64.store offset=8 (local.get $at) (i64.add (i64.const 1) (i64.load offset=8 (local.get $at))))
  (local.get $at)
"""


def staged(payload: bytes = b"") -> Message:
    return Message(HEAD, payload, TIME)


def test_a_fold_is_given_what_is_staged_and_a_list(guest):
    made_of = guest(component({"accumulate": COUNT}), "accumulate")

    made = made_of.accumulate(staged(), batch(b"a", b"b", b"c", b"d"))
    again = made_of.accumulate(made, batch(b"e"))

    assert (made.payload, again.payload) == (b"4/", b"1/4/")
    assert again.head is HEAD
    assert again.time == TIME


@pytest.mark.parametrize("size", [1, 128, 129, 600_000])
def test_a_fold_that_gives_a_message_of_its_list_back_gives_the_same_bytes(guest, size):
    made_of = guest(component({"accumulate": LAST}), "accumulate")
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)

    assert made_of.accumulate(staged(b"x" * size), batch(b"first", payload)).payload == payload


def test_a_fold_that_is_refused_raises_and_the_instance_goes_on(guest):
    made_of = guest(component({"accumulate": REFUSE}), "accumulate")

    for _ in range(2):
        with pytest.raises(NodeFault, match="no reason given") as caught:
            made_of.accumulate(staged(), batch(b"a"))
        assert caught.value.kind == "error"


def test_a_fold_that_gives_a_large_message_on_for_long_holds_no_buffers(guest):
    made_of = guest(component({"accumulate": LAST}), "accumulate")

    made = staged()
    for _ in range(500):
        made = made_of.accumulate(made, batch(bytes(200_000)))

    assert len(made.payload) == 200_000


def test_a_delay_is_given_the_logical_time_and_gives_another(guest):
    made_of = guest(component({"delay": SECOND_LATER}), "delay")

    times, errors = made_of.delay(batch(b"a", b"b" * 1000))

    assert list(times) == [TIME + (1000 << 20)] * 2
    assert errors == {}


def test_a_delay_that_refuses_names_the_row(guest):
    made_of = guest(component({"delay": REFUSE}), "delay")

    assert made_of.delay(batch(b"a"))[1] == {0: "no reason given"}
