"""A graph is updated while it runs, and goes back by itself when the new version is worse."""

import struct
import threading
from time import monotonic

import pytest
from update_bench import TRAP_ON_X, chain, counting, counting_text, marking
from wasm_guests import COPY, wasm

from flowrt.updates.manager import Manager
from flowrt.updates.update import Update

QUICK = "updates: {shadow: 4, shadowTime: 10s, probation: 0, messages: 20, golden: [], bounds: {latency: 1000}}\n"


class Updating:
    """A graph under traffic, and one update of it on a thread of its own."""

    def __init__(self, bench, running, wanted, payload=b".ok"):
        self.bench = bench
        self.graph = bench.start(running)
        self.sent = []
        self.payload = payload
        self._stop = threading.Event()
        self._feeder = threading.Thread(target=self._feed)
        self._feeder.start()
        bench.out(25)
        self.states = []
        self.update = Update(
            bench.runtime,
            self.graph,
            bench.plan(wanted),
            emit=bench.events.append,
            moved=lambda state, detail: self.states.append(state),
            ending=threading.Event(),
        )

    def _feed(self):
        while not self._stop.is_set():
            payloads = [self.payload + b"%d" % (len(self.sent) + n) for n in range(3)]
            self.bench.feed(payloads)
            self.sent += payloads
            self._stop.wait(0.001)

    def run(self):
        ended = self.update.run()
        self.stop()
        return ended

    def stop(self):
        self._stop.set()
        self._feeder.join()

    def results(self):
        return self.bench.out(len(self.sent))


@pytest.fixture
def updating(bench):
    made = []

    def start(*arguments, **options):
        made.append(Updating(bench, *arguments, **options))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_a_better_version_takes_over(updating, bench):
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    one = updating(chain(("m", "module: one")), chain(("m", "module: two"), more=QUICK))

    assert one.run() == ("proven", "")

    assert one.states == ["prepared", "checked", "shadowed", "probation", "proven"]
    found = one.results()
    assert [payload[1:] for payload in found] == [payload[1:] for payload in one.sent]
    assert found[-1][:1] == b"2"
    assert one.graph.updates.ended["proven"] == one.graph.updates.pause.count == 1
    assert type(one.graph.nodes["m"].operator).__name__ == "MapOperator"


ON_SEVEN = "(if (i32.eq (i32.load8_u offset=4 (local.get $at)) (i32.const 55)) (then {}))"
"""For one message in about ten."""
SPINNING = (
    "(func $spin (local $n i32) (local.set $n (i32.const 3000000)) (loop $more "
    "(local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $more (local.get $n))))"
)
BAD = {
    "traps": (marking("2", "unreachable"), "traps: trapped on"),
    "traps on one in ten": (
        marking("2", ON_SEVEN.format("unreachable")),
        "traps: trapped on",
    ),
    "is slow": (wasm(SPINNING + COPY.replace("(call $out", "(call $spin) (call $out")), "latency: takes"),
    "eats memory": (
        marking("2", "(drop (memory.grow (i32.const 240)))"),
        "memory: holds",
    ),
}  # fmt: skip


@pytest.mark.parametrize("phase", ["beside the old version", "in probation"])
@pytest.mark.parametrize("kind", BAD)
def test_a_worse_version_goes_and_no_message_with_it(updating, bench, kind, phase):
    code, reason = BAD[kind]
    bench.module("one", marking("1"))
    bench.module("bad", code)
    more = QUICK if phase.startswith("beside") else QUICK.replace("shadow: 4", "shadow: 0")
    more = more.replace("1000}", "3}") if kind == "is slow" else more
    more = more.replace("shadow: 4", "shadow: 3000").replace("messages: 20", "messages: 1000000")
    one = updating(chain(("m", "module: one")), chain(("m", "module: bad"), more=more))
    before = one.graph.parts["m"]

    state, found = one.run()

    assert state == ("refused" if phase.startswith("beside") else "rolledBack"), found
    assert found.startswith(reason)
    assert one.graph.parts["m"] is before
    assert [payload[1:] for payload in one.results()] == [payload[1:] for payload in one.sent]
    assert one.graph.nodes["m"].counters.dead_lettered == 0
    assert one.update.remember


