"""A dead-letter store that the disk has spoilt is set aside; the message is kept in a new one at the next try."""

import sqlite3

import pytest

from flowrt.delivery.deadletters import DeadLetter, DeadLetters
from flowrt.errors import StartError
from flowrt.message import Head, Message


def letter(payload):
    return DeadLetter("g", "n", "error", "", "", "", Message(Head("t"), payload))


def spoil(path, page):
    data = bytearray(path.read_bytes())
    data[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(data)


@pytest.mark.parametrize("page", [0, 1], ids=["not a database", "a page of the table"])
def test_a_damaged_store_is_set_aside(tmp_path, page):
    path = tmp_path / "dead-letters.sqlite"
    store = DeadLetters(path)
    store.add([letter(b"x" * 500) for _ in range(100)])
    store.close()
    spoil(path, page)
    store = DeadLetters(path)
    with pytest.raises((StartError, sqlite3.Error)):
        store.add([letter(b"kept")])
    store.add([letter(b"kept")])
    assert [one.message.payload for one in store.list()] == [b"kept"]
    store.close()
    assert len(list(tmp_path.glob("dead-letters.sqlite.damaged-*"))) == 1


def test_a_full_or_locked_disk_is_no_damage(tmp_path):
    path = tmp_path / "dead-letters.sqlite"
    store = DeadLetters(path, busy_seconds=0.01)
    store.add([letter(b"1")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError):
        store.add([letter(b"2")])
    other.close()
    store.add([letter(b"2")])
    assert [one.message.payload for one in store.list()] == [b"2", b"1"]
    store.close()
