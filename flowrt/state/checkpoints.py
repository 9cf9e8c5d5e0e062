"""What nodes keep, on disk: entries by graph, node and key in one SQLite file, written in batches.

WAL mode with synchronous=FULL: what was kept is on disk when `commit` returns, so the messages it came of may be
acknowledged. A file that SQLite cannot read is set aside under another name, and a new one is begun.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time

from flowrt.errors import StartError
from flowrt.state.journal import Changes

HEADER = b"\0"
"""Key of the entry that says whose entries these are."""

CACHE_KIB = 512
"""What SQLite may keep of the file in memory: it would fill two mebibytes up over hours."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  graph TEXT NOT NULL, node TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (graph, node, key)
) WITHOUT ROWID
"""
ASIDE_SUFFIX = ".set-aside"
"""In the names of what was set aside."""


class CheckpointStore:
    """Safe from any thread. Opened at the first use."""

    def __init__(self, path: Path | None, busy_seconds: float = 5.0) -> None:
        """`path` None: nothing is kept beyond the process, for tests and replays."""
        self.path = path
        self.set_aside: list[str] = []
        """Files that could not be read, under their new names."""
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def load(self, graph: str, node: str) -> dict[bytes, bytes]:
        """All entries of a node. Raises `StartError` when the file cannot be opened."""
        with self._lock:
            return dict(self._reading(
                lambda db: db.execute("SELECT key, value FROM entries WHERE graph = ? AND node = ?", (graph, node))
                .fetchall()
            ))  # fmt: skip

    def nodes(self, graph: str) -> list[str]:
        """The nodes of a graph that have entries."""
        with self._lock:
            rows = self._reading(
                lambda db: db.execute("SELECT DISTINCT node FROM entries WHERE graph = ?", (graph,)).fetchall()
            )
        return [row[0] for row in rows]

    def commit(self, graph: str, node: str, changes: Changes) -> None:
        """Write; on disk when it returns. Raises `sqlite3.Error` or `StartError` when it cannot be, and then nothing is
        changed."""
        with self._lock:
            db = self._open()
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(
                    "DELETE FROM entries WHERE graph = ? AND node = ? AND key = ?",
                    [(graph, node, key) for key in changes.deletes],
                )
                db.executemany(
                    "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)",
                    [(graph, node, key, value) for key, value in changes.puts.items()],
                )

    def put_aside(self, graph: str, node: str) -> int:
        """Take a node's entries out of the way, under another name of the node, for someone to look at; how many."""
        with self._lock:
            db = self._open()
            with db:
                db.execute("BEGIN IMMEDIATE")
                aside = f"{node}{ASIDE_SUFFIX}-{int(time())}"
                db.execute("DELETE FROM entries WHERE graph = ? AND node = ?", (graph, aside))
                return db.execute(
                    "UPDATE entries SET node = ? WHERE graph = ? AND node = ?", (aside, graph, node)
                ).rowcount

    def close(self) -> None:
        """Safe to call twice."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _reading(self, read: Callable[[sqlite3.Connection], list[tuple]]) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return read(self._open())
        except sqlite3.OperationalError as error:
            raise StartError(f"the checkpoints in {self.path} cannot be read: {error}") from error
        except sqlite3.DatabaseError:
            self._rename()
            return read(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._db = self._connect()
            except sqlite3.OperationalError as error:
                raise StartError(f"the checkpoints in {self.path} cannot be opened: {error}") from error
            except sqlite3.DatabaseError:
                self._rename()
                self._db = self._connect()
        return self._db

    def _connect(self) -> sqlite3.Connection:
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StartError(f"the checkpoints in {self.path} cannot be opened: {error}") from error
        db = sqlite3.connect(self.path or ":memory:", self._busy_seconds, check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            db.execute(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _rename(self) -> None:
        """Out of the way with a file that is none of SQLite's, or damaged."""
        if self._db is not None:
            self._db.close()
            self._db = None
        if self.path is None:
            return
        aside = self.path.with_name(f"{self.path.name}{ASIDE_SUFFIX}-{int(time())}")
        for suffix in ("-wal", "-shm"):
            with suppress(OSError):
                self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        try:
            self.path.rename(aside)
        except OSError as error:
            raise StartError(f"the checkpoints in {self.path} cannot be set aside: {error}") from error
        self.set_aside.append(str(aside))
