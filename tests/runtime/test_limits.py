"""What happens at a node's limits, outcome by outcome, with what each one counts and says."""

import pytest
from node_bench import Shouting

from flowrt.errors import GuestTrap
from flowrt.events import LimitReached, NodeDisabled, NodeEnabled
from flowrt.operators.base import Emission
from flowrt.quota.meter import Meter
from flowrt.runtime.limits import CALL_SECONDS, FAULT_SECONDS, OUTPUT_SECONDS


class Spinning(Shouting):
    """Uses up a tenth of a second of the processor for each batch."""

    def process(self, batch):
        from time import thread_time

        until = thread_time() + 0.1
        while thread_time() < until:
            pass
        return super().process(batch)


def said(bench, kind):
    return [event for event in bench.events if isinstance(event, kind)]


def test_drop_forgets_what_is_over_the_messages_a_second_and_acknowledges_it(node_bench):
    b = node_bench(Shouting(), message_rate=20, at_limit="drop")  # a burst of two

    b.send(b"a", b"b", b"c", b"d")

    assert (b.out, b.counters.dropped, b.released) == ([b"A", b"B"], {"limit": 2}, 4)
    assert [(e.bound, e.limit, e.outcome) for e in said(b, LimitReached)] == [
        ("messageRate", "20 messages a second", "drop")
    ]


def test_drop_counts_bytes_as_well(node_bench):
    b = node_bench(Shouting(), byte_rate=100, at_limit="drop")  # a burst of ten bytes

    b.send(b"aaaa", b"bbbb", b"cccc")

    assert (b.out, b.counters.dropped) == ([b"AAAA", b"BBBB"], {"limit": 1})
    assert b.counters.rated_bytes == 8  # to be seen beside the limit


def test_one_message_passes_however_small_the_rate(node_bench):
    b = node_bench(Shouting(), byte_rate=1, at_limit="drop")

    b.send(b"much more than a byte", b"b")

    assert b.out == [b"MUCH MORE THAN A BYTE"]


def test_bypass_passes_what_is_over_on_unchanged(node_bench):
    b = node_bench(Shouting(), message_rate=20, at_limit="bypass")

    b.send(b"a", b"b", b"c")

    assert (b.out, b.counters.bypassed, b.counters.emitted, b.released) == ([b"c", b"A", b"B"], 1, 3, 3)


def test_throttle_lets_everything_through_and_counts_the_wait(node_bench):
    b = node_bench(Shouting(), message_rate=1000)

    b.send(*[b"a"] * 110)

    assert len(b.out) == b.released == 110
    assert b.counters.rate_throttled_seconds >= 0.009  # ten more than the burst
    assert b.counters.throttled_seconds == 0


def test_a_share_of_the_processor_is_waited_for(node_bench):
    b = node_bench(Spinning(), cpu="500m")

    b.send(b"a")
    b.send(b"b")

    assert b.out == [b"A", b"B"]
    assert b.counters.cpu_seconds >= 0.2
    assert b.counters.throttled_seconds >= 0.2  # 0.2 s of work at a half, less a burst of 0.05 s
    assert [event.bound for event in said(b, LimitReached)] == ["cpu"]


class Costly(Shouting):
    """Is told by its test what a message costs, in seconds of the processor, and remembers how many came at a time."""

    def __init__(self, cost):
        super().__init__()
        self.cost, self.sizes = cost, []

    def process(self, batch):
        self.sizes.append(len(batch))
        self.meter.add(self.cost * len(batch))
        return super().process(batch)


def test_past_its_share_a_node_takes_its_messages_a_few_at_a_time(node_bench):
    """What it does in one go keeps others from the interpreter: a millisecond of four messages at most, then of one
    when those turn out to be dearer, and all at once again when they are cheap."""
    operator = Costly(0.00025)
    b = node_bench(operator, cpu=0.25)
    operator.meter = meter = b.node._limits.meter
    waits = []
    meter._wait = waits.append
    eight = [b"%d" % number for number in range(8)]
    meter._buckets[0]._level = -1.0

    b.send(*eight)
    b.send(*eight)
    assert operator.sizes[0] == 8
    assert 2 <= max(operator.sizes[1:]) <= 4

    operator.cost = 0.01
    b.send(*eight)
    assert operator.sizes[-1] == 1
    assert b.out == eight * 3
    assert len(waits) == len(operator.sizes)

    operator.cost = 0.00001
    for _ in range(4):
        b.send(*eight)
    assert operator.sizes[-1] == 8


