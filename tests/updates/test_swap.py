"""Nodes exchanged in a graph that runs: nothing lost, nothing twice, in order, and only what differs is touched."""

import struct
import threading
from time import monotonic, sleep

import pytest
from update_bench import MODULES, chain, counting, marking

from flowrt.errors import StartError
from flowrt.graph.difference import difference
from flowrt.runtime.swap import SwapRefused

NUMBERS = [b".%d" % number for number in range(3000)]


def batches(payloads, size=7):
    return [payloads[at : at + size] for at in range(0, len(payloads), size)]


@pytest.fixture
def two(bench):
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    return bench


def test_a_module_is_exchanged_between_two_messages(two):
    graph = two.start(chain(("m", "module: one")))
    connection, counters = two.ends.sinks["out"], graph.nodes["m"].counters
    two.feed(*batches(NUMBERS[:1400]))

    two.swap(chain(("m", "module: two")))
    two.feed(*batches(NUMBERS[1400:]))

    found = two.out(3000)
    assert [payload[1:] for payload in found] == [payload[1:] for payload in NUMBERS]
    assert b"".join(payload[:1] for payload in found).strip(b"1").strip(b"2") == b""
    assert (found[0][:1], found[-1][:1]) == (b"1", b"2")
    assert two.ends.sources["in"].acknowledged == 3000
    assert graph.nodes["m"].counters is counters
    assert counters.received == 3000
    assert graph.sinks["out"] is connection


def test_what_does_not_differ_is_not_touched(two):
    graph = two.start(chain(("m", "module: one"), ("n", "module: one")))
    before = dict(graph.parts)

    two.swap(chain(("m", "module: two"), ("n", "module: one")))

    assert {name for name in graph.parts if graph.parts[name] is not before[name]} == {"m"}


def test_a_window_goes_on_in_the_new_version(bench):
    bench.module("old", counting("a"))
    bench.module("new", counting("b"))
    bench.start(chain(("m", "module: old")))
    bench.feed([b"", b"", b""])
    bench.out(3)

    bench.swap(chain(("m", "module: new")))
    bench.feed([b""])

    assert bench.out(4)[-1] == b"b" + struct.pack("<I", 4)


def test_a_state_that_the_new_version_refuses_leaves_the_old_one_in_place(bench):
    bench.module("old", counting("a"))
    bench.module("new", counting("b", accepts=5))
    bench.start(chain(("m", "module: old")))
    bench.feed([b""])
    bench.out(1)

    with pytest.raises(SwapRefused, match="refuses the state"):
        bench.swap(chain(("m", "module: new")))

    bench.feed([b""])
    assert bench.out(2)[-1] == b"a" + struct.pack("<I", 2)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(chain(), id="a node less"),
        pytest.param(chain(("m", "module: one"), ("n", "module: two")), id="a node more"),
        pytest.param(chain(("n", "module: two"), ("k", "module: one")), id="all of it"),
        pytest.param(chain(("m", "module: one, resources: {cpu: 500m}")), id="a stage more"),
    ],
)
def test_connections_are_exchanged_at_once_and_back(two, wanted):
    """Messages pass all the time; each meets the whole of one form."""
    running = chain(("m", "module: one"))
    graph = two.start(running)
    stop = threading.Event()
    sent = []

    def feed():
        while not stop.is_set():
            numbers = [b"%d" % (len(sent) + n) for n in range(5)]
            two.feed([b"." + number for number in numbers])
            sent.extend(numbers)
            stop.wait(0.0005)

    feeder = threading.Thread(target=feed)
    feeder.start()
    for _ in range(3):
        two.swap(wanted)
        two.swap(running)
    stop.set()
    feeder.join()

    assert [payload[1:] for payload in two.out(len(sent))] == sent
    assert two.ends.sources["in"].acknowledged == len(sent)
    assert list(graph.nodes) == ["m", "out"]
    assert not graph.broken()


def test_what_differs_in_one_stage_only_is_exchanged_by_its_own_thread(two):
    """Nobody waits for anything: the stage stays, whatever stands at its head."""
    graph = two.start(chain(("m", "module: one"), ("own", "module: one, resources: {cpu: 500m}")))
    stages = list(graph.plan_stages)
    two.swap(chain(("k", "module: two"), ("m", "module: one"), ("own", "module: one, resources: {cpu: 500m}")))
    assert list(graph.plan_stages) == stages
    assert stages[0].inbox.size in graph.nodes["k"].holds
    assert stages[0].inbox.size not in graph.nodes["m"].holds
    two.feed([b".1"])
    assert two.out(1) == [b"11"]


def test_a_busy_graph_is_held_back_only_where_it_never_comes_to_rest(two, monkeypatch):
    """The stages are given no moment at which nothing is under way: then the sources wait for it."""
    monkeypatch.setattr("flowrt.runtime.swap.EMPTY_SECONDS", 0.0)
    two.start(chain(("m", "module: one")))
    two.feed(*batches(NUMBERS[:70]))
    two.swap(chain(("m", "module: one"), ("own", "module: two, resources: {cpu: 500m}")))
    two.feed(*batches(NUMBERS[70:140]))
    assert [payload[1:] for payload in two.out(140)] == [payload[1:] for payload in NUMBERS[:140]]


