"""What a broker sends again is told from what is new; what cannot be told for certain counts as new."""

import pytest

from flowrt.delivery.tracker import Note, Tracker
from flowrt.runtime.repeats import REMEMBERED, REUSES_MAX, Repeats
from flowrt.state.journal import Journal


class Memory:
    """A node's memory, its disk, and the connection at present."""

    def __init__(self):
        self.repeats, self.journal, self.disk = Repeats(), Journal(), {}
        self.connect()

    def connect(self):
        self.tracker = Tracker(lambda _: None)

    def keep(self, number, payload=b"x", *, again=False, origin="plant"):
        self.repeats.keep(self.tracker, Note(origin, number.to_bytes(2, "big"), again, "t", payload))

    def known(self, number, payload=b"x", *, again=True, origin="plant"):
        return self.repeats.known(self.tracker, Note(origin, number.to_bytes(2, "big"), again, "t", payload))

    def write(self):
        self.repeats.write(self.journal)
        changes = self.journal.take()
        for key in changes.deletes:
            del self.disk[key]
        self.disk.update(changes.puts)

    def start_again(self):
        self.repeats, self.journal = Repeats(), Journal()
        self.repeats.restore(self.disk)
        self.journal.resume(self.disk)
        self.connect()


@pytest.fixture
def memory():
    return Memory()


def test_a_repeat_is_known_after_a_start(memory):
    memory.keep(7)
    memory.write()
    memory.start_again()

    assert memory.known(7)
    assert not memory.known(7, again=False)
    assert not memory.known(8)
    assert not memory.known(7, b"y")
    assert not memory.known(7, origin="other")


def test_a_repeat_is_known_over_each_connection_once(memory):
    memory.keep(7)
    for _ in range(2):
        memory.connect()
        assert [memory.known(7), memory.known(7)] == [True, False]


def test_a_message_that_became_two_comes_again_as_two(memory):
    note = Note("plant", b"\0\7", False, "t", b"x")
    memory.repeats.keep(memory.tracker, note)
    memory.repeats.keep(memory.tracker, note)
    memory.connect()

    assert [memory.known(7) for _ in range(3)] == [True, True, False]


def test_what_was_kept_and_not_written_is_new_after_a_kill(memory):
    memory.keep(7)
    memory.start_again()

    assert not memory.known(7)


def test_an_identifier_given_out_anew_makes_what_had_it_forgotten(memory):
    memory.keep(7)
    memory.keep(8)
    memory.keep(7, b"y")
    memory.connect()

    assert [memory.known(7), memory.known(8), memory.known(7, b"y")] == [False, False, True]


def test_a_broker_that_gives_identifiers_out_at_once_is_not_trusted(memory):
    """Also not after a start: an equal message under the same identifier may be another."""
    for _ in range(REUSES_MAX + 1):
        memory.keep(1)
    memory.write()
    memory.start_again()

    assert not memory.known(1)


def test_a_message_kept_when_it_came_again_is_no_repeat_of_itself(memory):
    memory.keep(7, again=True)

    assert not memory.known(7)
    memory.connect()
    assert memory.known(7)


def test_memory_is_bounded(memory):
    for start in range(0, 5 * REMEMBERED, 500):
        for number in range(start, start + 500):
            memory.keep(number % 65_536)
        memory.write()

    assert sum(map(len, memory.disk.values())) <= 12 * (REMEMBERED + 500)
    memory.start_again()
    assert memory.known(5 * REMEMBERED - 1)
    assert not memory.known(0)
