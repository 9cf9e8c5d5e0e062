"""Whole graphs that keep time, on threads, between ends that a test can look into."""

import pytest
from time_bench import TimeBench, chain
from time_guests import TRAPS_AT_X, appending, backwards, delaying

from flowrt.events import NodeFaulted


@pytest.fixture
def bench(tmp_path):
    return TimeBench(tmp_path)


WINDOWED = chain(
    "{operationType: delay, name: window, module: window}", "{operationType: accumulate, name: fold, module: fold}"
)


def test_a_window_holds_its_messages_in_order_and_leaves_when_its_source_ends(bench):
    bench.module("window", delaying(10_000_000))
    bench.module("fold", appending())

    ends, graph = bench.run(WINDOWED, [[b"%d," % i for i in range(j * 50, j * 50 + 50)] for j in range(4)])

    assert ends.payloads() == [b"".join(b"%d," % i for i in range(200))]
    assert ends.source.acknowledged == 200
    assert graph.nodes["fold"].counters.windows == 0


def test_windows_close_by_the_clock_although_nothing_more_comes(bench):
    bench.module("window", delaying(100))
    bench.module("fold", appending())

    ends, runtime = bench.start(WINDOWED, [[b"a", b"b"]], ends=False)

    try:
        assert b"".join(message.payload for message in ends.sink.wait_for(1)) in (b"ab", b"a")
    finally:
        runtime.stop(5)


def test_a_message_the_fold_traps_at_is_lost_alone(bench):
    bench.module("window", delaying(10_000_000))
    bench.module("fold", appending(TRAPS_AT_X))

    ends, _ = bench.run(WINDOWED, [[b"a", b"x", b"b"]])

    assert ends.payloads() == [b"ab"]
    assert bench.dead() == [("fold", "trap", b"x")]
    assert ends.source.acknowledged == 3


def test_time_that_goes_back_is_a_fault(bench):
    bench.module("window", backwards())
    bench.module("fold", appending())

    ends, _ = bench.run(WINDOWED, [[b"a"]])

    assert ends.payloads() == []
    assert bench.dead() == [("window", "time", b"a")]
    assert [event.kind for event in bench.events if isinstance(event, NodeFaulted)] == ["time"]


def test_a_stop_keeps_what_is_open_and_the_next_start_goes_on(bench):
    """The window is emitted once, with the messages of both runs."""
    bench.module("window", delaying(10_000_000))
    bench.module("fold", appending())
    first, runtime = bench.start(WINDOWED, [[b"a", b"b"]], ends=False)
    first.source.wait_for(2)
    runtime.stop(5)
    assert first.payloads() == []

    second, _ = bench.run(WINDOWED, [[b"c"]])

    assert second.payloads() == [b"abc"]
    third, _ = bench.run(WINDOWED, [[b"d"]])
    assert third.payloads() == [b"d"]


def test_what_left_and_was_not_confirmed_comes_again(bench):
    bench.module("window", delaying(10_000_000))
    bench.module("fold", appending())
    first, _ = bench.run(WINDOWED, [[b"a", b"b"]], at_once=False, drain=0.3)
    assert first.payloads() == [b"ab"]
    assert first.source.acknowledged == 2

    second, _ = bench.run(WINDOWED, [])

    assert second.payloads() == [b"ab"]
    assert bench.run(WINDOWED, [])[0].payloads() == []
