"""Dead letters are on disk when `add` returns, complete, and bounded."""

import sqlite3

import pytest

from flowrt.delivery.deadletters import DeadLetter, DeadLetters, Which
from flowrt.errors import StartError
from flowrt.message import Head, Message, Tensor
from flowrt.values import asdict, replace


def letter(payload, **head):
    return DeadLetter("g", "n", "trap", "unreachable", "at f", "sha256:0", Message(Head("a/b", **head), payload, 7))


@pytest.fixture
def open_store(tmp_path):
    opened = []

    def make(**bounds):
        opened.append(DeadLetters(tmp_path / "deep" / "dead.sqlite", **bounds))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


WHOLE = Head(
    "a/b", "x/y", (("k", "1"), ("k", "2")), "r", b"\x01", "schema", True, (1_700_000_000_000, 3, "gw"),
    (Tensor("scores", "f32", (1, 2)),),
)  # fmt: skip
"""With everything that a node may go by when the letter is sent again."""


@pytest.mark.parametrize("head", [WHOLE, Head("a/b")], ids=["whole", "bare"])
def test_a_letter_comes_back_whole_after_a_restart(open_store, head):
    store = open_store()
    store.add([DeadLetter("g", "n", "trap", "why", "at f", "sha256:0", Message(head, b"\x00\xff", 7))])
    store.close()

    (found,) = open_store().list()

    assert found == DeadLetter(
        "g", "n", "trap", "why", "at f", "sha256:0", replace(found.message, payload=b"\x00\xff", time=7), 1, found.at
    )
    assert asdict(found.message.head) == asdict(head)
    assert found.at > 0


def test_a_letter_of_an_earlier_version_is_read(open_store, tmp_path):
    store = open_store()
    store.add([letter(b"1")])
    store.close()
    earlier = (
        '{"topic": "a/b", "contentType": null, "properties": [["k", "1"]], "responseTopic": null, "correlation": null}'
    )
    with sqlite3.connect(tmp_path / "deep" / "dead.sqlite") as db:
        db.execute("UPDATE letters SET head = ?", (earlier,))
    db.close()

    (found,) = open_store().list()

    assert asdict(found.message.head) == asdict(Head("a/b", properties=(("k", "1"),)))


@pytest.mark.parametrize("bounds", [{"letters_max": 2}, {"bytes_max": 4}])
def test_the_oldest_give_way_and_are_counted(open_store, bounds):
    store = open_store(**bounds)
    store.add([letter(b"aa"), letter(b"bb")])
    store.add([letter(b"cc")])

    assert [found.message.payload for found in store.list()] == [b"cc", b"bb"]
    assert store.evicted == 1


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    store = DeadLetters(tmp_path / "file" / "dead.sqlite")

    with pytest.raises(StartError, match="cannot open the dead-letter store"):
        store.add([letter(b"a")])


def test_a_store_that_could_not_be_set_up_is_set_up_at_the_next_try(tmp_path):
    path = tmp_path / "dead.sqlite"
    locked = sqlite3.connect(path, isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    store = DeadLetters(path, busy_seconds=0)
    with pytest.raises(StartError, match=r"cannot open the dead-letter store .*locked"):
        store.add([letter(b"a")])

    locked.execute("ROLLBACK")
    store.add([letter(b"a")])

    assert [found.message.payload for found in store.list()] == [b"a"]
    store.close()


def test_letters_that_were_not_kept_do_not_count(tmp_path):
    path = tmp_path / "dead.sqlite"
    store = DeadLetters(path, letters_max=3, busy_seconds=0)
    store.add([letter(b"a")])
    locked = sqlite3.connect(path, isolation_level=None)
    locked.execute("CREATE TRIGGER full BEFORE DELETE ON letters BEGIN SELECT RAISE(FAIL, 'full'); END")
    for _ in range(5):
        with pytest.raises(sqlite3.Error, match="full"):
            store.add([letter(b"b"), letter(b"c"), letter(b"d")])

    locked.execute("DROP TRIGGER full")
    store.add([letter(b"b"), letter(b"c")])

    assert [found.message.payload for found in store.list()] == [b"c", b"b", b"a"]
    assert store.evicted == 0
    store.close()


def test_letters_that_another_process_removed_do_not_count(tmp_path):
    path = tmp_path / "dead.sqlite"
    store = DeadLetters(path, bytes_max=4)
    store.add([letter(b"aa"), letter(b"bb")])
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM letters")

    store.add([letter(b"cccccc")])
    store.add([letter(b"dd")])

    assert [found.message.payload for found in store.list()] == [b"dd"]
    store.close()


def test_the_number_of_a_deleted_letter_is_never_given_out_again(open_store):
    """A letter that is sent again is removed by its number when it is out: nobody else's may be that."""
    store = open_store()
    store.add([letter(b"1"), letter(b"2")])
    store.remove(Which(ids=[(2, 2)]))
    store.add([letter(b"3")])

    assert [found.id for found in store.list()] == [3, 1]


def test_a_store_that_gave_numbers_out_again_is_brought_over_whole(open_store, tmp_path):
    store = open_store()
    store.add([letter(b"1"), letter(b"2")])
    store.mark(Which(ids=[(2, 2)]))
    store.close()
    with sqlite3.connect(tmp_path / "deep" / "dead.sqlite", isolation_level=None) as db:
        db.executescript(
            "CREATE TABLE earlier (id INTEGER PRIMARY KEY, at REAL NOT NULL, graph TEXT NOT NULL, node TEXT NOT NULL,"
            " kind TEXT NOT NULL, detail TEXT NOT NULL, backtrace TEXT NOT NULL, module TEXT NOT NULL,"
            " head TEXT NOT NULL, time INTEGER NOT NULL, payload BLOB NOT NULL, quota TEXT NOT NULL, retry REAL);"
            "INSERT INTO earlier SELECT * FROM letters; DROP TABLE letters; ALTER TABLE earlier RENAME TO letters;"
            "CREATE INDEX asked_for ON letters (id) WHERE retry IS NOT NULL"
        )
    db.close()

    store = open_store()
    store.remove(Which(ids=[(1, 1)]))
    store.remove(Which(ids=[(2, 2)]))
    store.add([letter(b"3")])

    assert [(found.id, found.message.payload) for found in store.list()] == [(3, b"3")]


def test_what_comes_from_a_letter_that_was_deleted_meanwhile_is_not_kept(open_store):
    store = open_store()
    store.add([letter(b"1"), letter(b"2")])
    store.remove(Which(ids=[(2, 2)]))

    added = store.add([replace(letter(b"1"), origin=1), replace(letter(b"2"), origin=2)])

    assert added == (0, 1)
    assert [found.message.payload for found in store.list()] == [b"1", b"1"]
