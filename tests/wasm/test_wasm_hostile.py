"""Guests that do not keep to docs/abi.md: each breach has one named outcome, and none reaches the host."""

from __future__ import annotations

import gc
import os
import struct
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasm_guests import COPY, PRELUDE, Maker, batch, map_once, wasm

from flowrt.errors import FlowrtBug, GuestMisuse, GuestTrap
from flowrt.message import Tensor
from flowrt.wasm.engine import Engine
from flowrt.wasm.imports import HostFunction


def result(outputs: int, count: int) -> str:
    """A map whose `result` says so."""
    return map_once(f"""
      (i32.store (i32.const 0) (i32.const {outputs}))
      (i32.store (i32.const 4) (i32.const {count}))
      (i32.const 0)""")


def outputs(*rows: tuple[int, int, int, int]) -> str:
    """A map with these outputs: row, payload, size, head."""
    calls = " ".join(
        f"(call $out (i32.const {n}) {' '.join(f'(i32.const {number})' for number in row)})"
        for n, row in enumerate(rows)
    )
    return map_once(f"{calls} (call $result (i32.const {len(rows)}))")


END = 4 * 65536
MISUSE = {
    "a result outside memory": map_once("(i32.const -4)"),
    "a result at the last byte": map_once(f"(i32.const {END - 1})"),
    "outputs outside memory": result(END - 15, 1),
    "a payload outside memory": outputs((0, END, 1, 0)),
    "a payload whose end overflows": outputs((0, 0xFFFFFFF0, 0x20, 0)),
    "a payload that begins inside and ends outside": outputs((0, END - 1, 2, 0)),
    "a row beyond the batch": outputs((0, 0, 1, 0), (2, 0, 1, 0)),
    "a row of 2^32 - 1": outputs((0xFFFFFFFF, 0, 1, 0)),
    "rows that decrease": outputs((1, 0, 1, 0), (0, 0, 1, 0)),
    "a head outside memory": outputs((0, 0, 1, END - 8)),
    "a head without a size": outputs((0, 0, 1, 4096)),
    "a head of odd size": '(data (i32.const 4096) "\\41")' + outputs((0, 0, 1, 4096)),
    "a head larger than memory": '(data (i32.const 262080) "\\00\\01")' + outputs((0, 0, 1, 262080)),
    "a head with unknown flags": '(data (i32.const 4096) "\\40\\00\\00\\00\\02")' + outputs((0, 0, 1, 4096)),
    "a head whose topic ends outside": '(data (i32.const 4096) "\\40")(data (i32.const 4104) "\\3f\\00\\00\\00\\02")'
    + outputs((0, 0, 1, 4096)),
    "a head whose topic is not UTF-8": '(data (i32.const 4096) "\\48\\00\\00\\00\\00\\00\\00\\00\\40\\00\\00\\00\\01")'
    '(data (i32.const 4160) "\\ff")' + outputs((0, 0, 1, 4096)),
    "a head of 2^32 - 1 tensors": '(data (i32.const 4096) "\\40")(data (i32.const 4148) "\\ff\\ff\\ff\\ff")'
    + outputs((0, 0, 1, 4096)),
    "two mistakes at once": outputs((9, 0xFFFFFFF0, 0x20, 1), (0, END, 1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("body", MISUSE.values(), ids=MISUSE)
def test_a_breach_is_a_trap_of_kind_abi_and_the_guest_is_not_called_again(guest, body):
    made = guest(wasm(body))

    with pytest.raises(GuestMisuse) as caught:
        made.map(batch(b"a", b"b"))

    assert caught.value.kind == "abi"
    with pytest.raises(FlowrtBug):
        made.map(batch(b"a"))


@pytest.mark.parametrize("body", MISUSE.values(), ids=MISUSE)
def test_a_breach_in_a_batch_of_one_is_found_as_well(guest, body):
    with pytest.raises(GuestTrap) as caught:
        guest(wasm(body)).map(batch(b"a"))

    assert caught.value.kind in {"abi", "outputs"}


LIMITS = {
    "2^32 - 1 outputs": ("outputs", result(1024, 0xFFFFFFFF), {}),
    "more outputs of one message than allowed": ("outputs", outputs(*[(0, 0, 1, 0)] * 3), {"outputs": 2}),
    "more outputs at once than its memory": ("outputs", result(0, 4000), {"memory": "512Ki", "outputs": 4000}),
    "a payload larger than the node makes": ("size", outputs((0, 0, 101, 0), (1, 0, 1, 0)), {"message": 100}),
    "overlapping payloads larger than memory": ("size", outputs(*[(1, 0, 99_999, 0)] * 6), {"memory": "512Ki"}),
}


@pytest.mark.parametrize(("kind", "body", "resources"), LIMITS.values(), ids=LIMITS)
def test_a_limit_on_what_it_makes_has_its_own_kind(guest, kind, body, resources):
    with pytest.raises(GuestTrap) as caught:
        guest(wasm(body), **resources).map(batch(b"a", b"b"))

    assert caught.value.kind == kind


TRAPS = {
    "unreachable": "unreachable",
    "division by zero": "(i32.div_u (local.get $count) (i32.const 0))",
    "a wild load": "(i32.load (i32.const -4))",
    "an exhausted stack": "(call $deep)",
}


@pytest.mark.parametrize("code", TRAPS.values(), ids=TRAPS)
def test_a_trap_names_its_cause_and_where(guest, code):
    deep = "(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))"

    with pytest.raises(GuestTrap) as caught:
        guest(wasm(deep + map_once(code))).map(batch(b"a"))

    assert caught.value.kind == "trap"
    assert caught.value.detail.startswith(("wasm trap:", "memory fault"))
    assert "function" in caught.value.backtrace


SPIN = "(loop $forever (br $forever)) unreachable"


def test_an_endless_call_ends_at_its_deadline_and_never_before(guest):
    made = guest(wasm(map_once(SPIN)), deadline="100ms")
    began = time.monotonic()

    with pytest.raises(GuestTrap) as caught:
        made.map(batch(b"a"))

    assert caught.value.kind == "deadline"
    assert time.monotonic() - began >= 0.1


def test_an_overdue_guest_does_not_end_its_neighbours_call(engine):
    slow, quick = Maker(engine), Maker(engine)
    patient = slow(wasm(map_once(SPIN)), deadline="400ms")
    hasty = quick(wasm(map_once(SPIN)), deadline="50ms")
    kinds = []

    def run():
        began = time.monotonic()
        with pytest.raises(GuestTrap) as caught:
            patient.map(batch(b"a"))
        kinds.append((caught.value.kind, time.monotonic() - began >= 0.4))

    thread = threading.Thread(target=run)
    thread.start()
    with pytest.raises(GuestTrap):
        hasty.map(batch(b"a"))
    thread.join(30)

    assert kinds == [("deadline", True)]
    slow.close()
    quick.close()


def test_the_interpreter_keeps_deadlines_too():
    engine = Engine(interpreter=True)
    maker = Maker(engine)

    with pytest.raises(GuestTrap) as caught:
        maker(wasm(map_once(SPIN)), deadline="20ms").map(batch(b"a"))

    assert caught.value.kind == "deadline"
    maker.close()
    engine.close()


STARTS = {
    "an endless _initialize": ("deadline", COPY + f'(func (export "_initialize") {SPIN})'),
    "an endless init": ("deadline", COPY + f'(func (export "flowrt_init") (param i32 i32) (result i32) {SPIN})'),
    "an init that traps": ("init", COPY + '(func (export "flowrt_init") (param i32 i32) (result i32) unreachable)'),
    "an init that refuses": ("init", COPY + '(func (export "flowrt_init") (param i32 i32) (result i32) i32.const 7)'),
    "an init of another signature": (
        "abi",
        COPY + '(func (export "flowrt_init") (param i64) (result i32) unreachable)',
    ),
    "save without restore": ("abi", COPY + '(func (export "flowrt_save") (result i32) unreachable)'),
    "a start function that traps": ("init", COPY + "(func $start unreachable) (start $start)"),
}


@pytest.mark.parametrize(("kind", "body"), STARTS.values(), ids=STARTS)
def test_a_guest_that_does_not_come_up_is_a_trap_of_the_factory(guest, kind, body):
    with pytest.raises(GuestTrap) as caught:
        guest(wasm(body), deadline="50ms", properties=[("a", "b")])

    assert caught.value.kind == kind


PRELUDES = {
    "no memory": PRELUDE.replace('(memory (export "memory") 4)', "(memory 4)"),
    "no version": PRELUDE.replace('"flowrt_abi"', '"other"'),
    "another version": PRELUDE.replace("i32.const 1)\n", "i32.const 2)\n", 1),
    "no buffer": PRELUDE.replace('"flowrt_buffer"', '"other"'),
}


@pytest.mark.parametrize("prelude", PRELUDES.values(), ids=PRELUDES)
def test_a_module_without_the_abi_is_misuse(guest, prelude):
    with pytest.raises(GuestMisuse):
        guest(wasm(prelude=prelude))


BUFFERS = {
    "outside memory": ("abi", "(i32.const 0x7ffffff0)"),
    "at the very end": ("abi", f"(i32.const {END - 16})"),
    "not aligned": ("abi", "(i32.const 1028)"),
    "none": ("memory", "(i32.const 0)"),
}


@pytest.mark.parametrize(("kind", "address"), BUFFERS.values(), ids=BUFFERS)
def test_a_wild_buffer_is_never_written_to(guest, kind, address):
    prelude = PRELUDE.replace("(result i32) i32.const 131072", f"(result i32) {address}")

    with pytest.raises(GuestTrap) as caught:
        guest(wasm(prelude=prelude)).map(batch(b"a"))

    assert caught.value.kind == kind


def test_memory_beyond_the_quota_is_refused_to_the_guest(guest):
    body = map_once("""
      (i32.store (i32.const 64) (memory.grow (i32.const 4)))
      (i32.store (i32.const 68) (memory.grow (i32.const 1)))
      (call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 8) (i32.const 0))
      (call $result (i32.const 1))""")
    made = guest(wasm(body), memory="512Ki")

    assert made.map(batch(b"")).payloads == [b"\4\0\0\0\xff\xff\xff\xff"]


def test_a_guest_that_gives_up_for_want_of_memory_has_the_kind_memory(guest):
    body = map_once("(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) (i32.const 0)")

    with pytest.raises(GuestTrap) as caught:
        guest(wasm(body), memory="4Mi").map(batch(b""))

    assert caught.value.kind == "memory"


def test_a_module_that_asks_for_more_than_its_quota_does_not_start(guest):
    with pytest.raises(GuestTrap) as caught:
        guest(wasm(), memory="128Ki")

    assert caught.value.kind == "memory"


def test_fuel_ends_a_call_after_so_many_instructions_and_each_call_starts_anew(guest):
    made = guest(wasm(), fuel=5000)
    for _ in range(50):
        made.map(batch(b"a"))

    with pytest.raises(GuestTrap) as caught:
        guest(wasm(map_once(SPIN)), fuel=5000).map(batch(b"a"))

    assert caught.value.kind == "fuel"


FAIL = '(import "flowrt" "fail" (func $fail (param i32 i32 i32)))'
FAILS = {
    "a row beyond the batch": "(call $fail (i32.const 2) (i32.const 0) (i32.const 0))",
    "words outside memory": f"(call $fail (i32.const 0) (i32.const {END}) (i32.const 1))",
    "words that are not UTF-8": "(call $fail (i32.const 0) (i32.const 4096) (i32.const 1))",
    "an output all the same": "(call $fail (i32.const 0) (i32.const 0) (i32.const 0))",
}  # fmt: skip


@pytest.mark.parametrize("call", FAILS.values(), ids=FAILS)
def test_fail_is_checked(guest, call):
    body = '(data (i32.const 4096) "\\ff")' + map_once(f"""{call}
      (call $out (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $result (i32.const 1))""")

    with pytest.raises(GuestMisuse):
        guest(wasm(body, imports=FAIL)).map(batch(b"a", b"b"))


def test_fail_outside_a_batch_is_misuse(guest):
    body = COPY + '(func (export "_initialize") (call $fail (i32.const 0) (i32.const 0) (i32.const 0)))'

    with pytest.raises(GuestMisuse):
        guest(wasm(body, imports=FAIL))


@pytest.mark.parametrize("verdict", ["(i32.const 4096)", f"(i32.const {END - 1})"], ids=["a 2", "outside memory"])
def test_verdicts_are_checked(guest, verdict):
    body = f'(data (i32.const 4096) "\\00\\02") (func (export "flowrt_filter") (param i32 i32) (result i32) {verdict})'

    with pytest.raises(GuestMisuse):
        guest(wasm(body)).decide("filter", batch(b"", b""))


@pytest.mark.parametrize("span", ["(i32.const -8)", "(i32.const 4096)"], ids=["the span itself", "its data"])
def test_a_wild_state_is_misuse(guest, span):
    body = (
        COPY
        + f"""(data (i32.const 4096) "\\f0\\ff\\ff\\ff\\20\\00\\00\\00")
      (func (export "flowrt_save") (result i32) {span})
      (func (export "flowrt_restore") (param i32 i32) (result i32) (i32.const 1))"""
    )
    made = guest(wasm(body))

    with pytest.raises(GuestMisuse):
        made.save()


def test_a_refused_state_is_a_trap_of_kind_init(guest):
    body = (
        COPY
        + """
      (func (export "flowrt_save") (result i32) unreachable)
      (func (export "flowrt_restore") (param i32 i32) (result i32) (i32.const 1))"""
    )

    with pytest.raises(GuestTrap) as caught:
        guest(wasm(body)).restore(b"state")

    assert caught.value.kind == "init"


@pytest.mark.parametrize("payload", [b"abcd", b""])
def test_an_output_that_does_not_hold_the_declared_tensors_is_misuse(guest, payload):
    with pytest.raises(GuestMisuse):
        guest(wasm(), declared=(Tensor("y", "u8", (3,)),)).map(batch(b"abc", payload))


def test_an_exception_in_a_host_function_comes_out_as_its_cause(guest):
    def broken(_memory):
        raise KeyError("lost")

    code = wasm(map_once("(call $broken) (i32.const 0)"), imports='(import "door" "broken" (func $broken))')
    made = guest(code, extra=lambda: [HostFunction("door", "broken", (), (), broken)])

    with pytest.raises(GuestTrap) as caught:
        made.map(batch(b"a"))

    assert caught.value.kind == "internal"
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_bad_address_in_a_host_function_is_misuse(guest):
    code = wasm(
        map_once("(call $peek (i32.const -1)) (i32.const 0)"), imports='(import "door" "peek" (func $peek (param i32)))'
    )
    peek = HostFunction("door", "peek", ("i32",), (), lambda memory, at: memory.read(at, 8) and None)

    with pytest.raises(GuestMisuse):
        guest(code, extra=lambda: [peek]).map(batch(b"a"))


@settings(max_examples=100, deadline=None)
@given(
    data=st.binary(min_size=8, max_size=400),
    words=st.lists(st.integers(0, 600) | st.integers(0, 2**32 - 1), max_size=12),
)
def test_whatever_bytes_a_guest_shows_as_its_result_it_is_read_or_refused(engine, data, words):
    """The guest gives the address of its first payload, so that we choose what its result says."""
    maker = Maker(engine)
    made = maker(wasm(map_once("(i32.load offset=8 (local.get $in))")))
    # The payload of a batch of two without a head's texts lies behind two messages and the head.
    result = struct.pack(f"<{2 + len(words)}I", 131072 + 300, 2, *words) + data
    try:
        output = made.map(batch(result, b"second"))
    except GuestTrap:
        pass
    else:
        assert len(output.rows) == len(output.payloads)
        assert set(output.rows) <= {0, 1}
    finally:
        maker.close()


def test_hundreds_of_traps_leave_nothing_open(engine):
    gc.collect()  # what other tests have left must not end in the middle
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(200):
        maker = Maker(engine)
        made = maker(wasm(map_once("unreachable")))
        with pytest.raises(GuestTrap):
            made.map(batch(b"a"))
        maker.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert engine.watch.running == {}
