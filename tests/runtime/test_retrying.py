"""A message that waits for another try holds up its own topic only, and order within that topic is kept."""

from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from node_bench import Bench, Shouting

from flowrt.errors import NodeFault
from flowrt.operators.base import Emission, Fault, OnError
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.stage import Errand, Stage
from flowrt.testing import batch_of
from flowrt.values import replace

RETRY = OnError(policy="retry", retries=3, backoff="20ms")


class Moody(Shouting):
    """Refuses each payload as often as `moods` says, then takes it."""

    def __init__(self, **moods):
        super().__init__()
        self.moods = {key.encode(): times for key, times in moods.items()}

    def process(self, batch):
        bad = []
        for payload in batch.payloads:
            left = self.moods.get(payload, 0)
            self.moods[payload] = left - 1
            bad.append(left > 0)
        faults = tuple(Fault(batch.slice(i, i + 1), NodeFault("error", "no")) for i, no in enumerate(bad) if no)
        good = batch.select([not no for no in bad])
        return Emission((good if len(good) else None,), faults=faults)


class StagedBench(Bench):
    """A node in a stage of its own."""

    def __init__(self, tmp_path, operator, *, inbox=1000, on_error=RETRY):
        super().__init__(tmp_path, operator, on_error=on_error)
        self.stage = Stage("g/n", Inbox(10_000, 2**20), self.node.accept, 100, 0.0)
        self.node.retry_beside(self.stage, inbox)
        self.stage.start()

    def put(self, *messages):
        """Messages as `topic:payload`, in one batch."""
        pairs = [message.split(":") for message in messages]
        topics, payloads = [topic for topic, _ in pairs], [payload.encode() for _, payload in pairs]
        self.stage.inbox.put(batch_of(payloads, topics=topics, tracker=self.tracker))

    def end(self):
        assert self.stage.finish(20)
        self.letters.close()
        return self.out


def test_other_topics_pass_and_order_within_the_topic_is_kept(tmp_path):
    b = StagedBench(tmp_path, Moody(a1=2))
    b.put("a:a0", "a:a1", "b:b1", "a:a2", "b:b2")
    b.put("a:a3", "c:c1")

    out = b.end()

    assert [payload for payload in out if payload[:1] == b"a"] == [b"a0", b"a1", b"a2", b"a3"]
    assert out[:4] == [b"a0", b"b1", b"b2", b"c1"]
    assert (b.released, b.counters.retries, b.dead()) == (7, 2, [])


def test_one_that_never_passes_becomes_a_letter_and_what_is_behind_it_goes_on(tmp_path):
    b = StagedBench(tmp_path, Moody(bad=99))
    b.put("a:bad", "a:next")

    assert b.end() == [b"next"]
    letters = b.counters.dead_lettered
    assert (letters, b.counters.retries, b.released) == (1, 3, 2)


def test_messages_that_a_node_before_has_made_of_one_are_told_apart(tmp_path):
    """They have one number, and both fail: neither takes the other's place."""
    b = StagedBench(tmp_path, Moody(a1=1, a2=2))
    seqs = [*b.tracker.open(1)] * 2 + [*b.tracker.open(1)]
    b.tracker.fork(seqs[:1])

    b.stage.inbox.put(replace(batch_of([b"a1", b"a2", b"b"], topics=["a", "a", "b"]), seqs=seqs, tracker=b.tracker))

    assert sorted(b.end()) == [b"a1", b"a2", b"b"]
    assert (b.released, b.counters.retries) == (2, 3)


def test_too_many_that_wait_hold_the_stage_up(tmp_path):
    b = StagedBench(tmp_path, Moody(x=1), inbox=2)
    b.put("a:x")
    for number in range(20):
        b.put(f"a:{number}")

    assert b.end() == [b"x", *(b"%d" % number for number in range(20))]


def test_a_stop_without_time_leaves_what_waits_at_its_source(tmp_path):
    b = StagedBench(tmp_path, Moody(bad=99), on_error=OnError(policy="retry", retries=1000, backoff="60s"))
    b.put("b:ok", "a:bad", "a:behind")
    until = monotonic() + 15
    while b.released < 1:
        assert monotonic() < until

    assert not b.stage.finish(0.05)
    b.node._stopping.set()
    b.stage.join(10)

    assert b.stage.ended()
    assert (b.out, b.released, b.dead()) == ([b"ok"], 1, [])
    b.letters.close()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_every_message_comes_to_one_end_and_topics_keep_their_order(tmp_path_factory, data):
    names = data.draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=20))
    payloads = [f"{topic}{number}" for number, topic in enumerate(names)]
    moods = {payload: data.draw(st.sampled_from([0, 0, 1, 2, 9])) for payload in payloads}
    b = StagedBench(
        tmp_path_factory.mktemp("retry"), Moody(**moods), on_error=OnError(policy="retry", retries=2, backoff="1ms")
    )
    at = 0
    while at < len(payloads):
        size = data.draw(st.integers(1, 5))
        b.put(*[f"{payload[0]}:{payload}" for payload in payloads[at : at + size]])
        at += size
    out = b.end()

    expected = [payload for payload in payloads if moods[payload] <= 2]
    for topic in "ab":
        assert [p.decode() for p in out if p[:1] == topic.encode()] == [p for p in expected if p[0] == topic]
    assert b.released == len(payloads)
    assert b.counters.dead_lettered == len(payloads) - len(expected)


def test_what_is_before_a_trap_goes_on_before_the_node_is_restarted(node_bench):
    seen = []

    class Slow(Shouting):
        def restart(self):
            seen.append(list(b.out))
            super().restart()

    b = node_bench(Slow())
    b.send(b"a", b"trap", b"b", b"trap", b"c")

    assert b.out == [b"A", b"B", b"C"]
    assert seen == [[], [b"A"], [b"A", b"B"]]  # the first, after the whole batch; then one for each message that traps


@pytest.mark.parametrize("crashes", [1, 3])
def test_a_message_that_kills_its_process_so_often_is_the_one_at_fault(node_bench, crashes):
    from flowrt.errors import GuestTrap

    class Fragile(Shouting):
        calls = 0

        def process(self, batch):
            if b"poison" in batch.payloads:
                self.calls += 1
                self.dead = True
                raise GuestTrap("crash", "killed")
            return super().process(batch)

    operator = Fragile()
    b = node_bench(operator, on_error=OnError(crashes=crashes))
    b.send(b"poison")

    assert operator.calls == crashes
    assert [(kind, payload) for kind, _, payload in b.dead()] == [("crash", b"poison")]


def test_what_waits_is_taken_over_by_the_node_that_takes_its_place(tmp_path):
    b = StagedBench(tmp_path, Moody(bad=99), on_error=OnError(policy="retry", retries=1000, backoff="50ms"))
    b.put("a:bad", "a:behind")
    until = monotonic() + 15
    while not b.node.retrying.count:
        assert monotonic() < until
    other = Bench(tmp_path, Moody(), on_error=RETRY)
    other.node.targets = b.node.targets
    errand = Errand(lambda: other.node.retry_beside(b.stage, 10))
    b.stage.post(errand)
    assert errand.done.wait(10)

    assert b.end() == [b"bad", b"behind"]
    assert b.released == 2
    other.letters.close()
