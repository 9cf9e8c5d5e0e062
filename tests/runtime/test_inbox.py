"""Inboxes bound what waits, keep order, and make who fills them wait."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Stopped
from flowrt.runtime.inbox import Inbox
from flowrt.testing import batch_of


def payloads(batches):
    return [payload for batch in batches for payload in batch.payloads]


def test_takes_what_waits_in_order_as_one_batch():
    inbox = Inbox(10, 1000)
    inbox.put(batch_of([b"a", b"b"]))
    inbox.put(batch_of([b"c"]))

    taken = inbox.take(10)

    assert [list(batch.payloads) for batch in taken] == [[b"a", b"b", b"c"]]
    assert (inbox.messages, inbox.bytes) == (0, 0)


def test_takes_no_more_than_asked_and_leaves_the_rest():
    inbox = Inbox(10, 1000)
    inbox.put(batch_of([b"a", b"b", b"c"]))

    assert payloads(inbox.take(2)) == [b"a", b"b"]
    assert payloads(inbox.take(2)) == [b"c"]


def test_keeps_batches_of_different_trackers_apart():
    inbox = Inbox(10, 1000)
    mine, yours = Tracker(lambda _: None), Tracker(lambda _: None)
    inbox.put(batch_of([b"a"], tracker=mine))
    inbox.put(batch_of([b"b"], tracker=yours))
    inbox.put(batch_of([b"c"], tracker=mine))

    assert [batch.tracker for batch in inbox.take(10)] == [mine, yours, mine]


@pytest.mark.parametrize(("messages_max", "bytes_max"), [(2, 1000), (100, 2)])
def test_a_full_inbox_makes_the_sender_wait_until_there_is_room(messages_max, bytes_max):
    inbox = Inbox(messages_max, bytes_max)
    inbox.put(batch_of([b"a", b"b"]))
    entered = threading.Event()
    sender = threading.Thread(target=lambda: (inbox.put(batch_of([b"c"])), entered.set()))
    sender.start()

    assert not entered.is_set()
    assert payloads(inbox.take(2)) == [b"a", b"b"]
    assert entered.wait(5)
    assert payloads(inbox.take(2)) == [b"c"]
    sender.join()


def test_a_batch_larger_than_the_inbox_passes_when_it_is_empty():
    inbox = Inbox(1, 1)
    inbox.put(batch_of([b"long", b"longer"]))

    assert payloads(inbox.take(10)) == [b"long", b"longer"]


def test_what_a_node_made_a_thousandfold_is_put_in_pieces_that_wait_for_room():
    """So that an inbox of 600 messages never holds the 2,000 that came as one batch."""
    inbox, most = Inbox(600, 10**6), []
    sent = [b"%d" % number for number in range(2000)]
    sender = threading.Thread(target=inbox.put, args=(batch_of(sent),))
    sender.start()

    taken = []
    while len(taken) < len(sent):
        most.append(inbox.messages)
        taken += payloads(inbox.take(256))
    sender.join()

    assert taken == sent
    assert max(most) <= 600


def test_closing_wakes_a_waiting_sender_and_leaves_what_waits_to_the_taker():
    inbox = Inbox(1, 1000)
    inbox.put(batch_of([b"a"]))
    stopped = threading.Event()

    def send():
        try:
            inbox.put(batch_of([b"b"]))
        except Stopped:
            stopped.set()

    sender = threading.Thread(target=send)
    sender.start()
    inbox.close()

    assert stopped.wait(5)
    assert payloads(inbox.take(10)) == [b"a"]
    assert inbox.take(10) is None
    sender.join()


@pytest.mark.parametrize(("drop_oldest", "left", "dropped"), [(True, [b"b"], [b"a"]), (False, [b"a"], [b"b"])])
def test_offering_to_a_full_inbox_drops_the_oldest_or_the_newest(drop_oldest, left, dropped):
    inbox = Inbox(1, 1000)
    inbox.put(batch_of([b"a"]))

    assert payloads(inbox.offer(batch_of([b"b"]), drop_oldest=drop_oldest)) == dropped
    assert payloads(inbox.take(10)) == left


@given(st.lists(st.lists(st.binary(max_size=4), min_size=1, max_size=5), max_size=20), st.integers(1, 7))
def test_nothing_is_lost_doubled_or_reordered_whatever_the_sizes(groups, at_once):
    """What goes in comes out, for any batches and any number taken at once."""
    inbox = Inbox(1000, 10_000)
    for group in groups:
        inbox.put(batch_of(group))
    inbox.close()

    out = []
    while (taken := inbox.take(at_once)) is not None:
        assert 0 < sum(map(len, taken)) <= at_once
        out += payloads(taken)

    assert out == [payload for group in groups for payload in group]
    assert (inbox.messages, inbox.bytes) == (0, 0)


def test_an_inbox_takes_no_more_than_its_node_has_left():
    left = 5
    inbox = Inbox(100, 1000, lambda: left)
    inbox.put(batch_of([b"abc"]))

    assert inbox.offer(batch_of([b"def"]), drop_oldest=False) != []
    left = 6
    assert inbox.offer(batch_of([b"def"]), drop_oldest=False) == []
