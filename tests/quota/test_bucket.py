"""CPU shares and pauses are pure arithmetic on a clock that is passed in."""

from hypothesis import given
from hypothesis import strategies as st

from flowrt.quota.backoff import Backoff
from flowrt.quota.bucket import Bucket


@given(st.floats(0.01, 2.0), st.lists(st.floats(0.0001, 0.05), min_size=50, max_size=200))
def test_a_node_that_waits_as_told_keeps_to_its_share(share, batches):
    now = 0.0
    bucket = Bucket(share, now)
    for used in batches:
        now += used + bucket.charge(now + used, used)
    burst = share * 0.1

    assert sum(batches) <= share * now + burst + 1e-9 + (max(batches) if share > 1 else 0)


@given(st.floats(0.01, 2.0), st.lists(st.floats(0.0, 0.01), min_size=50, max_size=200), st.floats(0.0, 0.02))
def test_what_is_paid_together_is_never_let_through_too_early(share, batches, pause):
    """Who pays when what is free is used up stays below who pays each time."""
    now = unpaid = 0.0
    often, seldom = Bucket(share, now), Bucket(share, now)
    free = 0.0
    for used in batches:
        now += pause
        unpaid += used
        owed = often.charge(now, used)
        if unpaid < free:
            assert owed == 0
            continue
        assert seldom.charge(now, unpaid) >= owed - 1e-9
        unpaid, free = 0.0, seldom.free()
        assert free <= share * 0.1 / 4 + 1e-9


def test_an_idle_node_saves_up_no_more_than_its_burst():
    bucket = Bucket(0.5, 0.0)
    assert bucket.charge(1000.0, 0.05) == 0.0
    assert bucket.charge(1000.0, 0.05) == 0.1


def test_pauses_double_after_the_free_tries_and_start_over_when_it_was_calm():
    backoff = Backoff(first=1.0, longest=5.0, free=2, calm=10.0)
    assert [backoff.next(float(t)) for t in range(6)] == [0.0, 0.0, 1.0, 2.0, 4.0, 5.0]
    assert backoff.next(100.0) == 0.0


def test_pauses_start_over_when_it_has_worked():
    backoff = Backoff(first=1.0, longest=5.0, free=1)
    assert [backoff.next(0.0), backoff.next(0.1)] == [0.0, 1.0]
    backoff.worked()
    assert backoff.next(0.2) == 0.0
