"""What several nodes share, and what a node's clock and breaker say."""

from time import thread_time

import pytest

from flowrt.counters import NodeCounters
from flowrt.quota.breaker import Breaker
from flowrt.quota.bucket import Bucket, SharedBucket
from flowrt.quota.meter import Meter, _here, _Thread
from flowrt.quota.pool import Pool
from flowrt.quota.quantity import format_cores, parse_cores


def test_a_pool_gives_all_or_nothing_and_takes_from_the_one_around_it():
    machine = Pool(100, "the runtime's budget")
    one, two = Pool(80, "one's budget", machine), Pool(80, "two's budget", machine)

    assert one.take(60)
    assert (one.take(21), one.refusal) == (False, "one's budget of 80")
    assert (two.take(41), two.refusal) == (False, "the runtime's budget of 100")
    assert two.take(40)
    one.give(60)
    assert (machine.used, one.used, two.used) == (40, 0, 40)


def test_a_breaker_opens_at_so_many_faults_in_so_long_and_closes_again():
    breaker = Breaker(3, within=10, pause=60)

    assert [breaker.fault(now) for now in (0, 1, 12)] == [False, False, False]
    assert [breaker.fault(now) for now in (13, 14)] == [False, True]
    assert breaker.off(73)
    assert not breaker.off(74)


def test_a_meter_pays_every_bucket_and_names_the_longest_wait():
    own, shared = Bucket(0.5, 0, burst=0), SharedBucket(0.1, 0, burst=0)
    counters = NodeCounters()
    meter = Meter(counters, [own, shared])

    meter.add(0.2)

    assert 1.9 < meter.owed() <= 2.0
    assert meter.in_debt()
    assert counters.cpu_seconds == 0.2
    assert 1.9 < meter.owed() <= 2.0  # paid once


def test_a_meter_counts_what_its_thread_used():
    counters = NodeCounters()
    meter = Meter(counters)
    meter.begin()
    until = thread_time() + 0.02
    while thread_time() < until:
        pass
    meter.count()

    assert counters.cpu_seconds >= 0.02
    assert meter.owed() == 0


@pytest.mark.parametrize("text", ["250m", "2", "1500m"])
def test_a_share_is_written_as_it_was_read(text):
    assert format_cores(parse_cores(text)) == text


def busy(seconds: float) -> None:
    until = thread_time() + seconds
    while thread_time() < until:
        pass


def test_nodes_that_take_turns_share_their_threads_time_as_they_took_it():
    """Short turns are divided when the clock is read, which a long one, or one after a pause, has done at once."""
    one, other, slow = NodeCounters(), NodeCounters(), NodeCounters()
    meters = {counters: Meter(counters) for counters in (one, other, slow)}
    thread = _Thread()
    thread.tally(meters[one], 0.001, now=1.0)  # the first reading: what was before is nobody's
    assert one.cpu_seconds == 0.001

    busy(0.004)
    for _ in range(3):
        thread.tally(meters[one], 0.0015, now=1.005)
    thread.tally(meters[other], 0.0015, now=1.005)
    assert (one.cpu_seconds, other.cpu_seconds) == (0.001, 0)
    thread.tally(meters[other], 0.0, now=1.02)
    assert other.cpu_seconds >= 0.001
    assert one.cpu_seconds - 0.001 == pytest.approx(3 * other.cpu_seconds)

    thread.tally(meters[one], 0.001, now=1.021)
    before = one.cpu_seconds
    busy(0.02)
    thread.tally(meters[slow], 0.025, now=1.022)  # where it waited, its time on the wall says little
    assert one.cpu_seconds - before == pytest.approx(0.001)
    assert slow.cpu_seconds >= 0.018


def test_what_another_thread_does_for_a_node_is_not_taken_from_its_neighbours():
    helped, neighbour = NodeCounters(), NodeCounters()
    meter, beside = Meter(helped), Meter(neighbour)
    _here.settle(thread_time())

    meter.helped(wall=0.001, used=0.3)
    meter.tally(wall=0.001, now=0.0)  # this thread only waited
    busy(0.004)
    beside.tally(wall=0.001, now=0.0)
    _here.settle(thread_time())
    assert helped.cpu_seconds == pytest.approx(0.3)
    assert neighbour.cpu_seconds >= 0.004
