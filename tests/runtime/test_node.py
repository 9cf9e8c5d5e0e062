"""A node recovers from traps, sends what it cannot handle where onError says, and settles every message."""

import threading

import pytest

from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import DeadLetters
from flowrt.delivery.tracker import Tracker
from flowrt.errors import GuestTrap, NodeFault
from flowrt.operators.base import Emission, Fault, OnError
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler
from flowrt.testing import batch_of

DEAD_LETTER = OnError()


class Shouting:
    """Turns payloads into capitals; b'trap' kills it, b'refuse' is refused."""

    def __init__(self):
        self.dead = False
        self.restarts = 0

    def process(self, batch):
        assert not self.dead, "an instance that trapped was called again"
        if b"trap" in batch.payloads:
            self.dead = True
            raise GuestTrap("trap", "unreachable", "at shout")
        refused = [payload == b"refuse" for payload in batch.payloads]
        faults = tuple(Fault(batch.slice(i, i + 1), NodeFault("error", "no")) for i, bad in enumerate(refused) if bad)
        good = batch.select([not bad for bad in refused])
        return Emission((good.with_payloads([p.upper() for p in good.payloads]) if len(good) else None,), faults=faults)

    def restart(self):
        self.dead = False
        self.restarts += 1

    def memory_bytes(self):
        return 0

    def close(self):
        pass


class Bench:
    """One node with a list behind it."""

    def __init__(self, tmp_path, operator, *, on_error=DEAD_LETTER, message_max=100, cpu=None):
        self.events, self.out, self.released = [], [], 0
        self.counters = NodeCounters()
        self.letters = DeadLetters(tmp_path / "dead.sqlite")
        stopping = threading.Event()
        faults = FaultHandler("g", "n", on_error, self.counters, self.letters, stopping, self.events.append)
        self.node = Node(
            "g", "n", operator, faults, self.counters,
            on_error=on_error, message_max=message_max, cpu=cpu, stopping=stopping, emit=self.events.append,
        )  # fmt: skip
        self.node.targets = [[self.take]]
        self.tracker = Tracker(self.release)

    def release(self, count):
        self.released += count

    def take(self, batch):
        self.out += batch.payloads
        batch.tracker.settle(batch.seqs)

    def send(self, *payloads):
        self.node.accept(batch_of(payloads, tracker=self.tracker))

    def dead(self):
        return [(letter.kind, letter.detail, letter.message.payload) for letter in self.letters.list()]


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(operator, **options):
        made.append(Bench(tmp_path, operator, **options))
        return made[-1]

    yield make
    for one in made:
        one.letters.close()


def test_only_the_message_that_traps_is_lost_to_the_dead_letters(bench):
    b = bench(Shouting())

    b.send(b"a", b"trap", b"c")

    assert b.out == [b"A", b"C"]
    assert b.dead() == [("trap", "unreachable", b"trap")]
    assert b.released == 3
    assert b.counters.faults == {"trap": 1}
    assert b.counters.restarts == b.node.operator.restarts == 2  # once for the batch, once for the culprit alone


def test_a_refused_message_costs_no_restart(bench):
    b = bench(Shouting())

    b.send(b"a", b"refuse")

    assert (b.out, b.dead(), b.counters.restarts, b.released) == ([b"A"], [("error", "no", b"refuse")], 0, 2)


def test_the_drop_policy_counts_and_keeps_nothing(bench):
    b = bench(Shouting(), on_error=OnError(policy="drop"))

    b.send(b"refuse", b"a")

    assert (b.out, b.dead(), b.counters.dropped, b.released) == ([b"A"], [], {"onError": 1}, 2)


def test_a_payload_above_the_bound_is_a_fault_of_its_own(bench):
    b = bench(Shouting(), message_max=3)

    b.send(b"abc", b"abcd")

    assert b.out == [b"ABC"]
    assert b.dead() == [("size", "payload of 4 bytes is larger than resources.message (4 > 3)", b"abcd")]


def test_the_retry_policy_tries_again_before_it_gives_up(bench):
    class Moody(Shouting):
        tries = 0

        def process(self, batch):
            self.tries += 1
            if self.tries < 3:
                raise NodeFault("error", "not now")
            return super().process(batch)

    b = bench(Moody(), on_error=OnError(policy="retry", retries=3, backoff=0))
    b.send(b"a")
    assert (b.out, b.dead(), b.counters.retries) == ([b"A"], [], 2)


def test_retries_are_bounded(bench):
    b = bench(Shouting(), on_error=OnError(policy="retry", retries=2, backoff=0))
    b.send(b"refuse")
    assert (b.dead(), b.counters.retries, b.released) == ([("error", "no", b"refuse")], 2, 1)


def test_an_exception_of_ours_is_a_fault_and_the_node_lives(bench, caplog):
    class Buggy(Shouting):
        def process(self, batch):
            if b"bug" in batch.payloads:
                raise KeyError("oops")
            return super().process(batch)

    b = bench(Buggy())
    b.send(b"bug")
    b.send(b"a")
    assert b.out == [b"A"]
    assert b.dead() == [("internal", "KeyError: 'oops'", b"bug")]


def test_two_targets_both_have_to_settle(bench):
    b = bench(Shouting())
    held = []
    b.node.targets = [[b.take, held.append]]

    b.send(b"a")
    assert b.released == 0
    held[0].tracker.settle(held[0].seqs)
    assert b.released == 1


def test_a_dead_letter_store_that_cannot_be_written_is_waited_for(bench, tmp_path):
    """Nothing is acknowledged that was not kept: the node waits until it is stopped."""
    (tmp_path / "dead.sqlite").mkdir()
    b = bench(Shouting())
    b.node._stopping.set()

    b.send(b"refuse")

    assert b.released == 0
    assert [type(event).__name__ for event in b.events] == ["NodeFaulted", "StoreFailed"]
