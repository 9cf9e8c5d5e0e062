"""Keys and values with versions, conditions, expiry and fencing tokens, in SQLite: in memory, or durable in a file.

Behaves as the state store of Azure IoT Operations does for operators: `set` may ask that the key is new, or new or
already equal; a version is a hybrid logical clock; once a key has been written with a fencing token, a writer with an
older one is refused. Time is handed in, so that a test or a replay decides it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from flowrt.errors import StartError

KEY_MAX = 4096
"""Bytes of a key: several times the longest topic in use."""
VALUE_MAX = 1 << 20
"""Bytes of a value. Larger things belong in files."""
BYTES_MAX = 64 << 20
"""Bytes of all keys and values: little beside a gateway's flash."""
NODE_ID = "flowrt"
_COUNTER_MAX = (1 << 20) - 1

Condition = Literal["new", "newOrEqual", "always"]
_Row = tuple[bytes, int, int, int | None, int, int, str]
"""Value, version, expiry, fencing token."""

CACHE_KIB = 512
"""What SQLite may keep of the file in memory: it would fill two mebibytes up over hours."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  key BLOB PRIMARY KEY, value BLOB NOT NULL, ms INTEGER NOT NULL, counter INTEGER NOT NULL, expires INTEGER,
  fence_ms INTEGER NOT NULL DEFAULT -1, fence_counter INTEGER NOT NULL DEFAULT 0, fence_node TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""


class Version(NamedTuple):
    """A hybrid logical clock; they compare by time, counter, node."""

    ms: int
    counter: int
    node: str = NODE_ID


class Entry(NamedTuple):
    """One key as it stands in the store."""

    key: bytes
    value: bytes
    version: Version
    expires: int | None
    """Milliseconds since the epoch, or None: never."""


class Refused(Exception):
    """The store does not do what was asked; the words say why."""


def _now() -> int:
    return time.time_ns() // 1_000_000


class StateStore:
    """Safe from any thread. Every change is on disk when the method returns, where there is a file.

    Raises `Refused` for a key or value that is too large, a full store, a stale fencing token or a failing disk.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], int] = _now) -> None:
        """`clock` gives milliseconds since the epoch. Raises `StartError` when the file cannot be opened."""
        self._clock = clock
        self._lock = threading.Lock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None, timeout=1)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._db.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"the state store {path} cannot be opened: {error}") from error
        self._bytes = self._total()
        self._last = Version(*self._one("SELECT coalesce(max(ms), 0), 0 FROM entries"))

    def get(self, key: bytes) -> tuple[bytes, Version] | None:
        """The value and its version."""
        _fits(key)
        with self._lock:
            row = self._row(key)
        return None if row is None else (row[0], Version(row[1], row[2]))

    def set(
        self,
        key: bytes,
        value: bytes,
        condition: Condition = "always",
        *,
        expires_ms: int | None = None,
        fence: Version | None = None,
    ) -> Version | None:
        """The new version, or None when the condition does not hold. `expires_ms`: from now."""
        _fits(key, value)
        with self._writing():
            row = self._row(key)
            self._check_fence(row, fence)
            if row is not None and (condition == "new" or (condition == "newOrEqual" and row[0] != value)):
                return None
            grown = len(value) - len(row[0]) if row is not None else len(key) + len(value)
            if self._bytes + grown > BYTES_MAX and not self._purge(grown):
                raise Refused(f"the state store is full: it holds {BYTES_MAX} bytes")
            version = self._next()
            expires = None if expires_ms is None else self._clock() + expires_ms
            held = fence or (Version(*row[4:]) if row is not None else Version(-1, 0, ""))
            self._do("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                     (key, value, version.ms, version.counter, expires, *held))  # fmt: skip
            self._bytes += grown
            return version

    def delete(self, key: bytes, *, fence: Version | None = None, value: bytes | None = None) -> int:
        """How many were deleted: 1, or 0 when there is none. With `value`: -1 when the key holds another."""
        _fits(key)
        with self._writing():
            row = self._row(key)
            if row is None:
                return 0
            self._check_fence(row, fence)
            if value is not None and row[0] != value:
                return -1
            self._drop(key, row[0])
            return 1

    def items(self) -> list[tuple[bytes, bytes]]:
        """Every key with its value, in the keys' order."""
        return [(entry.key, entry.value) for entry in self.entries()]

    def entries(self) -> list[Entry]:
        """Everything that has not expired, in the keys' order."""
        with self._lock:
            try:
                found = self._db.execute(
                    "SELECT key, value, ms, counter, expires FROM entries"
                    " WHERE expires IS NULL OR expires > ? ORDER BY key",
                    (self._clock(),),
                ).fetchall()
            except sqlite3.Error as error:
                raise Refused(f"the state store cannot be read: {error}") from error
        return [Entry(key, value, Version(ms, counter), expires) for key, value, ms, counter, expires in found]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Nobody else, of this process or of another worker's, changes anything meanwhile."""
        with self._lock:
            self._do("BEGIN IMMEDIATE", ())
            try:
                yield
            except BaseException:
                self._do("ROLLBACK", ())
                self._bytes = self._total()
                raise
            self._do("COMMIT", ())

    def _row(self, key: bytes) -> _Row | None:
        row: _Row | None = self._one(
            "SELECT value, ms, counter, expires, fence_ms, fence_counter, fence_node FROM entries WHERE key = ?", key
        )
        if row is not None and row[3] is not None and row[3] <= self._clock():
            self._drop(key, row[0])
            return None
        return row

    def _check_fence(self, row: _Row | None, fence: Version | None) -> None:
        if row is not None and row[4] >= 0 and (fence is None or fence < Version(*row[4:])):
            raise Refused("the fencing token is missing or older than the one the key was written with")

    def _drop(self, key: bytes, value: bytes) -> None:
        self._do("DELETE FROM entries WHERE key = ?", (key,))
        self._bytes -= len(key) + len(value)

    def _purge(self, wanted: int) -> bool:
        """Drop what has expired; whether there is room now."""
        self._do("DELETE FROM entries WHERE expires <= ?", (self._clock(),))
        self._bytes = self._total()
        return self._bytes + wanted <= BYTES_MAX

    def _total(self) -> int:
        return int(self._one("SELECT coalesce(sum(length(key) + length(value)), 0) FROM entries")[0])

    def _next(self) -> Version:
        now, last = self._clock(), self._last
        if now > last.ms:
            self._last = Version(now, 0)
        elif last.counter < _COUNTER_MAX:
            self._last = Version(last.ms, last.counter + 1)
        else:
            self._last = Version(last.ms + 1, 0)
        return self._last

    def _one(self, query: str, *values: object) -> tuple:  # type: ignore[type-arg]
        try:
            return self._db.execute(query, values).fetchone()  # type: ignore[no-any-return]
        except sqlite3.Error as error:
            raise Refused(f"the state store cannot be read: {error}") from error

    def _do(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise Refused(f"the state store cannot be written: {error}") from error


def _fits(key: bytes, value: bytes = b"") -> None:
    if len(key) > KEY_MAX:
        raise Refused(f"a key of {len(key)} bytes; the most is {KEY_MAX}")
    if len(value) > VALUE_MAX:
        raise Refused(f"a value of {len(value)} bytes; the most is {VALUE_MAX}")
