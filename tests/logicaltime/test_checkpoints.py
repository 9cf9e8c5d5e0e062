"""What is on disk: what does not fit is set aside, and a full disk or a clock that went back loses nothing."""

import sqlite3
from time import monotonic, sleep

import pytest
from time_bench import TimeBench, chain
from time_guests import appending, delaying

from flowrt.errors import StartError
from flowrt.events import CheckpointSetAside, StoreFailed
from flowrt.logicaltime.clock import GraphClock
from flowrt.logicaltime.stamps import logical
from flowrt.message import Head, Message, Tensor
from flowrt.state.checkpoints import CheckpointStore
from flowrt.state.journal import Changes
from flowrt.state.records import Records

WINDOWED = chain(
    "{operationType: delay, name: window, module: window}", "{operationType: accumulate, name: fold, module: fold}"
)
FIGURES = "rules: {accumulate: [{inputs: [v], output: n, expression: count($1)}]}"
COUNTED = chain(
    "{operationType: transform, name: fold, delay: {type: duration, delaySeconds: 100000}, " + FIGURES + "}"
)


@pytest.fixture
def bench(tmp_path):
    made = TimeBench(tmp_path)
    made.module("window", delaying(10_000_000))
    made.module("fold", appending())
    return made


def kept(bench, text=WINDOWED, payloads=(b"a", b"b")):
    """Run a graph until these are acknowledged, with their window open, and stop it."""
    ends, runtime = bench.start(text, [list(payloads)], ends=False)
    ends.source.wait_for(len(payloads))
    runtime.stop(5)
    assert ends.payloads() == []


def test_a_stop_in_the_middle_of_a_window_of_figures(bench):
    kept(bench, COUNTED, [b'{"v": 1}', b'{"v": 2}'])

    assert bench.run(COUNTED, [[b'{"v": 3}']])[0].payloads() == [b'{"n":3}']


def test_what_another_operation_kept_is_set_aside(bench):
    kept(bench)

    ends, graph = bench.run(COUNTED, [[b'{"v": 3}']])

    assert ends.payloads() == [b'{"n":1}']
    assert graph.nodes["fold"].counters.set_aside >= 3
    assert [event.node for event in bench.events if isinstance(event, CheckpointSetAside)] == ["fold"]
    store = CheckpointStore(bench.path / "state" / "checkpoints.sqlite")
    assert any(name.startswith("fold.set-aside-") for name in store.nodes("g"))
    store.close()


def test_what_an_operation_kept_that_is_gone_is_set_aside(bench):
    """Its messages are acknowledged: a name that was changed must not swallow them without a word."""
    kept(bench)

    bench.run(WINDOWED.replace("name: fold", "name: other"), [[b"c"]])

    gone = [event for event in bench.events if isinstance(event, CheckpointSetAside)]
    assert [(event.node, event.reason) for event in gone] == [("fold", "the graph has no such operation any more")]


def test_a_damaged_entry_is_set_aside_with_its_window(bench):
    kept(bench)
    with sqlite3.connect(bench.path / "state" / "checkpoints.sqlite") as db:
        db.execute("UPDATE entries SET value = x'00' WHERE substr(key, 1, 1) = x'6d'")
    db.close()

    assert bench.run(WINDOWED, [[b"c"]])[0].payloads() == [b"c"]
    assert [event for event in bench.events if isinstance(event, CheckpointSetAside)]


def test_a_file_that_is_no_database_is_renamed(bench):
    (bench.path / "state").mkdir()
    (bench.path / "state" / "checkpoints.sqlite").write_bytes(b"no database" * 1000)

    assert bench.run(WINDOWED, [[b"c"]])[0].payloads() == [b"c"]
    assert list((bench.path / "state").glob("checkpoints.sqlite.set-aside-*"))


def test_on_a_full_disk_nothing_is_acknowledged_and_nothing_is_lost(bench, monkeypatch):
    real, refused = CheckpointStore.commit, [3]

    def full(store, *given):
        if refused[0]:
            refused[0] -= 1
            raise sqlite3.OperationalError("database or disk is full")
        real(store, *given)

    monkeypatch.setattr(CheckpointStore, "commit", full)

    ends, _ = bench.run(WINDOWED, [[b"a", b"b"]])

    assert ends.payloads() == [b"ab"]
    assert ends.source.acknowledged == 2
    assert [event.store for event in bench.events if isinstance(event, StoreFailed)] == ["checkpoints"] * 3


def test_after_the_clock_was_set_back_what_was_open_leaves_at_once(bench):
    """A window has left at a time that is an hour ahead of the clock: the next start does not wait for that hour."""
    hour = 3_600_000
    bench.module("window", delaying(100))
    wall = [1_800_000_000_000 + hour]
    bench.options = {"graph_clock": lambda: GraphClock(lambda: wall[0])}
    first, runtime = bench.start(WINDOWED, [[b"a"]], ends=False)
    wall[0] += 200
    runtime.graphs[0].timing.wake()
    first.sink.wait_for(1)
    runtime.stop(5)
    bench.module("window", delaying(10_000_000))
    kept(bench, payloads=[b"b"])
    wall[0] -= hour

    second, runtime = bench.start(WINDOWED, [[b"c"]], ends=False)
    second.sink.wait_for(1)
    second.source.wait_for(1)
    runtime.stop(5)

    assert second.payloads() == [b"b"]


def test_records_hold_all_of_a_message():
    head = Head(
        "t/ü", "x", (("k", "v"), ("k", "w")), "r", b"\0\xff", "s", True, (5, 6, "n"), (Tensor("a", "f32", (2,)),)
    )
    records = Records()
    message = Message(head, b"\0payload", logical(1_800_000_000_000, 3))

    found = Records().unpack(records.pack(message))

    assert (found.payload, found.time) == (message.payload, message.time)
    assert [getattr(found.head, name) for name in Head.__slots__] == [getattr(head, name) for name in Head.__slots__]
    for damaged in (b"", records.pack(message)[:-1], b"\1" + records.pack(message)[1:]):
        with pytest.raises(ValueError, match="checksum"):
            records.unpack(damaged)


def test_a_store_whose_folder_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    store = CheckpointStore(tmp_path / "file" / "checkpoints.sqlite")

    with pytest.raises(StartError, match="cannot be opened"):
        store.load("g", "n")
    with pytest.raises(StartError, match="cannot be opened"):
        store.commit("g", "n", Changes({b"k": b"v"}, ()))


def test_a_message_that_waits_to_be_tried_again_before_a_window_holds_up_no_other_branch(bench):
    text = "\n".join(
        [
            "operations:",
            "  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}",
            "  - {operationType: delay, name: window, module: window}",
            "  - {operationType: transform, name: fold, delay: {type: duration, delaySeconds: 10}, "
            f"{FIGURES}, onError: {{policy: retry, backoff: 1h}}}}",
            *(f"  - {{operationType: sink, name: {name}, endpoint: plant, topic: {name}}}" for name in ("out", "live")),
            "connections:",
            *(
                f"  - {{from: {{name: {one}}}, to: {{name: {other}}}}}"
                for one, other in (("in", "window"), ("window", "fold"), ("window", "live"), ("fold", "out"))
            ),
        ]
    )
    ends, runtime = bench.start(text + "\n", [[b"no JSON"], [b'{"v": 1}'], [b'{"v": 2}']], ends=False)
    try:
        until = monotonic() + 20
        while "live" not in ends.sinks or len(ends.sinks["live"].messages) < 3:
            assert monotonic() < until, "the other branch is held up"
            sleep(0.01)
        assert ends.source.acknowledged == 0
    finally:
        runtime.stop(0.1)