def test_a_graph_that_cannot_rest_stays_as_it_is(two):
    """The broker is away: what is under way cannot pass."""
    two.drain = 0.1
    graph = two.start(chain(("m", "module: one"), ("slow", "module: one, resources: {cpu: 500m}")), away=["out"])
    two.feed([b".1"])
    parts = dict(graph.parts)

    with pytest.raises(SwapRefused, match="does not come to rest: is what it sends to away"):
        two.swap(chain(("n", "module: two")), timeout=0.2)

    assert dict(graph.parts) == parts
    assert all(not entrance.gate.locked() for entrance in graph.entrances.values())


def test_a_sink_whose_spool_holds_messages_stays(two):
    """Its successor would overtake them: a spool has one sink at a time."""
    graph = two.start(chain(("m", "module: one")))
    parts, sink = graph.parts, two.ends.sinks["out"]
    sink.empty = lambda: False
    elsewhere = chain(("m", "module: one")).replace("topic: out", "topic: elsewhere")

    with pytest.raises(SwapRefused, match="'out' has messages in its spool"):
        two.swap(elsewhere)
    assert graph.parts is parts

    sink.empty = lambda: True
    two.swap(elsewhere)
    assert graph.parts is not parts


def test_a_new_version_that_does_not_come_up_is_never_seen(two):
    (two.folder / "bad.wasm").write_bytes(marking("3", before="unreachable"))
    graph = two.start(chain(("m", "module: one")))
    two.module("greedy", marking("4").replace(b"flowrt_abi", b"flowrt_abj"))

    with pytest.raises((StartError, AssertionError)):
        two.swap(chain(("m", "module: greedy")))

    assert list(graph.nodes) == ["m", "out"]


READS = "restart, because what is read differs at source in"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (chain(("m", "module: one")), "nothing"),
        (chain(("m", "module: two")), "changed m"),
        (chain(("m", "module: one, description: new")), "nothing"),
        (chain(("m", "module: one, onError: {policy: drop}")), "changed m"),
        (chain(("n", "module: one")), "added n; removed m; connections"),
        (chain(("m", "module: one")).replace("a/#", "b/#"), "topics of in"),
        (chain(("m", "module: one")).replace("topics: [a/#]", "topics: [a/#], qos: 0"), "topics of in"),
        (chain(("m", "module: one")).replace("topics: [a/#]", "topics: [a/#], overflow: oldest"), READS),
        (chain(("m", "module: one")).replace("topic: out", "topic: new"), "changed out"),
        (
            chain(("m", "module: one"), more="resources: {cpu: 500m}\n"),
            "restart, because the graph's own resources differ",
        ),
    ],
)
def test_the_difference_names_what_has_to_be_done(two, wanted, words):
    assert str(difference(two.plan(chain(("m", "module: one"))), two.plan(wanted))) == words


def test_the_same_bytes_at_another_place_are_the_same_module(two):
    two.module("copy", marking("1"))
    assert not difference(two.plan(chain(("m", "module: one"))), two.plan(chain(("m", "module: copy"))))


FOLDED = """\
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: map, name: before, module: BEFORE}
  - operationType: transform
    name: fold
    delay: {type: duration, delaySeconds: 100000}
    rules: {accumulate: [{inputs: [v], output: n, expression: count($1)}]}
  - {operationType: map, name: after, module: AFTER}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: before}}
  - {from: {name: before}, to: {name: fold}}
  - {from: {name: fold}, to: {name: after}}
  - {from: {name: after}, to: {name: out}}
"""


def folded(before, after):
    return FOLDED.replace("BEFORE", before).replace("AFTER", after)


def test_an_open_window_stays_open_while_what_is_around_it_is_exchanged(two):
    """Not drained and started anew: the node that keeps the window is the same one, before and after."""
    graph = two.start(folded("passthrough", "one"))
    fold = graph.nodes["fold"]
    two.feed([b'{"v": 1}'], [b'{"v": 2}'])
    source = two.ends.sources["in"]
    wait_until(lambda: source.acknowledged == 2)

    two.module("copy", (MODULES / "passthrough/passthrough.wasm").read_bytes() + b"\0\x02\x01v")
    two.swap(folded("copy", "two"))

    two.feed([b'{"v": 3}'])
    two.feed.end()
    assert two.out(1) == [b'2"n":3}']
    assert graph.nodes["fold"] is fold
    changed = two.plan(folded("copy", "two").replace("delaySeconds: 100000", "delaySeconds: 10"))
    assert str(difference(graph.plan, changed)) == "changed fold"


def wait_until(reached):
    until = monotonic() + 20
    while not reached():
        assert monotonic() < until
        sleep(0.01)