def test_one_message_in_ten_that_comes_out_differently_is_drift(updating, bench):
    bench.module("one", marking("1"))
    bench.module("bad", marking("1", ON_SEVEN.format("(i32.store8 offset=1 (local.get $at) (i32.const 33))")))
    more = "updates: {shadow: 0, probation: 0, messages: 1000000, bounds: {drift: 0, latency: 1000}}\n"
    one = updating(chain(("m", "module: one")), chain(("m", "module: bad"), more=more))

    state, reason = one.run()

    assert state == "rolledBack"
    assert reason.startswith("drift: gave other results for "), reason


class Alone:
    """An operator that notes when it is called, or closed, while it works."""

    def __init__(self, operator, meanwhile):
        """`meanwhile` is called, with what is set then, in the midst of each call."""
        self.met = threading.Event()
        self.restart, self.memory_bytes = operator.restart, operator.memory_bytes
        self._operator, self._meanwhile, self._working = operator, meanwhile, threading.Lock()

    def process(self, batch):
        if not self._working.acquire(blocking=False):
            self.met.set()
            raise AssertionError("called by two at once")
        try:
            self._meanwhile(self.met)
            return self._operator.process(batch)
        finally:
            self._working.release()

    def close(self):
        if self._working.locked():
            self.met.set()
        self._operator.close()


def test_the_old_version_is_in_its_place_again_when_it_is_done_beside_the_new_one(updating, bench):
    bench.module("one", marking("1"))
    bench.module("bad", marking("1", ON_SEVEN.format("(i32.store8 offset=1 (local.get $at) (i32.const 33))")))
    more = "updates: {shadow: 0, probation: 0, messages: 1000000, bounds: {drift: 0, latency: 1000}}\n"
    one = updating(chain(("m", "module: one")), chain(("m", "module: bad"), more=more))

    def wait_beside(met):
        if threading.current_thread().name == "flowrt/beside":
            met.wait(0.1)

    old = one.graph.nodes["m"].operator = Alone(one.graph.nodes["m"].operator, wait_beside)

    assert one.run()[0] == "rolledBack"
    assert not old.met.is_set()
    assert len(one.results()) == len(one.sent)
    assert one.graph.nodes["m"].counters.dead_lettered == 0


def test_a_message_that_no_version_handles_is_nobodys_fault(updating, bench):
    bench.module("one", marking("1", TRAP_ON_X))
    bench.module("two", marking("2", TRAP_ON_X))
    one = updating(chain(("m", "module: one")), chain(("m", "module: two"), more=QUICK.replace("20", "200")))
    bench.feed([b".x"], [b".fine"], [b".x"])

    assert one.run() == ("proven", "")
    assert one.graph.nodes["m"].counters.dead_lettered == 2


def test_a_golden_message_that_comes_out_wrong_refuses_the_version(updating, bench):
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    more = "updates: {golden: [{operation: m, payload: .ok, expect: 1ok}]}\n"
    one = updating(chain(("m", "module: one")), chain(("m", "module: two"), more=more))

    assert one.run() == ("refused", "golden: message for 'm' came out as b'2ok', not as '1ok'")
    assert one.states == ["prepared", "refused"]


def test_a_canary_gets_its_topics_only(updating, bench):
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    more = QUICK.replace("golden: []", "canary: 0.000001, canaryTime: 50ms")
    one = updating(chain(("m", "module: one")), chain(("m", "module: two"), more=more))

    assert one.run() == ("proven", "")
    assert "canary" in one.states


def test_a_canary_that_is_called_back_is_closed_when_it_is_done(updating, bench):
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    more = QUICK.replace("golden: []", "canary: 0.999999, canaryTime: 1h")
    one = updating(chain(("m", "module: one")), chain(("m", "module: two"), more=more))
    made, check = [], one.update._check

    def call_back(met):
        if "canary" in one.states:
            one.update.asked.set()
            met.wait(0.1)

    def with_another():
        node = one.update._made["m"].node
        made.append(Alone(node.operator, call_back))
        node.operator = made[0]
        check()

    one.update._check = with_another

    assert one.run() == ("rolledBack", "asked: rolled back by hand")
    assert not made[0].met.is_set()
    assert len(one.results()) == len(one.sent)


