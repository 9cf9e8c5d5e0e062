"""`concatenate` where its inputs keep time: it waits for the slower one's frontier, and idle ones do not stall it."""

from time import monotonic, sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st
from time_bench import TimeBench
from time_guests import appending, delaying

from flowrt.counters import NodeCounters
from flowrt.logicaltime.frontier import Frontier
from flowrt.logicaltime.stamps import END
from flowrt.message import Batch, Head
from flowrt.operators.concatenate import OrderingOperator

HEAD = Head("t")
TWO_WAYS = """
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: delay, name: later, module: window}
  - {operationType: concatenate, name: both}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: later}}
  - {from: {name: later}, to: {name: both}}
  - {from: {name: in}, to: {name: both}}
  - {from: {name: both}, to: {name: out}}
"""


def entered(number: int, time: int) -> Batch:
    return Batch([HEAD], [str(number).encode()], [time], [0.0], [number])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=40), st.data())
def test_all_leave_once_in_order_of_time_and_each_inputs_in_its_own(steps, data):
    """Three inputs at rising times, marks now and then, and a restart from what is on disk in between."""
    operator, frontier, now, sent, left = OrderingOperator(NodeCounters(), 1 << 20), Frontier(3), [1, 1, 1], [], []
    disk: dict[bytes, bytes] = {}

    def step() -> None:
        for message in _rows(operator.closed()):
            assert message.time < frontier.now
            left.append((message.time, int(message.payload)))
        changes = operator.journal.take()
        disk.update(changes.puts)
        for key in changes.deletes:
            disk.pop(key, None)

    for source, passed, is_mark in steps:
        now[source] += passed
        if is_mark and frontier.advance(source, now[source]):
            operator.frontier = frontier.now
        elif not is_mark:
            operator.process(entered(len(sent), now[source]))
            sent.append((now[source], source))
        step()
        if data.draw(st.booleans()):
            operator = OrderingOperator(NodeCounters(), 1 << 20)
            operator.frontier = frontier.now
            operator.journal.resume(disk)
            operator.restore(disk)
    operator.frontier = END
    frontier.now = END
    step()

    assert [time for time, _ in left] == sorted(time for time, _ in sent)
    assert sorted(number for _, number in left) == list(range(len(sent)))
    for source in range(3):
        mine = [number for _, number in left if sent[number][1] == source]
        assert mine == sorted(mine)
    assert (disk, operator.memory_bytes(), operator.due()) == ({}, 0, None)


def test_what_does_not_fit_the_memory_is_a_fault():
    operator = OrderingOperator(NodeCounters(), 500)
    emissions = [operator.process(entered(number, 5)) for number in range(3)]
    assert [len(emission.faults) for emission in emissions] == [0, 0, 1]
    assert emissions[2].faults[0].error.kind == "memory"


def test_an_idle_input_holds_nobody_up_and_a_slow_one_is_waited_for(tmp_path):
    """Each message goes two ways: at once, and put off to the end of its window. All that came at once leave first."""
    bench = TimeBench(tmp_path)
    bench.module("window", delaying(10_000_000))
    ends, _ = bench.run(TWO_WAYS, [[b"a", b"b"], [b"c"]])
    assert ends.payloads() == [b"a", b"b", b"c"] * 2
    assert ends.source.acknowledged == 3


@pytest.mark.parametrize("source", ["in", "other"])
def test_an_idle_source_and_an_open_window_stall_nobody(tmp_path, source):
    """One source brings nothing and does not end, or has a window open for months: what came at once leaves at once."""
    other = "  - {operationType: source, name: other, endpoint: plant, topics: [b]}\nconnections:"
    text = TWO_WAYS.replace("connections:", other)
    text += "  - {from: {name: other}, to: {name: both}}\n"
    bench = TimeBench(tmp_path)
    bench.module("window", delaying(10_000_000))
    ends, runtime = bench.start(text, {source: [[b"a", b"b"]]}, ends=False)
    until = monotonic() + 20
    while len(ends.payloads()) < 2 and monotonic() < until:
        sleep(0.005)
    runtime.stop(10)
    assert ends.payloads() == [b"a", b"b"]


CHAIN = """
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: MIDDLE}
  - {operationType: concatenate, name: first}
  - {operationType: concatenate, name: last}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: middle}}
  - {from: {name: middle}, to: {name: first}}
  - {from: {name: in}, to: {name: first}}
  - {from: {name: first}, to: {name: last}}
  - {from: {name: in}, to: {name: last}}
  - {from: {name: last}, to: {name: out}}
"""


@pytest.mark.parametrize(
    ("middle", "orders"),
    [
        ("delay, name: middle, module: window", ["arrival", "time"]),  # the last one waits for both
        ("concatenate, name: middle", ["arrival", "arrival"]),  # nothing here moves times
    ],
)
def test_which_wait_where_the_file_leaves_it_open(tmp_path, middle, orders):
    bench = TimeBench(tmp_path)
    bench.module("window", delaying(10_000_000))
    nodes = bench.load(CHAIN.replace("MIDDLE", middle)).nodes
    assert [nodes[name].operation.order for name in ("first", "last")] == orders


def test_before_an_accumulate_it_passes_messages_on(tmp_path):
    """The fold waits by itself."""
    bench = TimeBench(tmp_path)
    bench.module("window", delaying(10_000_000))
    fold = "{operationType: accumulate, name: fold, module: sum}\n  - {operationType: sink,"
    text = TWO_WAYS.replace("{operationType: sink,", fold)
    last = "{from: {name: both}, to: {name: fold}}\n  - {from: {name: fold}, to: {name: out}}"
    text = text.replace("{from: {name: both}, to: {name: out}}", last)
    bench.module("sum", appending())
    assert bench.load(text).nodes["both"].operation.order == "arrival"


def _rows(emission):
    return [message for port in emission.ports if port is not None for message in port.rows()]
