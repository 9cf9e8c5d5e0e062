"""`flowrt dead`: letters told, deleted, and sent through the node that failed again."""

import json
import sqlite3

import pytest

from flowrt.cli.main import main
from flowrt.delivery.deadletters import DeadLetter, DeadLetters
from flowrt.message import Head, Message

HELD = '{"memory": 1}'


@pytest.fixture
def state(tmp_path):
    """Letters 1 to 6: even ones of node `b`, odd ones of node `a`."""
    letters = DeadLetters(tmp_path / "dead-letters.sqlite")
    letters.add(
        [
            DeadLetter("g", "ab"[i % 2], "trap", "why", "at f", "sha256:0", Message(Head("t"), b"%d" % i), quota=HELD)
            for i in range(6)
        ]
    )  # fmt: skip
    letters.close()
    return tmp_path


def flowrt(capsys, state, *arguments):
    status = main(["dead", *arguments, "--state", str(state)])
    told = capsys.readouterr()
    return status, told.out, told.err


def numbers(capsys, state, *arguments):
    return [int(line.split()[0]) for line in flowrt(capsys, state, "list", *arguments)[1].splitlines()]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["2"], [2]),
        (["#2", "4"], [4, 2]),
        (["2,3;5"], [5, 3, 2]),
        (["2-4"], [4, 3, 2]),
        (["4", "-", "2"], [4, 3, 2]),
        (["2..3"], [3, 2]),
        (["all"], [6, 5, 4, 3, 2, 1]),
        (["1-3", "--node", "a"], [3, 1]),
        (["--fault", "deadline"], []),
    ],
)
def test_letters_are_meant_by_number_range_and_origin(capsys, state, words, meant):
    assert numbers(capsys, state, *words) == meant


def test_show_tells_what_the_node_held(capsys, state):
    shown = json.loads(flowrt(capsys, state, "show", "1")[1])

    assert (shown["quota"], shown["backtrace"], shown["module"]) == ({"memory": 1}, "at f", "sha256:0")


def test_show_says_when_there_is_no_such_letter(capsys, state):
    status, shown, told = flowrt(capsys, state, "show", "99")

    assert (status, shown) == (1, "")
    assert "no letter is meant" in told


def test_drop_deletes_what_is_meant_and_asks_when_nothing_is(capsys, state):
    assert flowrt(capsys, state, "drop")[0] == 3
    assert flowrt(capsys, state, "drop", "1-2", "9")[:2] == (0, "letters deleted: 2\n")
    assert flowrt(capsys, state, "drop", "1")[0] == 1
    assert numbers(capsys, state) == [6, 5, 4, 3]


@pytest.mark.parametrize("word", ["x", "1-", "-1", "1-2-3", "99999999999999999999", "all 2"])
def test_what_is_no_number_is_refused_with_what_to_write(capsys, state, word):
    status, _, told = flowrt(capsys, state, "drop", "--", *word.split())
    assert status == 3
    assert "letter" in told
    assert len(numbers(capsys, state)) == 6


def test_a_store_of_an_earlier_version_is_taken_on(capsys, tmp_path):
    with sqlite3.connect(tmp_path / "dead-letters.sqlite") as db:
        db.execute(
            "CREATE TABLE letters (id INTEGER PRIMARY KEY, at REAL NOT NULL, graph TEXT NOT NULL, node TEXT NOT NULL,"
            " kind TEXT NOT NULL, detail TEXT NOT NULL, backtrace TEXT NOT NULL, module TEXT NOT NULL,"
            " head TEXT NOT NULL, time INTEGER NOT NULL, payload BLOB NOT NULL)"
        )
        head = json.dumps(
            {"topic": "t", "contentType": None, "properties": [], "responseTopic": None, "correlation": None}
        )
        db.execute("INSERT INTO letters VALUES (1, 0.0, 'g', 'n', 'trap', '', '', '', ?, 0, x'00')", (head,))

    assert flowrt(capsys, tmp_path, "retry", "1")[0] == 0
    assert "(to be sent again)" in flowrt(capsys, tmp_path, "list")[1]