def test_a_window_goes_on_through_a_failed_update(updating, bench):
    """The new version counts to 60 and traps; the old one goes on with what it left."""
    bench.module("old", counting("a"))
    bench.module("bad", _traps_at_sixty())
    more = "updates: {shadow: 0, probation: 0, messages: 1000000, bounds: {latency: 1000}}\n"
    one = updating(chain(("m", "module: old")), chain(("m", "module: bad"), more=more))

    state, reason = one.run()

    assert (state, reason.partition(":")[0]) == ("rolledBack", "traps")
    numbers = [struct.unpack("<I", payload[1:])[0] for payload in one.results()]
    assert numbers == list(range(1, len(numbers) + 1))


def _traps_at_sixty():
    trap = "(if (i32.ge_u (global.get $n) (i32.const 60)) (then unreachable))"
    return wasm(counting_text("b").replace("(local.set $to", f"{trap} (local.set $to"))


def test_rolling_back_by_hand(updating, bench):
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    more = QUICK.replace("messages: 20", "messages: 1000000")
    one = updating(chain(("m", "module: one")), chain(("m", "module: two"), more=more))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(one.update.run()))
    thread.start()
    assert one.update.settled.wait(20)

    one.update.asked.set()
    thread.join(20)

    assert ended == [("rolledBack", "asked: rolled back by hand")]
    assert not one.update.remember


def test_several_nodes_at_once_are_watched_and_go_back_together(updating, bench):
    bench.module("one", marking("1"))
    bench.module("bad", marking("2", "unreachable"))
    more = QUICK.replace("messages: 20", "messages: 1000000")
    running = chain(("m", "module: one"), ("n", "module: one"))
    one = updating(running, chain(("k", "module: one"), ("n", "module: bad"), more=more))

    state, reason = one.run()

    assert (state, reason.partition(":")[0]) == ("rolledBack", "traps")
    assert list(one.graph.nodes) == ["m", "n", "out"]
    until = monotonic() + 10
    while one.graph.nodes["out"].counters.sent < 50:
        assert monotonic() < until


def test_other_figures_for_the_whole_graph_hold_from_the_exchange_on(updating, bench):
    bench.module("one", marking("1"))
    budget = QUICK + "resources: {cpu: 4, memory: 64Mi}\n"
    one = updating(
        chain(("m", "module: one"), more=budget),
        chain(("m", "module: one"), more=budget.replace("cpu: 4", "cpu: 3").replace("64Mi", "32Mi")),
    )
    assert one.run() == ("proven", "")
    assert one.graph is bench.runtime.graphs[0]
    assert (one.graph.shared.own.share, one.graph.shared.pool.limit) == (3.0, 32 * 2**20)
    assert len(one.results()) == len(one.sent)


def test_less_memory_than_is_held_already_is_refused(updating, bench):
    bench.module("one", marking("1"))
    budget = QUICK + "resources: {memory: 64Mi}\n"
    text = chain(("m", "module: one"), more=budget)
    one = updating(text, text.replace("64Mi", "64Ki"))
    assert one.run()[1].startswith("memory: its operations hold")
    assert one.graph.shared.pool.limit == 64 * 2**20


def test_what_runs_since_the_start_is_not_proven_in_the_place_of_an_update_that_has_begun(bench):
    """Its probation ends at the same moment."""
    bench.module("one", marking("1"))
    bench.module("two", marking("2"))
    graph = bench.start(chain(("m", "module: one")))
    manager = Manager(bench.folder / "state", bench.events.append, None, bench.drain)
    manager.runtime = bench.runtime
    more = "updates: {shadow: 0, probation: 60s, messages: 1000000}\n"
    running = manager.apply(bench.plan(chain(("m", "module: two"), more=more)))

    manager._prove(graph)

    assert manager.journal.read("g").candidate is not None
    manager.rollback("g")
    assert running.ended.wait(60)
    assert manager.journal.read("g").proven.modules.keys() == {"one"}
