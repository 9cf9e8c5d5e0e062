"""Files that are watched: a change is told once the file has been left alone for a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.5
"""Between looks. Whoever copies a file is done with it when it looks the same twice."""

Seen = dict[Path, tuple[int, int, int] | None]


class Watching:
    """Looks at files on a thread of its own, while it is entered."""

    def __init__(
        self, files: Callable[[], Iterable[Path]], changed: Callable[[], None], seconds: float = LOOK_SECONDS
    ) -> None:
        self._files = files
        self._changed = changed
        self._seconds = seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flowrt/watch", daemon=True)

    def __enter__(self) -> Self:
        self._told = self._now = self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._seconds):
            self.look()

    def look(self) -> None:
        """Look once, and tell what has changed and come to rest."""
        before, self._now = self._now, self._look()
        if self._now == before and self._differs():
            self._told = self._now
            self._changed()

    def _differs(self) -> bool:
        """Files that are no longer named have not changed."""
        return any(self._told.get(path, seen) != seen for path, seen in self._now.items())

    def _look(self) -> Seen:
        return {path: _seen(path) for path in self._files()}


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
