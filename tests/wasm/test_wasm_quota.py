"""What bounds a guest inside and beside its calls: memory and tables in one figure, a share of the processor."""

from __future__ import annotations

import pytest
import wasmtime
from wasm_guests import COPY, batch, map_once, wasm

from flowrt.counters import NodeCounters
from flowrt.errors import GuestTrap
from flowrt.quota.bucket import Bucket
from flowrt.quota.meter import Meter
from flowrt.quota.pool import Pool
from flowrt.wasm import deadline
from flowrt.wasm.tables import tables_of

PAGE = 65536


def sizes(tables: str, memory: int = 2**20) -> tuple[int, int]:
    made = tables_of(bytes(wasmtime.wat2wasm(f"(module {tables})")), memory)
    return made.elements, made.bytes


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ("", (0, 0)),
        ("(table 10 10 funcref)", (10, 80)),
        ("(table 1 1 funcref) (table 300 300 externref)", (300, 8 * 301)),
        ("(table 10 100 funcref)", (16384, 800)),
        ("(table 10 funcref)", (16384, 131072)),  # an eighth of a MiB
        ("(table 10 funcref) (table 10 20000 funcref)", (8192, 2 * 65536)),
        ("(table 10 funcref (ref.null func)) (table 20 20 funcref)", (8192, 2 * 65536)),
    ],
)
def test_tables_are_counted_at_the_most_they_may_grow_to(tables, expected):
    assert sizes(tables) == expected


GROWING = "(table $t 1 funcref)" + map_once("""
  (local $grown i32)
  (loop $again
    (br_if $again (i32.ge_s (table.grow $t (ref.null func) (i32.const 100)) (i32.const 0))))
  (i32.store (i32.const 64) (table.size $t))
  (call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0))
  (call $result (i32.const 1))""")


def test_a_table_grows_to_its_part_of_the_quota_and_no_further(guest):
    made = guest(wasm(GROWING), memory="512Ki")  # an eighth: 64 KiB, 8192 elements

    output = made.map(batch(b"a"))

    assert int.from_bytes(output.payloads[0], "little") == 8101
    assert made.memory_bytes() == 4 * PAGE + 65536


def test_memory_and_tables_are_one_figure(guest):
    body = "(table 1 funcref)" + map_once("""
      (i32.store (i32.const 64) (memory.grow (i32.const 3)))
      (i32.store (i32.const 68) (memory.grow (i32.const 1)))
      (call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 8) (i32.const 0))
      (call $result (i32.const 1))""")
    made = guest(wasm(body), memory="512Ki")  # eight pages, one of which the table may take

    grown = made.map(batch(b"a")).payloads[0]

    assert (grown[:4], grown[4:]) == (b"\4\0\0\0", b"\xff\xff\xff\xff")
    assert made.memory_bytes() == 8 * PAGE


def test_a_guest_takes_its_memory_from_the_pool_and_gives_it_back(guest):
    pool = Pool(5 * PAGE, "the graph's budget")
    made = guest(wasm("(table 1 1 funcref)" + COPY), pool=pool)
    assert pool.used == 4 * PAGE + 8

    with pytest.raises(GuestTrap) as caught:
        guest(wasm(), pool=pool)
    assert caught.value.kind == "memory"
    assert caught.value.detail == "it asked for more memory than is left of the graph's budget of 320Ki"

    made.close()
    made.close()
    assert pool.used == 0


def test_an_endless_call_pays_for_its_share_before_its_deadline_ends_it(guest):
    """The waits are only noted here, so the call runs on at once; its deadline is moved by what it did wait."""
    waits = []
    counters = NodeCounters()
    meter = Meter(counters, [Bucket(0.01, 0.0, burst=0)], whole_thread=True, wait=waits.append)
    made = guest(wasm(map_once("(loop $forever (br $forever)) unreachable")), meter=meter, deadline="300ms")

    with pytest.raises(GuestTrap) as caught:
        made.map(batch(b"a"))

    assert caught.value.kind == "deadline"
    assert len(waits) > 1
    assert counters.cpu_seconds > 0


def test_a_call_that_asks_much_of_the_host_pays_there(guest, monkeypatch):
    """Nobody interrupts it here, as when it keeps the interpreter's lock from who would."""
    waits = []
    meter = Meter(NodeCounters(), [Bucket(0.01, 0.0, burst=0)], whole_thread=True, wait=waits.append)
    imports = '(import "flowrt" "log" (func $log (param i32 i32 i32)))'
    body = "(loop $again (call $log (i32.const 2) (i32.const 64) (i32.const 9)) (br $again)) unreachable"
    made = guest(wasm(map_once(body), imports=imports), meter=meter, deadline="100ms")
    monkeypatch.setattr(made._crossing._watch, "_interrupt", lambda: None)

    with pytest.raises(GuestTrap) as caught:
        made.map(batch(b"a"))

    assert caught.value.kind == "deadline"
    assert len(waits) > 1


@pytest.mark.parametrize(("starved", "ends"), [(0.0, 0.125), (0.5, 0.225), (0.99, 0.425)])
def test_a_call_that_waits_for_a_core_has_more_time_but_not_for_ever(guest, monkeypatch, starved, ends):
    """A call with a deadline of 100 ms, whose thread the kernel says has no core for a part of the time. The grace of
    25 ms after it is found overdue is included."""
    watched = guest(wasm(), deadline="100ms")._crossing._deadline
    monkeypatch.setattr(deadline, "waited_for_a_core", lambda: 5.0 + now * starved)
    now, look = 0.0, watched.span

    while now < look or watched._may_go_on(look, now):
        look = watched._watch.running.get(watched, look)
        now += 0.001
    watched._watch.running.pop(watched, None)

    assert now == pytest.approx(ends, abs=0.005)


DOWN = """
  (func $down (param $left i32) (result i32)
    (if (result i32) (local.get $left)
      (then (i32.add (call $down (i32.sub (local.get $left) (i32.const 1))) (i32.const 1)))
      (else (i32.const 0))))""" + map_once("""
  (i32.store (i32.const 64) (call $down (i32.const 10000)))
  (call $out (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0))
  (call $result (i32.const 1))""")


def test_a_stack_is_as_deep_as_the_node_says(guest):
    assert guest(wasm(DOWN), stack="2Mi").map(batch(b"a")).payloads == [(10_000).to_bytes(4, "little")]
    with pytest.raises(GuestTrap, match="stack"):
        guest(wasm(DOWN), stack="64Ki").map(batch(b"a"))
