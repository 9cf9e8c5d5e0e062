"""Nodes that keep something on disk are exchanged while their windows are open, and go back: no message is lost, none
counts twice."""

import gc
import json
import re
import threading

import pytest
from brokers import Broker, needs_broker
from test_other_topics import Plant
from test_swap import wait_until
from test_update import QUICK
from time_guests import appending
from update_bench import MODULES, Feed, chain, counting

from flowrt.counters import NodeCounters
from flowrt.graph.difference import difference
from flowrt.logicaltime.stamps import START, logical
from flowrt.message import Head, Message
from flowrt.operators.accumulate import batch_of
from flowrt.operators.window import WindowOperator
from flowrt.runtime.timed import TimedNode
from flowrt.transforms.rules import AccumulateRule, WindowSliding
from flowrt.transforms.sliding import SlidingTransform
from flowrt.updates.restart import Restart
from flowrt.updates.update import Update

HOURS = "delay: {type: duration, delaySeconds: 8640000}"
"""No window ends by the clock while a test runs: without a delay one does each minute."""
COUNT = f"{HOURS}\n    count: {{type: messageCount, maxMessageCount: %d, boundaryMessage: messageInCurrent}}"
FOLDED = """\
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: map, name: before, module: BEFORE}
  - operationType: transform
    name: fold
    BOUND
    rules: {accumulate: [{inputs: [v], output: n, expression: count($1)}]}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: before}}
  - {from: {name: before}, to: {name: fold}}
  - {from: {name: fold}, to: {name: out}}
"""


def windows(bound, before="passthrough", more=""):
    return FOLDED.replace("BOUND", bound if ":" in str(bound) else COUNT % bound).replace("BEFORE", before) + more


def readings(*numbers):
    return [b'{"v": %s}' % str(number).encode() for number in numbers]


def counts(payloads):
    return [json.loads(payload)["n"] for payload in payloads]


class Opened:
    """A graph whose window is open, with two messages in it that are acknowledged."""

    def __init__(self, bench, text):
        self.bench = bench
        self.graph = bench.start(text)
        self.acknowledged = 0
        self.feed(1, 2)

    def feed(self, *numbers):
        self.bench.feed(readings(*numbers))
        self.acknowledged += len(numbers)
        wait_until(lambda: self.bench.ends.sources["in"].acknowledged == self.acknowledged)

    def update(self, wanted):
        given = {"emit": self.bench.events.append, "moved": lambda *_: None, "ending": threading.Event()}
        return Update(self.bench.runtime, self.graph, self.bench.plan(wanted), **given)


def test_a_window_with_another_bound_goes_on_with_what_is_open(bench):
    opened = Opened(bench, windows(100))
    source, stages = bench.ends.sources["in"], list(opened.graph.plan_stages)

    bench.swap(windows(4))
    opened.feed(3, 4, 5)

    assert counts(bench.out(1)) == [4]
    assert bench.ends.sources["in"] is source
    assert list(opened.graph.plan_stages) == stages
    bench.swap(windows(2))
    opened.feed(6)
    assert counts(bench.out(2)) == [4, 2]


def test_a_bound_that_is_passed_already_closes_at_once(bench):
    opened = Opened(bench, windows(100))
    opened.feed(3, 4, 5)

    bench.swap(windows(2))

    assert counts(bench.out(2)) == [2, 2]
    opened.feed(6)
    assert counts(bench.out(3)) == [2, 2, 2]


def test_windows_that_were_exchanged_leave_nothing_behind(bench):
    opened = Opened(bench, windows(100))
    for turn in range(20):
        bench.swap(windows(100 + turn % 2))
        opened.feed(turn)

    bench.runtime.refresh()
    gc.collect()
    nodes = [one for one in gc.get_objects() if type(one) is TimedNode and one.graph == "g" and one.name == "fold"]
    assert [node for node in nodes if node is opened.graph.nodes["fold"]]
    assert len(nodes) <= 3
    bench.swap(windows(22))
    assert counts(bench.out(1)) == [22]


def test_what_is_around_it_may_change_with_it(bench):
    bench.module("copy", (MODULES / "passthrough/passthrough.wasm").read_bytes() + b"\0\x02\x01v")
    opened = Opened(bench, windows(100))

    what = difference(opened.graph.plan, bench.plan(windows(3, "copy")))
    assert (what.changed, what.beyond) == (("before", "fold"), "")
    bench.swap(windows(3, "copy"))
    opened.feed(3)

    assert counts(bench.out(1)) == [3]


