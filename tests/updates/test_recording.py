"""Golden messages recorded from live traffic: a new version is tried on what the proven one has handled."""

import pytest
from test_update import QUICK
from update_bench import TRAP_ON_X, chain, counting, marking

from flowrt.graph.updates import Record
from flowrt.message import Head, Message, Tensor
from flowrt.updates.recorded import Recorded, as_file, from_file
from flowrt.updates.recording import Kept, Recorder

RECORDS = QUICK.replace("shadow: 4", "shadow: 0, record: {messages: 8}")
EXACT = RECORDS.replace("bounds: {", "bounds: {drift: 0, ")


@pytest.fixture
def recorder(bench):
    return Recorder(bench.folder / "state", lambda: bench.runtime.graphs, lambda _graph: True, bench.events.append)


def recorded(bench, recorder, text, *payloads):
    """A graph that has run with these messages, each a batch of its own, and what was recorded."""
    graph = bench.start(text)
    for payload in payloads:
        recorder.sample(graph)
        bench.feed([payload])
        bench.out(1 + payloads.index(payload))
    return graph


@pytest.mark.parametrize(
    ("code", "policy", "outcome", "reason"),
    [
        (marking("2"), RECORDS, "proven", ""),
        (marking("1"), EXACT, "proven", ""),
        (marking("2"), EXACT, "refused", "golden: recorded messages: drift: gave other results for 1 of 1 messages"),
        (marking("2", TRAP_ON_X), RECORDS, "refused", "golden: recorded messages: traps: trapped on 1 messages"),
    ],
    ids=["other results are no fault", "the same is no drift", "drift", "a trap"],
)
def test_a_new_version_is_tried_on_what_was_recorded(bench, recorder, code, policy, outcome, reason):
    """No message waits for it: nothing is sent while it is tried."""
    policy = policy.replace("messages: 20", "messages: 0")
    bench.module("one", marking("1"))
    bench.module("next", code + b"\0\x03\x02vx")
    graph = recorded(bench, recorder, chain(("m", "module: one"), more=policy), b".a", b".x")

    state, why = bench.update(chain(("m", "module: next"), more=policy), recorder.of)

    assert (state, why[: len(reason)]) == (outcome, reason)
    assert len(recorder.of(graph.plan, "m")) == (0 if outcome == "proven" else 2)


def test_what_was_recorded_survives_a_start_and_is_the_owners_alone(bench, recorder):
    bench.module("one", marking("1"))
    graph = recorded(bench, recorder, chain(("m", "module: one"), more=RECORDS), b".a", b".b")
    recorder.write()

    (path,) = (bench.folder / "state" / "updates").glob("*.recorded")
    assert path.stat().st_mode & 0o777 == 0o600
    again = Recorder(bench.folder / "state", list, lambda _graph: True, bench.events.append)
    assert [one.payload for one in again.of(graph.plan, "m")] == [b".a", b".b"]
    assert [one.results[0].payload for one in again.of(graph.plan, "m")] == [b"1a", b"1b"]
    path.write_bytes(path.read_bytes()[:-9])
    assert Recorder(bench.folder / "state", list, lambda _graph: True, bench.events.append).of(graph.plan, "m") == ()


def test_a_module_that_keeps_state_is_not_recorded(bench, recorder):
    """What it makes of a message depends on those before."""
    bench.module("one", counting())
    graph = recorded(bench, recorder, chain(("m", "module: one"), more=RECORDS), b".a")
    assert recorder.of(graph.plan, "m") == ()


def test_between_two_samples_nothing_is_in_the_way_of_messages(bench, recorder):
    bench.module("one", marking("1"))
    graph = recorded(bench, recorder, chain(("m", "module: one"), more=RECORDS))
    operator = graph.nodes["m"].operator
    recorder.sample(graph)
    recorder.sample(graph)
    assert graph.nodes["m"].operator.inner is operator
    bench.feed([b".a"])
    bench.out(1)
    assert graph.nodes["m"].operator is operator


def test_what_is_kept_is_bounded_in_messages_and_bytes():
    def message(size):
        return Recorded(Head("t"), bytes(size), ())

    few, small = Kept("a"), Kept("a")
    for size in range(100):
        few.add(message(size), Record(messages=3))
        small.add(message(100 + size), Record(bytes=1024))
    assert [len(one.payload) for one in few.messages] == [97, 98, 99]
    assert 0 < sum(one.size for one in small.messages) <= 1024
    few.add(message(2**20), Record(messages=3))
    assert len(few.messages[-1].payload) == 99


def test_a_file_holds_all_of_a_message():
    head = Head("t", "x/y", (("k", "v"), ("k", "w")), None, None, "s", True, (1, 2, "n"), (Tensor("x", "f32", (2, 3)),))
    one = Recorded(head, b"\0\xff", (Message(Head("u"), b"\x80", 1), Message(Head("v"), b"", 0)))
    ((kind, (found,)),) = from_file(as_file({"m": ("kind", [one])})).values()
    assert kind == "kind"
    assert found.payload == one.payload
    fields = Head.__struct_fields__
    assert [getattr(found.head, name) for name in fields] == [getattr(head, name) for name in fields]
    assert [(m.head.topic, m.payload, m.time) for m in found.results] == [("u", b"\x80", 1), ("v", b"", 0)]
    for bad in (b"", b"[]", b'{"m": 1}', b'{"m": {"kind": "k", "messages": [{}]}}', b"[" * 100000):
        with pytest.raises(ValueError):
            from_file(bad)
