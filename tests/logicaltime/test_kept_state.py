"""`keepState: disk`: what a module keeps goes on after a stop, and is written before a message is acknowledged."""

import sqlite3

import pytest
from time_bench import TimeBench, chain
from time_guests import counting

from flowrt.events import CheckpointSetAside

KEEPING = chain("{operationType: map, name: count, module: count, keepState: disk}")
FORGETTING = chain("{operationType: map, name: count, module: count}")


@pytest.fixture
def bench(tmp_path):
    made = TimeBench(tmp_path)
    made.module("count", counting())
    return made


def test_a_state_goes_on_after_a_stop(bench):
    assert bench.run(KEEPING, [[b"a", b"b"]])[0].payloads() == [b"1", b"2"]
    assert bench.run(KEEPING, [[b"c"]])[0].payloads() == [b"3"]


def test_without_it_a_start_begins_anew(bench):
    assert bench.run(FORGETTING, [[b"a", b"b"]])[0].payloads() == [b"1", b"2"]
    assert bench.run(FORGETTING, [[b"c"]])[0].payloads() == [b"1"]


def test_no_message_is_acknowledged_before_its_state_is_written(bench, monkeypatch):
    """The disk is full: the messages pass, and stay the broker's."""
    from flowrt.state import checkpoints

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(checkpoints.CheckpointStore, "commit", full)
    ends, runtime = bench.start(KEEPING, [[b"a", b"b"]], ends=False)
    ends.sink.wait_for(2)
    runtime.stop(0.3)

    assert ends.source.acknowledged == 0
    monkeypatch.undo()
    assert bench.run(KEEPING, [[b"a", b"b"]])[0].payloads() == [b"1", b"2"]


def test_a_state_that_a_new_module_refuses_is_set_aside(bench):
    bench.run(KEEPING, [[b"a", b"b"]])
    bench.module("count", counting(refuses=True))

    ends, graph = bench.run(KEEPING, [[b"c"]])

    assert ends.payloads() == [b"1"]
    assert ends.source.acknowledged == 1
    assert graph.nodes["count"].counters.set_aside
    (event,) = [event for event in bench.events if isinstance(event, CheckpointSetAside)]
    assert "refuses" in event.reason