def test_what_the_new_window_kept_is_there_after_a_start(bench):
    opened = Opened(bench, windows(100))
    bench.swap(windows(90))
    opened.feed(3)
    stop(bench)

    again(bench, windows(4))  # and once more with another bound: from what is on disk
    bench.feed(readings(4))

    assert counts(bench.out(1)) == [4]


def stop(bench):
    bench.feed.end = lambda: None  # an end would close the window
    bench.runtime.stop(5.0)


def again(bench, text):
    bench.feed = Feed()
    return bench.start(text)


def test_results_that_were_not_confirmed_are_the_new_ones(bench):
    """They are on disk until they are; once they are, they are not."""
    bench.start(windows(2), at_once=False)
    bench.feed(readings(1, 2, 3, 4, 5))
    bench.out(2)

    bench.swap(windows(3))
    bench.feed(readings(6, 7))
    assert counts(bench.out(3)) == [2, 2, 3]
    assert len(on_disk(bench, b"o")) == 3
    bench.ends.sinks["out"].acknowledge()
    wait_until(lambda: not on_disk(bench, b"o"))

    bench.swap(windows(4))
    bench.feed(readings(8, 9, 10, 11))
    bench.out(4)
    assert len(on_disk(bench, b"o")) == 1


def on_disk(bench, first):
    entries = bench.runtime.surroundings.checkpoints.load("g", "fold")
    return [key for key in entries if key[:1] == first]


TRIGGER = (
    "delay: {{type: duration, delaySeconds: 8640000}}\n    "
    "triggers: {{type: expression, rules: [{{inputs: [{input}], trigger: $1 > 500, boundaryMessage: messageInNext}}]}}"
)


def test_a_window_that_is_worse_goes_back_with_what_is_open(bench):
    """It fails on readings that are texts: these are dead letters, the others are in the window of before."""
    opened = Opened(bench, windows(9))
    worse = windows(TRIGGER.format(input="v"), more=QUICK.replace("probation: 0", "probation: 1h"))
    update = opened.update(worse)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(update.run()))
    thread.start()
    wait_until(lambda: update.state == "probation")

    opened.feed(*['"text"'] * 4)
    thread.join(20)

    state, reason = ended[0]
    assert state == "rolledBack"
    assert re.match("faults: refused 4 of 4", reason), reason
    opened.feed(*range(7))
    assert counts(bench.out(1)) == [9]


def test_a_window_that_does_not_understand_what_is_open_is_refused(bench):
    opened = Opened(bench, windows(9))

    state, reason = opened.update(windows(TRIGGER.format(input="w"), more=QUICK)).run()

    assert state == "refused"
    assert re.match("state: .* a message of the open window is none for it", reason), reason
    opened.feed(*range(7))
    assert counts(bench.out(1)) == [9]


def test_a_better_window_is_proven_by_what_it_counts(bench):
    opened = Opened(bench, windows(100))
    update = opened.update(windows(50, more=QUICK.replace("messages: 20", "messages: 3")))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(update.run()))
    thread.start()
    wait_until(lambda: update.state == "probation")
    opened.feed(3, 4, 5)
    thread.join(20)

    assert ended[0] == ("proven", "")
    opened.feed(*range(45))
    assert counts(bench.out(1)) == [50]


GOLDEN = (
    "updates: {{shadow: 0, probation: 0, messages: 0, golden: "
    "[{{operation: fold, payload: '{{\"v\": 1}}', expect: '{{\"n\":{n}}}'}}]}}\n"
)


@pytest.mark.parametrize(("n", "outcome"), [(1, "proven"), (2, "refused")])
def test_a_golden_message_is_a_window_of_its_own(bench, n, outcome):
    opened = Opened(bench, windows(100))

    state, reason = opened.update(windows(3, more=GOLDEN.format(n=n))).run()

    assert state == outcome, reason
    opened.feed(3)
    if outcome == "proven":
        assert counts(bench.out(1)) == [3]


