"""Long calls past their share: interrupted without the interpreter's lock, while others go first."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
import wasmtime
from wasm_guests import batch, map_once, wasm

from flowrt.counters import NodeCounters
from flowrt.errors import GuestTrap
from flowrt.quota.bucket import Bucket
from flowrt.quota.meter import Meter
from flowrt.quota.priority import Priority
from flowrt.wasm.alarm import Alarm
from flowrt.wasm.engine import Engine

ENDLESS = wasm(map_once("(loop $forever (br $forever)) unreachable"))
ASKING = wasm(
    map_once("(loop $again (call $log (i32.const 2) (i32.const 64) (i32.const 9)) (br $again)) unreachable"),
    imports='(import "flowrt" "log" (func $log (param i32 i32 i32)))',
)


def on_a_thread(work):
    """What `work` gives on a thread of its own, whose priority nobody else has."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def lowered_and_restored():
    priority, seen = Priority(), [os.sched_getscheduler(0)]
    priority.lower()
    seen.append(os.sched_getscheduler(0))
    priority.restore()
    return [*seen, os.sched_getscheduler(0)], priority.lowered


may_undo = on_a_thread(lowered_and_restored)[0][1] == os.SCHED_IDLE
needs_right = pytest.mark.skipif(
    not may_undo, reason="priorities can only be lowered for good: no CAP_SYS_NICE, RLIMIT_NICE below 20"
)


@needs_right
def test_a_priority_is_lowered_and_restored():
    assert on_a_thread(lowered_and_restored) == ([os.SCHED_OTHER, os.SCHED_IDLE, os.SCHED_OTHER], False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become nobody")
def test_without_the_right_to_restore_it_a_priority_stays_as_it_is():
    code = """
import os, resource
from flowrt.quota.priority import Priority
resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
os.setgid(65534); os.setuid(65534)
priority = Priority()
priority.lower()
print(priority.lowered, os.sched_getscheduler(0) == os.SCHED_OTHER)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


def test_an_alarm_moves_the_epoch_on_while_another_thread_keeps_the_interpreters_lock():
    """A guest in an endless loop ends while this thread never lets go of the lock: nothing else could have ended it."""
    engine = Engine()
    store = wasmtime.Store(engine.native())
    store.set_epoch_deadline(1)
    module = wasmtime.Module(store.engine, '(module (func (export "f") (loop $l (br $l))))')
    call = wasmtime.Instance(store, module, []).exports(store)["f"]
    alarm = Alarm(store.engine)
    before = sys.getswitchinterval()
    ended = []

    def run():
        with pytest.raises(wasmtime.Trap):
            call(store)
        ended.append(True)

    guest = threading.Thread(target=run)
    sys.setswitchinterval(60)
    try:
        guest.start()
        alarm.after(0.001)
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
    finally:
        sys.setswitchinterval(before)
    guest.join(10)

    assert ended == [True]
    alarm.close()
    alarm.close()
    alarm.after(0.001)  # which does nothing now


@needs_right
@pytest.mark.parametrize(("guest_code", "lets"), [(ENDLESS, True), (ASKING, None)])
def test_a_call_past_its_share_lets_others_go_first_but_not_while_it_is_with_the_host(guest, guest_code, lets):
    """Looked at from another thread, all the time until its deadline ends it. Whoever is made to wait does so at the
    usual priority, because it will want the interpreter's lock. One that asks the host may have had no core between two
    questions, and look for a moment like one that asks nothing."""
    waiting, seen, thread = [], set(), threading.get_native_id()

    def wait(_seconds):
        waiting.append(os.sched_getscheduler(0))

    meter = Meter(NodeCounters(), [Bucket(0.01, 0.0, burst=0)], whole_thread=True, wait=wait)
    made = guest(guest_code, meter=meter, deadline="500ms")
    over = threading.Event()

    def look():
        while not over.wait(0.0005):
            seen.add(os.sched_getscheduler(thread))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with pytest.raises(GuestTrap, match="longer than"):
            made.map(batch(b"a"))
        after = os.sched_getscheduler(0)
    finally:
        over.set()
        looking.join()

    assert lets is None or os.SCHED_IDLE in seen
    assert set(waiting) == {os.SCHED_OTHER}
    assert after == os.SCHED_OTHER


def test_who_asks_the_host_pays_for_the_time_that_took():
    """Of 3 ms on the clock the thread had a core for next to nothing, because others had the interpreter's lock."""
    waits = []
    meter = Meter(NodeCounters(), [Bucket(0.25, time.monotonic(), burst=0)], wait=waits.append)
    meter.begin()

    meter.pause(0.003)

    assert waits[0] == pytest.approx(0.012, rel=0.2)


def test_each_question_of_a_call_past_its_share_costs_half_a_millisecond_at_least(guest):
    """Far more than it takes: nobody sleeps here, so what the last wait was to be is all that the call owes. And nobody
    looks at a call that waits."""
    waits, looks = [], []

    def wait(seconds):
        waits.append(seconds)
        looks.append(made._crossing._watch.running[made._crossing._deadline])

    meter = Meter(NodeCounters(), [Bucket(0.25, time.monotonic(), burst=0)], whole_thread=True, wait=wait)
    made = guest(ASKING, meter=meter, deadline="1s", log_lines=100_000)

    with pytest.raises(GuestTrap, match="longer than"):
        made.map(batch(b"a"))

    questions = len(guest.events)
    assert waits[-1] * 0.25 > questions * 0.0005 / 2
    assert set(looks) == {float("inf")}


def test_questions_of_short_calls_are_not_paid_for_later(guest):
    """Each of a thousand calls asked once, and a long one comes after them, which owes nothing for those."""
    waits = []
    meter = Meter(NodeCounters(), [Bucket(0.9, time.monotonic())], whole_thread=True, wait=waits.append)
    deadline = guest(ASKING, meter=meter, deadline="1s")._crossing._deadline
    for _ in range(1000):
        deadline.in_host()

    deadline._past = True
    now = deadline._watch.clock()
    assert deadline._may_go_on(now, now)
    deadline._watch.running.pop(deadline)

    assert sum(waits) < 0.1


def test_a_node_has_rested_when_its_burst_is_back():
    bucket = Bucket(0.5, 0.0, burst=0.1)
    bucket.charge(10.0, 0.05)

    assert [bucket.full(now) for now in (10.0, 10.05, 10.1)] == [False, False, True]
    assert not bucket.full(10.1, unpaid=0.02)
