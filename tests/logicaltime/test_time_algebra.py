"""Logical time as plain numbers: clocks, marks, frontiers, groups."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.logicaltime.clock import GraphClock
from flowrt.logicaltime.frontier import Frontier
from flowrt.logicaltime.groups import Groups
from flowrt.logicaltime.stamping import Stamper
from flowrt.logicaltime.stamps import END, format_stamp, logical, milliseconds, parse_stamp


class Hands:
    """A wall clock and a steady one, moved by hand."""

    def __init__(self, wall=1_000_000):
        self.wall, self.steady = wall, 0.0

    def clock(self):
        return GraphClock(lambda: self.wall, lambda: self.steady)

    def pass_(self, ms):
        self.wall += ms
        self.steady += ms / 1000


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("000001700000000:00003:node", (1_700_000_000, 3, "node")),
        ("1700000000000:0:df", (1_700_000_000_000, 0, "df")),
        ("1:2:a:b", (1, 2, "a:b")),
        ("1:2", None),
        ("x:2:a", None),
        ("-1:2:a", None),
        ("٣:2:a", None),
        ("", None),
        ("9" * 30 + ":2:a", None),
    ],
)
def test_a_senders_clock_is_read_from_its_text(text, stamp):
    assert parse_stamp(text) == stamp


@given(st.integers(0, 10**15 - 1), st.integers(0, 99_999), st.text(max_size=20))
def test_a_clock_that_was_written_is_read_back(ms, counter, node):
    assert parse_stamp(format_stamp((ms, counter, node))) == (ms, counter, node)


def test_the_clock_follows_the_wall_forward():
    hands = Hands()
    clock = hands.clock()
    hands.wall += 3_600_000

    assert clock.now() == 4_600_000
    assert clock.ahead() == 0


def test_the_clock_neither_goes_back_nor_stands_still():
    """The wall is set back by an hour: nine tenths as fast, until it has caught up."""
    hands = Hands(wall=4_600_000)
    clock = hands.clock()
    hands.wall -= 3_600_000

    seen = [clock.now()]
    for _ in range(11):
        hands.pass_(3_600_000)
        seen.append(clock.now())

    assert seen[:2] == [4_600_000, 4_600_000 + 3_240_000]
    assert all(before < after for before, after in pairwise(seen))
    assert seen[-1] == hands.wall


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-(10**7), 10**7)), max_size=40))
def test_the_clock_never_goes_back(steps):
    hands = Hands(wall=10**9)
    clock = hands.clock()
    seen = [clock.now()]
    for passed, jump in steps:
        hands.pass_(passed)
        hands.wall += jump
        seen.append(clock.now())
        assert seen[-1] >= hands.wall
    assert seen == sorted(seen)


def test_a_clock_goes_on_from_an_earlier_run_unless_the_wall_was_set_back():
    hands = Hands()
    assert hands.clock().begin(1_030_000)
    assert not hands.clock().begin(1_000_000 + 3_600_000)


def test_a_message_counts_as_of_its_arrival():
    stamped = Stamper(Hands().clock()).stamp([None, (5, 0, "old"), None])

    assert list(stamped.times) == [logical(1_000_000) + n for n in range(3)]
    assert (stamped.drifted, stamped.late) == ((), []) or (stamped.drifted, stamped.late) == ([], [])


def test_with_lateness_it_counts_as_of_its_senders_clock():
    stamper = Stamper(Hands().clock(), lateness_ms=5000)
    stamper.mark()

    stamped = stamper.stamp([(996_000, 7, "a"), (994_999, 0, "late"), (1_060_001, 0, "ahead"), (1_060_000, 0, "a")])

    assert stamped.times[0] == logical(996_000, 7)
    assert stamped.times[3] == logical(1_060_000)
    assert [milliseconds(time) for time in stamped.times[1:3]] == [1_000_000] * 2
    assert (list(stamped.late), list(stamped.drifted)) == ([1], [2])


stamps = st.none() | st.tuples(st.integers(900_000, 1_200_000), st.integers(0, 2**20), st.just("n"))


@settings(max_examples=200)
@given(
    st.integers(0, 20_000),
    st.lists(st.tuples(st.integers(0, 9000), st.lists(stamps, min_size=1, max_size=5), st.booleans()), max_size=20),
)
def test_no_message_is_stamped_before_a_mark_that_was_given(lateness, reads):
    hands = Hands()
    stamper = Stamper(hands.clock(), lateness)
    mark = 0
    for passed, read, asked in reads:
        hands.pass_(passed)
        if asked:
            given_mark = stamper.mark()
            assert given_mark >= mark
            mark = given_mark
        stamped = stamper.stamp(read)
        assert all(time >= mark for time in stamped.times)
        assert all(time <= logical(hands.wall + 60_000, 2**20) + 10_000 for time in stamped.times)


def test_a_frontier_is_its_slowest_input():
    frontier = Frontier(2)

    moved = [frontier.advance(0, 5), frontier.advance(1, 3), frontier.advance(1, 2), frontier.advance(1, 9)]

    assert (moved, frontier.now) == ([False, True, False, True], 5)
    assert frontier.advance(0, END)
    assert frontier.now == 9


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=60))
def test_a_frontier_only_rises_and_is_the_smallest_mark(marks):
    frontier, highest = Frontier(3), [0, 0, 0]
    for place, mark in marks:
        before = frontier.now
        moved = frontier.advance(place, mark)
        highest[place] = max(highest[place], mark)
        assert frontier.now == min(highest)
        assert moved == (frontier.now > before)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_groups_leave_once_and_in_order(steps):
    """An item joins its time's group; a frontier takes out all groups before it."""
    groups, left, frontier, added = Groups(), [], 0, 0
    for add, time in steps:
        if add and time >= frontier:
            (groups.get(time) or groups.open(time, [])).append(added)
            added += 1
        elif not add:
            frontier = max(frontier, time)
            left += list(groups.passed(frontier))
    left += list(groups.passed(END))

    assert [time for time, _ in left] == sorted({time for time, _ in left})
    assert sorted(item for _, items in left for item in items) == list(range(added))
