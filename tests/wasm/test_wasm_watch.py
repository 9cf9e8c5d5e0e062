"""The thread that watches deadlines: never early, asleep when nothing runs."""

from __future__ import annotations

import threading
import time

from flowrt.wasm.watch import Watch


def until(condition, seconds: float = 10.0) -> bool:
    """Whether `condition` became true in time."""
    event, end = threading.Event(), time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        event.wait(0.002)
    return condition()


def test_only_an_overdue_call_interrupts():
    now, calls = [0.0], []
    watch = Watch(lambda: calls.append(now[0]), lambda: now[0])
    watch.look()
    watch.running |= {"late": 9.0, "soon": 5.0}

    for now[0] in (4.9, 5.0):
        watch.look()

    assert calls == [5.0]


def test_it_sleeps_when_nothing_runs_and_wakes_with_a_call():
    interrupted = threading.Event()
    watch = Watch(interrupted.set)
    watch.expect(0.004)
    assert until(lambda: watch.asleep)

    watch.running["call"] = 0.0
    watch.wake()

    assert interrupted.wait(10)
    assert not watch.asleep
    del watch.running["call"]
    assert until(lambda: watch.asleep)
    watch.close()


def test_closing_ends_the_thread_twice_over_and_before_it_began():
    for deadline in (None, 1.0):
        watch = Watch(lambda: None)
        if deadline:
            watch.expect(deadline)
        watch.close()
        watch.close()
        watch.expect(1.0)
        assert watch._thread is None