def test_a_module_whose_state_is_on_disk_is_exchanged_in_place(bench):
    kept = chain(("m", "module: old, keepState: disk"))
    bench.module("old", counting("a"))
    bench.module("new", counting("b"))
    graph = bench.start(kept)
    bench.feed([b"", b""])
    bench.out(2)

    assert difference(graph.plan, bench.plan(kept.replace("old", "new"))).beyond == ""
    bench.swap(kept.replace("old", "new"))
    bench.feed([b""])
    assert [payload[1] for payload in bench.out(3)] == [1, 2, 3]
    wait_until(lambda: bench.ends.sources["in"].acknowledged == 3)
    stop(bench)

    again(bench, kept.replace("old", "new"))
    bench.feed([b""])
    assert [(payload[:1], payload[1]) for payload in bench.out(1)] == [(b"b", 4)]


def test_one_that_is_worse_goes_back_with_its_state(bench):
    kept = chain(("m", "module: old, keepState: disk"))
    bench.module("old", counting("a"))
    bench.module("other", counting("b", accepts=5))
    bench.start(kept)
    bench.feed([b"", b""])
    bench.out(2)
    given = {"emit": bench.events.append, "moved": lambda *_: None, "ending": threading.Event()}

    state, reason = Update(
        bench.runtime, bench.runtime.graphs[0], bench.plan(kept.replace("old", "other")), **given
    ).run()

    assert (state, reason[:6]) == ("refused", "state:")
    bench.feed([b""])
    assert [payload[1] for payload in bench.out(3)] == [1, 2, 3]


def test_a_sliding_window_gives_nothing_again_after_a_start():
    """The messages that it keeps are in windows that left before, too."""
    rule = AccumulateRule.model_validate({"inputs": ["v"], "output": "n", "expression": "count($1)"})
    slides = WindowSliding.model_validate({"length": "10s", "every": "5s"})

    def made(frontier):
        operator = WindowOperator(lambda: SlidingTransform([rule], slides, lambda *_: None), 2**20, NodeCounters())
        operator.frontier = frontier
        return operator

    def given(emission):
        return [payload for port in emission.ports if port is not None for payload in port.payloads]

    def at(seconds):
        return batch_of([Message(Head("a"), b'{"v": 1}', logical(seconds * 1000))])

    before = made(START)
    assert given(before.process(at(7))) == []
    assert counts(given(before.process(at(12)))) == [1]  # of the window that ended at 10
    after = made(logical(12_000))
    after.restore(before.journal.take().puts)

    assert given(after.closed()) == []
    assert after.due() == logical(15_000)
    assert counts(given(after.process(at(16)))) == [2]


def test_a_sliding_window_is_not_carried_over(bench):
    """Most of what it keeps has left in other windows already."""
    running, wanted = (bench.plan(windows(f"sliding: {{length: {seconds}s, every: 5s}}")) for seconds in (10, 20))
    assert "goes on from its checkpoint" in difference(running, wanted).beyond


STATE = chain(("m", "module: old, keepState: disk"))
MEMORY = STATE.replace("keepState: disk", "keepState: memory")
WINDOW = chain(("m", "module: old")).replace("{operationType: map", "{operationType: accumulate")


def counted(payload):
    """The number that a counting module gave."""
    return int.from_bytes(payload[1:], "little")


ANEW = {
    "a state on disk": (STATE, counting("a"), counted),
    "a state in memory": (MEMORY, counting("a"), counted),
    "windows": (WINDOW, appending(), lambda payload: int(payload.split(b".")[-1])),
}


@needs_broker
@pytest.mark.parametrize("kind", ANEW)
def test_a_graph_that_keeps_something_is_started_anew_with_all_of_it(bench, kind):
    """For what a running graph cannot take in, such as another client at the broker."""
    written, code, number = ANEW[kind]
    bench.module("old", code)
    text = written.replace("topic: out", 'topic: "out/{topic}"')
    text += "updates: {probation: 0, messages: 5, timeout: 10s}\n"
    with Broker() as broker:
        plant = Plant(bench, broker, text, number)
        try:
            plant.more("out/a/1")
            given = {"emit": bench.events.append, "moved": lambda *_: None, "ending": threading.Event()}
            wanted = bench.plan(text, plant.head.replace("{host:", "{clientId: other, host:"))
            update = Restart(plant.runtime, plant.graph, wanted, drain=5.0, stored=lambda plan: plan, **given)
            assert update.run() == ("proven", "")
            plant.more("out/a/1")
            assert not plant.runtime.broken()
        finally:
            plant.close()
    numbers = plant.came["out/a/1"]
    assert numbers == sorted(numbers)
    assert len(numbers) >= 40
