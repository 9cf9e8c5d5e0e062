"""Messages that a node could not handle, kept on disk with the reason.

SQLite in WAL mode with synchronous=FULL: a letter is durable when `add` returns, so its message may be acknowledged.
One file for all graphs of a runtime. Bounded in letters and payload bytes; the oldest go first, and are counted.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flowrt.delivery.heads import head_from_json, head_to_json
from flowrt.errors import StartError
from flowrt.message import Message
from flowrt.parsing import parsed
from flowrt.values import Struct

LETTERS_MAX = 100_000
"""Letters kept. A gateway that fails on every message for a day at one a second keeps that day."""
BYTES_MAX = 64 * 2**20
"""Payload bytes kept: little beside a gateway's flash, much beside its messages."""

CACHE_KIB = 256
"""What SQLite may keep of the file in memory. Letters are appended: more would only fill up, unused."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, graph TEXT NOT NULL, node TEXT NOT NULL, kind TEXT NOT NULL,
  detail TEXT NOT NULL, backtrace TEXT NOT NULL, module TEXT NOT NULL, head TEXT NOT NULL, time INTEGER NOT NULL,
  payload BLOB NOT NULL, quota TEXT NOT NULL DEFAULT '', retry REAL
)
"""
_RENUMBERED = f"""
BEGIN IMMEDIATE;
ALTER TABLE letters RENAME TO before; DROP INDEX IF EXISTS asked_for;
{_SCHEMA};
INSERT INTO letters (%(columns)s) SELECT %(columns)s FROM before; DROP TABLE before;
COMMIT
"""  # noqa: S608 - no user's text
"""A store of an earlier version gave the numbers of deleted letters out again, so that one letter was taken for
another."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LATER_COLUMNS = {"quota": "TEXT NOT NULL DEFAULT ''", "retry": "REAL"}
"""Those that a store of an earlier version lacks."""
_COLUMNS = "id, at, graph, node, kind, detail, backtrace, module, head, time, payload, quota, retry"


class DeadLetter(Struct, frozen=True):
    """One message and why it is here."""

    graph: str
    node: str
    kind: str
    detail: str
    backtrace: str
    module: str
    """Digest of the module at fault, or empty."""
    message: Message
    id: int = 0
    at: float = 0.0
    """When it was kept, seconds since the epoch."""
    quota: str = ""
    """What the node held and had used then, as JSON, or empty."""
    retry: float | None = None
    """When someone asked for it to go through its node again; a runtime that has the node does so, and removes it."""
    origin: int = 0
    """Number of the letter that was sent again and failed as this one, while it is kept; or 0."""


class Added(NamedTuple):
    """What became of letters, and of others on their account."""

    evicted: int
    """Older ones that gave way."""
    dropped: int
    """Not kept: somebody has deleted the letter that they come from, while it was sent again."""


class Which(Struct, frozen=True):
    """Some of the letters: all conditions that are given hold."""

    ids: Sequence[tuple[int, int]] = ()
    """Ranges, both ends included; none given means any."""
    graph: str | None = None
    node: str | None = None
    kind: str | None = None

    def where(self) -> tuple[str, list[object]]:
        """The condition in SQL, and its values."""
        terms, values = ["1"], list[object]()
        if self.ids:
            terms.append("(" + " OR ".join("id BETWEEN ? AND ?" for _ in self.ids) + ")")
            values += [end for pair in self.ids for end in pair]
        for column, value in (("graph", self.graph), ("node", self.node), ("kind", self.kind)):
            if value is not None:
                terms.append(f"{column} = ?")
                values.append(value)
        return " AND ".join(terms), values


ALL = Which()
"""No condition: every letter."""


class DeadLetters:
    """The store. Safe from any thread; the file is opened with the first letter."""

    def __init__(
        self, path: Path, letters_max: int = LETTERS_MAX, bytes_max: int = BYTES_MAX, busy_seconds: float = 5.0
    ) -> None:
        """`busy_seconds`: how long to wait for another process that uses the file."""
        self._path = path
        self._letters_max = letters_max
        self._bytes_max = bytes_max
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._version = -1
        """SQLite's number for what other connections have changed, when the letters were counted."""
        self._count = 0
        self._bytes = 0
        self.evicted = 0
        """Letters that gave way to newer ones."""

    def add(self, letters: Sequence[DeadLetter]) -> Added:
        """Keep letters; they are on disk when this returns.

        Raises `sqlite3.Error` when they cannot be kept."""
        with self._lock:
            try:
                return self._add(letters)
            except (StartError, sqlite3.Error) as error:
                self._set_aside_if_damaged(error.__cause__ or error)
                raise

    def _add(self, letters: Sequence[DeadLetter]) -> Added:
        db, now = self._open(), time.time()
        before = self._count, self._bytes, self.evicted
        try:
            with db:
                db.execute("BEGIN IMMEDIATE")
                self._count_anew_if_changed(db)
                wanted = _wanted(db, letters)
                db.executemany(
                    "INSERT INTO letters"
                    " (at, graph, node, kind, detail, backtrace, module, head, time, payload, quota)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_to_row(letter, now) for letter in wanted],
                )
                self._make_room(db, len(wanted), sum(len(letter.message.payload) for letter in wanted))
        except sqlite3.Error:
            # Nothing was kept: what was counted on the way must not add up over the retries of a full disk.
            self._count, self._bytes, self.evicted = before
            raise
        return Added(self.evicted - before[2], len(letters) - len(wanted))

    def _set_aside_if_damaged(self, error: BaseException) -> None:
        """A file that the disk has spoilt would never take a letter again: it is kept under another name, and the next
        letter begins a new one."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            return
        if self._db is not None:
            self._db.close()
            self._db = None
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                old = self._path.with_name(self._path.name + suffix)
                old.rename(self._path.with_name(f"{self._path.name}.damaged-{int(time.time())}{suffix}"))

    def list(self, limit: int = 100, which: Which = ALL) -> Iterator[DeadLetter]:
        """The newest first."""
        condition, values = which.where()
        query = f"SELECT {_COLUMNS} FROM letters WHERE {condition} ORDER BY id DESC LIMIT ?"  # noqa: S608 - no user's text
        with self._lock:
            rows = self._open().execute(query, (*values, limit)).fetchall()
        return map(_from_row, rows)

    def mark(self, which: Which) -> int:
        """Ask for letters to go through their nodes again; how many. Raises `sqlite3.Error`."""
        condition, values = which.where()
        with self._lock:
            query = f"UPDATE letters SET retry = ? WHERE {condition}"  # noqa: S608
            return self._open().execute(query, (time.time(), *values)).rowcount

    def unmark(self, which: Which) -> None:
        """Take that back. Raises `sqlite3.Error`."""
        condition, values = which.where()
        with self._lock:
            self._open().execute(f"UPDATE letters SET retry = NULL WHERE {condition}", values)  # noqa: S608

    def marked(self, limit: int, after: int = 0) -> Iterator[DeadLetter]:
        """Letters that someone asked for, the oldest first, from the one behind number `after` on."""
        query = f"SELECT {_COLUMNS} FROM letters WHERE retry IS NOT NULL AND id > ? ORDER BY id LIMIT ?"  # noqa: S608
        with self._lock:
            rows = self._open().execute(query, (after, limit)).fetchall()
        return map(_from_row, rows)

    def remove(self, which: Which) -> int:
        """Delete letters; how many. Raises `sqlite3.Error`."""
        condition, values = which.where()
        with self._lock:
            done = self._open().execute(f"DELETE FROM letters WHERE {condition}", values).rowcount  # noqa: S608
            self._version = -1
        return done

    def exists(self) -> bool:
        """Whether there is a file: whoever only looks makes none."""
        return self._path.exists()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            db: sqlite3.Connection | None = None
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                db = sqlite3.connect(self._path, self._busy_seconds, check_same_thread=False, isolation_level=None)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
                db.execute(_SCHEMA)
                there = {row[1] for row in db.execute("PRAGMA table_info(letters)")}
                for name in _LATER_COLUMNS.keys() - there:
                    db.execute(f"ALTER TABLE letters ADD COLUMN {name} {_LATER_COLUMNS[name]}")
                if (
                    "AUTOINCREMENT"
                    not in db.execute("SELECT sql FROM sqlite_schema WHERE name = 'letters'").fetchone()[0]
                ):
                    db.executescript(_RENUMBERED % {"columns": _COLUMNS})
                db.execute("CREATE INDEX IF NOT EXISTS asked_for ON letters (id) WHERE retry IS NOT NULL")
            except (OSError, sqlite3.Error) as error:
                if db is not None:
                    db.close()  # the next try begins anew: half a store would never get its table
                raise StartError(f"cannot open the dead-letter store {self._path}: {error}") from error
            self._db, self._version = db, -1
        return self._db

    def _count_anew_if_changed(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            (self._count, self._bytes), *_ = db.execute(
                "SELECT count(*), coalesce(sum(length(payload)), 0) FROM letters"
            ).fetchall()
            self._version = version

    def _make_room(self, db: sqlite3.Connection, letters: int, size: int) -> None:
        self._count += letters
        self._bytes += size
        while self._count > 1 and (self._count > self._letters_max or self._bytes > self._bytes_max):
            oldest = db.execute("SELECT id, length(payload) FROM letters ORDER BY id LIMIT 1").fetchone()
            db.execute("DELETE FROM letters WHERE id = ?", (oldest[0],))
            self._count -= 1
            self._bytes -= oldest[1]
            self.evicted += 1


def _wanted(db: sqlite3.Connection, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
    """Those that do not come from a letter that has been deleted since."""
    origins = {letter.origin for letter in letters if letter.origin}
    gone = {one for one in origins if not db.execute("SELECT 1 FROM letters WHERE id = ?", (one,)).fetchone()}
    return [letter for letter in letters if letter.origin not in gone] if gone else letters


def _to_row(letter: DeadLetter, now: float) -> tuple[object, ...]:
    head, message = letter.message.head, letter.message
    text = head_to_json(head).decode()
    reason = (letter.graph, letter.node, letter.kind, letter.detail, letter.backtrace, letter.module)
    return (now, *reason, text, message.time, message.payload, letter.quota)


def _from_row(row: tuple[Any, ...]) -> DeadLetter:
    ident, at, graph, node, kind, detail, backtrace, module, text, logical, payload, quota, retry = row
    head = head_from_json(parsed(str(text)))
    message = Message(head, payload, logical)
    return DeadLetter(graph, node, kind, detail, backtrace, module, message, ident, at, quota, retry)
