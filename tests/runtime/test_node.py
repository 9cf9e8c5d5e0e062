"""A node recovers from traps, sends what it cannot handle where onError says, and settles every message."""

from node_bench import Shouting

from flowrt.errors import NodeFault
from flowrt.operators.base import OnError


def test_only_the_message_that_traps_is_lost_to_the_dead_letters(node_bench):
    b = node_bench(Shouting())

    b.send(b"a", b"trap", b"c")

    assert b.out == [b"A", b"C"]
    assert b.dead() == [("trap", "unreachable", b"trap")]
    assert b.released == 3
    assert b.counters.faults == {"trap": 1}
    assert b.counters.restarts == b.node.operator.restarts == 2  # once for the batch, once for the culprit alone


def test_messages_that_trap_among_good_ones_cost_no_pause(node_bench):
    """Else one in ten would slow the node down to a message a second."""
    b = node_bench(Shouting())
    b.node._stopping.set()  # any pause would end the node now

    b.send(*[b"a", b"trap"] * 20)

    assert (b.out, len(b.dead()), b.released) == ([b"A"] * 20, 20, 40)


def test_a_refused_message_costs_no_restart(node_bench):
    b = node_bench(Shouting())

    b.send(b"a", b"refuse")

    assert (b.out, b.dead(), b.counters.restarts, b.released) == ([b"A"], [("error", "no", b"refuse")], 0, 2)


def test_the_drop_policy_counts_and_keeps_nothing(node_bench):
    b = node_bench(Shouting(), on_error=OnError(policy="drop"))

    b.send(b"refuse", b"a")

    assert (b.out, b.dead(), b.counters.dropped, b.released) == ([b"A"], [], {"onError": 1}, 2)


def test_a_payload_above_the_bound_is_a_fault_of_its_own(node_bench):
    b = node_bench(Shouting(), message=3)

    b.send(b"abc", b"abcd")

    assert b.out == [b"ABC"]
    assert b.dead() == [("size", "payload of 4 bytes is larger than resources.message (4 > 3)", b"abcd")]


def test_the_retry_policy_tries_again_before_it_gives_up(node_bench):
    class Moody(Shouting):
        tries = 0

        def process(self, batch):
            self.tries += 1
            if self.tries < 3:
                raise NodeFault("error", "not now")
            return super().process(batch)

    b = node_bench(Moody(), on_error=OnError(policy="retry", retries=3, backoff=0))
    b.send(b"a")
    assert (b.out, b.dead(), b.counters.retries) == ([b"A"], [], 2)


def test_retries_are_bounded(node_bench):
    b = node_bench(Shouting(), on_error=OnError(policy="retry", retries=2, backoff=0))
    b.send(b"refuse")
    assert (b.dead(), b.counters.retries, b.released) == ([("error", "no", b"refuse")], 2, 1)


def test_an_exception_of_ours_is_a_fault_and_the_node_lives(node_bench, caplog):
    class Buggy(Shouting):
        def process(self, batch):
            if b"bug" in batch.payloads:
                raise KeyError("oops")
            return super().process(batch)

    b = node_bench(Buggy())
    b.send(b"bug")
    b.send(b"a")
    assert b.out == [b"A"]
    assert b.dead() == [("internal", "KeyError: 'oops'", b"bug")]


def test_two_targets_both_have_to_settle(node_bench):
    b = node_bench(Shouting())
    held = []
    b.node.targets = [[b.take, held.append]]

    b.send(b"a")
    assert b.released == 0
    held[0].tracker.settle(held[0].seqs)
    assert b.released == 1


def test_a_dead_letter_store_that_cannot_be_written_is_waited_for(node_bench, tmp_path):
    """Nothing is acknowledged that was not kept: the node waits until it is stopped."""
    (tmp_path / "dead.sqlite").mkdir()
    b = node_bench(Shouting())
    b.node._stopping.set()

    b.send(b"refuse")

    assert b.released == 0
    assert [type(event).__name__ for event in b.events] == ["NodeFaulted", "StoreFailed"]