class Multiplying(Costly):
    """Makes as many outputs of each message as it says."""

    def process(self, batch):
        super().process(batch)
        count = int(batch.payloads[0])
        return Emission((batch.take([0] * count),), forked=[batch.seqs[0]] * (count - 1))


@pytest.fixture
def surcharges(monkeypatch):
    """Seconds that nodes were charged beyond what they used."""
    made = []
    monkeypatch.setattr(Meter, "owe", lambda _, seconds: made.append(seconds))
    return made


def with_share(node_bench, operator, *, level, **resources):
    """A node whose bucket holds so many seconds, and which waits in no time."""
    b = node_bench(operator, cpu=0.25, **resources)  # a burst of 25 ms
    operator.meter = meter = b.node._limits.meter
    meter._wait = lambda _: None
    meter._buckets[0]._level = level
    return b


@pytest.mark.parametrize(
    ("operator", "payload", "price"),
    [
        (Costly(0.01), b"refuse", [FAULT_SECONDS]),
        (Costly(0.01), b"trap", [pytest.approx(FAULT_SECONDS + CALL_SECONDS)]),
        (Multiplying(0.01), b"100", [pytest.approx(84 * OUTPUT_SECONDS)]),
        (Multiplying(0.01), b"16", []),
        (Costly(0.01), b"a", []),
    ],
)
def test_past_its_share_faults_and_many_outputs_cost_more_than_they_take(
    node_bench, surcharges, operator, payload, price
):
    """They are the interpreter's work, which keeps others from theirs."""
    b = with_share(node_bench, operator, level=-1.0)

    b.send(b"1")
    b.send(payload)

    assert surcharges == price


def test_within_its_share_a_fault_costs_what_it_takes(node_bench, surcharges):
    b = with_share(node_bench, Costly(0.0001), level=0.025)

    b.send(*[b"refuse"] * 30)

    assert surcharges == []


def test_a_node_that_has_its_share_back_is_not_past_it_however_much_a_batch_takes(node_bench, surcharges):
    b = with_share(node_bench, Costly(0.01), level=-1.0)  # almost half the burst for each

    b.send(b"a")
    b.node._limits.meter._buckets[0]._level = 0.025
    b.send(b"a")
    b.send(b"refuse")

    assert surcharges == []


def test_a_wait_in_the_middle_of_a_call_counts_once_for_who_drops_what_is_over(node_bench, surcharges):
    b = with_share(node_bench, Costly(0.0001), level=0.025, at_limit="drop")
    b.counters.throttled_seconds = 0.2  # a process of its own waited while it started

    b.send(b"refuse")
    b.send(b"refuse")
    b.send(b"refuse")

    assert surcharges == [FAULT_SECONDS]


def test_past_its_share_faults_are_kept_a_few_at_a_time(node_bench, surcharges, monkeypatch):
    b = with_share(node_bench, Costly(0.00001), level=-1.0)
    b.node._limits.divides = False  # as of a model
    writes, add = [], b.letters.add
    monkeypatch.setattr(b.letters, "add", lambda letters: writes.append(len(letters)) or add(letters))

    b.send(b"a")
    b.send(*[b"refuse"] * 40)

    assert writes == [16, 16, 8]
    assert b.released == 41


def test_what_a_trap_costs_is_paid_for_between_the_parts_of_its_batch(node_bench):
    """A batch of 64 with one message that traps is tried in parts; none of them begins before the ones before it are
    paid for."""
    operator = Costly(0.001)
    b = node_bench(operator, cpu=0.25)
    operator.meter = meter = b.node._limits.meter
    waits = []
    meter._wait = waits.append

    b.send(*[b"trap" if number == 40 else b"a" for number in range(64)])

    assert b.out == [b"A"] * 63
    assert len(waits) >= 5
    assert len(b.dead()) == 1


