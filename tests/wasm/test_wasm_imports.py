"""What a guest may import: the log, and WASI that grants little."""

from __future__ import annotations

import struct

import pytest
from wasm_guests import COPY, batch, map_once, wasm

from flowrt.errors import GuestMisuse, GuestTrap
from flowrt.wasm.wasi import Wasi

LOG = '(import "flowrt" "log" (func $log (param i32 i32 i32)))'


def wasi(name: str, parameters: str, results: str = "(result i32)") -> str:
    return f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {parameters}) {results}))'


def errno_of(call: str) -> str:
    """A map that gives the errno of `call` and the eight bytes at 64."""
    return map_once(f"""
      (i32.store (i32.const 60) {call})
      (call $out (i32.const 0) (i32.const 0) (i32.const 60) (i32.const 12) (i32.const 0))
      (call $result (i32.const 1))""")


def test_log_lines_are_bounded_a_second_and_the_rest_counted(guest):
    body = '(data (i32.const 4096) "hi")' + map_once("""
      (loop $again
        (call $log (i32.const 4) (i32.const 4096) (i32.const 2))
        (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
      (call $result (i32.const 0))""")
    factory = guest.factory(wasm(body, imports=LOG), log_lines=2)
    made = factory()

    made.map(batch(b"", b"", b"", b"", b""))
    guest.now += 1.0
    made.map(batch(b""))
    made.close()

    line = ("error", "hi")
    assert guest.logged() == [line, line, ("warning", "3 log lines were left out"), line]
    assert factory.log.left_out == 3


def test_a_long_text_is_cut_between_characters(guest):
    body = map_once("""
      (memory.fill (i32.const 4096) (i32.const 65) (i32.const 8191))
      (i32.store (i32.const 12287) (i32.const 0xa9c3))
      (call $log (i32.const 9) (i32.const 4096) (i32.const 8193))
      (call $result (i32.const 0))""")

    guest(wasm(body, imports=LOG)).map(batch(b""))

    assert guest.logged() == [("error", "A" * 8191)]


@pytest.mark.parametrize("call", ["(i32.const 4096) (i32.const 1)", "(i32.const -1) (i32.const 2)"])
def test_a_text_that_is_no_text_is_misuse(guest, call):
    body = f'(data (i32.const 4096) "\\ff") {map_once(f"(call $log (i32.const 1) {call}) (i32.const 0)")}'

    with pytest.raises(GuestMisuse):
        guest(wasm(body, imports=LOG)).map(batch(b""))


def test_standard_output_and_error_become_log_lines_also_without_an_end(guest):
    body = """(data (i32.const 4096) "one\\r\\ntwo\\nthr\\ff")
      (data (i32.const 4128) "\\00\\10\\00\\00\\07\\00\\00\\00\\07\\10\\00\\00\\06\\00\\00\\00")"""
    body += errno_of("(call $fd_write (i32.const 2) (i32.const 4128) (i32.const 2) (i32.const 64))")
    made = guest(wasm(body, imports=wasi("fd_write", "i32 i32 i32 i32")))

    assert made.map(batch(b"")).payloads == [struct.pack("<III", 0, 13, 0)]
    made.close()

    assert guest.logged() == [("warning", "one"), ("warning", "two"), ("warning", "thr\N{REPLACEMENT CHARACTER}")]


@pytest.mark.parametrize(
    ("call", "errno"),
    [
        ("(call $fd_write (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 64))", 8),
        ("(call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 64))", 21),
        ("(call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 64))", 28),
    ],
)
def test_a_wild_write_is_answered_and_not_trapped(guest, call, errno):
    made = guest(wasm(errno_of(call), imports=wasi("fd_write", "i32 i32 i32 i32")))

    assert made.map(batch(b"")).payloads[0][:4] == struct.pack("<I", errno)


def test_what_is_not_granted_fails_with_errno_76_and_is_counted_over_instances(guest):
    body = errno_of("(call $random_get (i32.const 64) (i32.const 8))")
    factory = guest.factory(wasm(body, imports=wasi("random_get", "i32 i32")))

    for _ in range(2):
        made = factory()
        assert made.map(batch(b"")).payloads == [struct.pack("<IQ", 76, 0)]
        made.close()

    assert factory.denied == {"random_get": 2}


def test_grants_open_the_clock_and_random_numbers(guest):
    clock = errno_of("(call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 64))")
    random = errno_of("(call $random_get (i32.const 64) (i32.const 8))")

    [now] = guest(wasm(clock, imports=wasi("clock_time_get", "i32 i64 i32")), grants=["clock"]).map(batch(b"")).payloads
    [number] = guest(wasm(random, imports=wasi("random_get", "i32 i32")), grants=["random"]).map(batch(b"")).payloads

    assert struct.unpack("<IQ", now)[0] == 0
    assert struct.unpack("<IQ", now)[1] > 10**18
    assert struct.unpack("<IQ", number)[0] == 0
    assert struct.unpack("<IQ", number)[1] != 0


def test_proc_exit_is_a_trap(guest):
    imports = wasi("proc_exit", "i32", "")

    with pytest.raises(GuestTrap) as caught:
        guest(wasm(map_once("(call $proc_exit (i32.const 3)) (i32.const 0)"), imports=imports)).map(batch(b""))

    assert (caught.value.kind, caught.value.detail) == ("trap", "the guest ended itself with status 3")


def test_every_function_of_wasi_links_with_its_own_signature(guest):
    functions = Wasi([], lambda _severity, _text: None, [].append).functions()
    imports = "".join(
        f'(import "{f.module}" "{f.name}" (func (param {" ".join(f.params)}) (result {" ".join(f.results)})))'
        for f in functions
    )

    assert len(functions) == 46
    assert guest(wasm(imports=imports)).map(batch(b"x")).payloads == [b"x"]


def test_an_import_that_nobody_offers_is_a_trap_of_kind_init(guest):
    with pytest.raises(GuestTrap) as caught:
        guest(wasm(COPY, imports='(import "env" "magic" (func))'))

    assert caught.value.kind == "init"
    assert "env::magic" in caught.value.detail


def test_random_numbers_by_the_gigabyte_are_refused(guest):
    """A call into the host cannot be interrupted, so it is to be short."""
    random = errno_of("""
      (block (result i32)
        (drop (memory.grow (i32.const 300)))
        (call $random_get (i32.const 64) (i32.const 16777217)))""")
    made = guest(wasm(random, imports=wasi("random_get", "i32 i32")), grants=["random"])

    assert made.map(batch(b"")).payloads == [struct.pack("<IQ", 28, 0)]
