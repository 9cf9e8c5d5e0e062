"""Trackers release messages in order of arrival, when all that derives from them has come to its end."""

from hypothesis import given
from hypothesis import strategies as st

from flowrt.delivery.tracker import Tracker


class Released:
    def __init__(self):
        self.count = 0
        self.tracker = Tracker(self.release)

    def release(self, count):
        self.count += count


def test_a_batch_settled_whole_is_released_whole():
    released = Released()
    seqs = released.tracker.open(3)

    released.tracker.settle(seqs)

    assert released.count == 3
    assert released.tracker.open_count == 0


def test_nothing_is_released_before_what_came_earlier():
    released = Released()
    first, second = released.tracker.open(1), released.tracker.open(1)

    released.tracker.settle(second)
    assert released.count == 0
    released.tracker.settle(first)
    assert released.count == 2


def test_a_forked_message_waits_for_all_its_parts():
    released = Released()
    seqs = released.tracker.open(1)
    released.tracker.fork([0, 0])

    released.tracker.settle(seqs)
    released.tracker.settle([0])
    assert released.count == 0
    released.tracker.settle(seqs)
    assert released.count == 1


@given(st.data())
def test_the_mark_never_passes_an_open_message(data):
    """For any forks and any order of settling, exactly the settled prefix is released."""
    released = Released()
    tracker = released.tracker
    parts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=30))
    tracker.open(len(parts))
    tracker.fork([seq for seq, count in enumerate(parts) for _ in range(count - 1)])
    settles = data.draw(st.permutations([seq for seq, count in enumerate(parts) for _ in range(count)]))
    left = list(parts)
    for seq in settles:
        tracker.settle([seq])
        left[seq] -= 1
        prefix = next((i for i, count in enumerate(left) if count), len(left))
        assert released.count == prefix
    assert tracker.open_count == 0


def test_a_row_settled_again_after_its_release_harms_nobody():
    released = Released()
    tracker = released.tracker
    first = tracker.open(2)
    tracker.settle(first)
    second = tracker.open(2)

    tracker.settle(first)
    assert (released.count, tracker.surplus, tracker.open_count) == (2, 2, 2)
    tracker.settle(second)
    assert released.count == 4