def test_over_its_share_messages_may_bypass_a_node(node_bench):
    b = node_bench(Spinning(), cpu="10m", at_limit="bypass")

    b.send(b"a")
    b.send(b"b")

    assert (b.out, b.counters.bypassed, b.counters.throttled_seconds) == ([b"A", b"b"], 1, 0)


def test_a_fault_may_let_its_message_pass_unchanged_in_its_place(node_bench):
    b = node_bench(Shouting(), at_fault="bypass")

    b.send(b"a", b"trap", b"c")

    assert (b.out, b.dead(), b.counters.bypassed, b.released) == ([b"A", b"trap", b"C"], [], 1, 3)
    assert b.counters.faults == {"trap": 1}


def test_what_a_guest_refuses_does_not_bypass_it(node_bench):
    b = node_bench(Shouting(), at_fault="bypass")

    b.send(b"a", b"refuse")

    assert (b.out, b.dead(), b.counters.bypassed) == ([b"A"], [("error", "no", b"refuse")], 0)


DISABLE = {"faults": 2, "within": "1m", "pause": "1m"}


def test_a_node_that_fails_too_often_is_switched_off_and_its_messages_are_kept(node_bench):
    b = node_bench(Shouting(), disable=DISABLE)

    b.send(b"trap", b"trap")
    b.send(b"a")

    assert [letter[0] for letter in b.dead()] == ["disabled", "trap", "trap"]
    assert (b.out, b.counters.disables, b.counters.disabled, b.released) == ([], 1, True, 3)
    assert [(event.faults, event.reason) for event in said(b, NodeDisabled)] == [(2, "trap: unreachable")]


def test_messages_may_bypass_a_node_that_is_switched_off(node_bench):
    b = node_bench(Shouting(), disable=DISABLE, at_fault="bypass")

    b.send(b"trap", b"trap")
    b.send(b"a")

    assert (b.out, b.counters.bypassed, b.dead()) == ([b"trap", b"trap", b"a"], 3, [])


def test_what_the_messages_are_to_blame_for_switches_nothing_off(node_bench):
    b = node_bench(Shouting(), disable=DISABLE)

    b.send(*[b"refuse"] * 5)

    assert not b.counters.disabled


def test_a_node_is_tried_again_after_its_pause(node_bench):
    b = node_bench(Shouting(), disable={"faults": 1, "within": "1m", "pause": "1us"})

    b.send(b"trap")
    b.send(b"a")

    assert (b.out, b.counters.disabled, b.counters.disables) == ([b"A"], False, 1)
    assert len(said(b, NodeEnabled)) == 1


def test_a_guest_that_does_not_come_up_again_is_switched_off_instead_of_tried_for_ever(node_bench):
    class Dead(Shouting):
        comes_up = False

        def restart(self):
            if not self.comes_up:
                raise GuestTrap("deadline", "init took too long")
            super().restart()

    b = node_bench(Dead(), disable={"faults": 3, "within": "1m", "pause": "1us"})

    b.send(b"trap")
    assert [letter[0] for letter in b.dead()] == ["trap"]
    assert b.counters.faults == {"deadline": 2, "trap": 1}

    b.node.operator.comes_up = True
    b.send(b"a")
    assert b.out == [b"A"]


@pytest.mark.parametrize("at_limit", ["throttle", "drop", "bypass"])
def test_within_its_limits_a_node_does_nothing_out_of_the_way(node_bench, at_limit):
    b = node_bench(Shouting(), cpu=1, message_rate=10_000, byte_rate="10M", at_limit=at_limit, disable=DISABLE)

    b.send(b"a", b"b")

    assert (b.out, b.events) == ([b"A", b"B"], [])
    assert b.counters.throttled_seconds == b.counters.rate_throttled_seconds == b.counters.bypassed == 0
