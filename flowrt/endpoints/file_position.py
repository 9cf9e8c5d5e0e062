"""How far a file was read and all of it handled, on disk: a source that starts again goes on there.

A file is known by its device, its number there and its first bytes, so that one that was rotated or written anew is not
taken for the one before.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from zlib import crc32

from flowrt.delivery.spool import position
from flowrt.delivery.spool.position import Position, read_position
from flowrt.parsing import parsed

START_BYTES = 4096
"""What a file is known by, where it is so long."""
WRITE_SECONDS = 0.2
"""Between notes: what a kill repeats is what was handled since the last. A power cut may repeat more."""
_WHICH = "file.json"


class FilePosition:
    """Of one source. `read` is called by its thread, `released` by whoever settles."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: deque[int] = deque()
        self._done = 0
        self._written_at = float("-inf")
        self._store: Position | None = None

    def begin(self, fd: int, path: Path) -> tuple[int, str]:
        """Where to go on in a file that was just opened, and what is to be said of it, or nothing. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known, at = self._known(), read_position(self._folder)
        now = os.fstat(fd)
        words = ""
        if known is not None and at:
            words = _difference(known, at, fd, now, path)
            if not words:
                self._open(at)
                return at, ""
            old = _moved(known, path)
            if old is not None and old.stat().st_size <= at:
                words = ""  # rotated, after all of it had been read: nothing to tell
        self._anew(fd)
        return 0, words

    def read(self, ends: Sequence[int]) -> None:
        """Lines that end at these offsets were read; they are released in this order."""
        self._ends.extend(ends)

    def released(self, count: int) -> None:
        """The oldest `count` lines are handled."""
        for _ in range(count):
            self._done = self._ends.popleft()
        now = monotonic()
        if now - self._written_at >= WRITE_SECONDS:
            self._written_at = now
            self._write()

    def close(self) -> None:
        """Note where it stands, durably. Safe to call twice."""
        self._write()
        store, self._store = self._store, None
        if store is not None:
            with suppress(OSError):
                store.sync()
            store.close()

    def _write(self) -> None:
        if self._store is not None and self._done > self._store.value:
            with suppress(OSError):  # a stale position repeats lines, it loses none
                self._store.write(self._done)

    def _open(self, at: int) -> None:
        self._ends.clear()
        self._done = at
        self._store = Position(self._folder)

    def _anew(self, fd: int) -> None:
        if self._store is not None:
            self._store.close()
        (self._folder / position.NAME).unlink(missing_ok=True)
        now = os.fstat(fd)
        length = min(now.st_size, START_BYTES)
        which = {"device": now.st_dev, "number": now.st_ino, "length": length, "start": crc32(os.pread(fd, length, 0))}
        fresh = self._folder / f"{_WHICH}.new"
        fresh.write_text(json.dumps(which), encoding="utf-8")
        fresh.replace(self._folder / _WHICH)
        self._open(0)

    def _known(self) -> dict[str, int] | None:
        try:
            found = parsed((self._folder / _WHICH).read_text(encoding="utf-8"))
            return {key: int(found[key]) for key in ("device", "number", "length", "start")}
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _difference(known: dict[str, int], at: int, fd: int, now: os.stat_result, path: Path) -> str:
    """Why a file is not the one that was read up to `at`, or nothing."""
    if (now.st_dev, now.st_ino) != (known["device"], known["number"]):
        return (
            f"it is another file than the one read up to byte {at}{_elsewhere(known, path)}; it is read from its start"
        )
    if now.st_size < at:
        return f"it was truncated: it has {now.st_size} bytes, and {at} had been read; it is read from its start"
    if crc32(os.pread(fd, known["length"], 0)) != known["start"]:
        return f"it was written anew: its first bytes differ from those of the file read up to byte {at}"
    return ""


def _elsewhere(known: dict[str, int], path: Path) -> str:
    """Where the file went, if it is still beside the new one."""
    other = _moved(known, path)
    return f", which is {other} now: lines behind that byte are there" if other is not None else ", which is gone"


def _moved(known: dict[str, int], path: Path) -> Path | None:
    """What a rotated file is called now."""
    with suppress(OSError):
        for other in path.parent.iterdir():
            if other != path and (other.stat().st_dev, other.stat().st_ino) == (known["device"], known["number"]):
                return other
    return None
